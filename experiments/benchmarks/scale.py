"""How the cost engine's time grows with layers, with the batch, and with forced host devices.

Exponents are slopes of log time over log size, 1 where time is proportional; chains of one kind of
convolution stand for networks of any depth. On forced host devices a batch of fixed size per device
is costed by as many devices as asked for, in processes of their own; the total work, in core
seconds per architecture, must not grow with their number.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.spaces import symbols
from greennas_jax.spaces.symbols import Digits, Layout, SymbolCosts

from . import suites

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHOICES = 128
WIDTHS = 8
LAYERS = (4, 13, 40, 126)
BATCHES = (1_000, 10_000, 100_000, 1_000_000)
DEPTH = 15
AT = 100_000
DEVICES = (1, 2, 4, 8)
REPEATS = 5
AIM_S = 0.2


def run(options: suites.Options) -> dict[str, Any]:
    """Return times over sizes, their exponents, and the overhead of many devices."""
    layers = LAYERS[:2] if options.small else LAYERS
    batches = BATCHES[:2] if options.small else BATCHES
    devices = DEVICES[:2] if options.small else DEVICES
    batch = 1000 if options.small else AT
    by_layers = [_core_s(*chain(count, batch, options.seed)) for count in layers]
    by_batch = [_core_s(*chain(DEPTH, size, options.seed)) for size in batches]
    per_device = [_forced(count, batch, options.seed) for count in devices]
    return {
        "layers": list(layers),
        "batch_of_layers": batch,
        "core_s_by_layers": by_layers,
        "exponent_of_layers": _exponent(layers, by_layers),
        "batches": list(batches),
        "layers_of_batches": DEPTH,
        "core_s_by_batch": by_batch,
        "exponent_of_batch": _exponent(batches, by_batch),
        "devices": list(devices),
        "batch_of_a_device": batch,
        "core_ns_per_architecture_by_devices": per_device,
        "reference": "one device",
        "overhead_of_devices": max(per_device) / per_device[0] - 1,
    }


def chain(layers: int, batch: int, seed: int) -> tuple[SymbolCosts, Layout, np.ndarray]:
    """Return costs of a chain of layers that read the width before, and random strings [S, B]."""
    rng = np.random.default_rng(seed)
    layout = Layout(tuple((layer,) for layer in range(layers)), (CHOICES,) * layers)
    scopes = [(Digits(0, 1, CHOICES),)]
    scopes += [
        (Digits(layer - 1, 1, WIDTHS), Digits(layer, 1, CHOICES)) for layer in range(1, layers)
    ]
    sizes = [CHOICES] + [WIDTHS * CHOICES] * (layers - 1)
    costs = SymbolCosts(
        tables=tuple(rng.random((1, size)).astype(np.float32) for size in sizes),
        maps=(),
        constant=np.zeros(1, np.float32),
        reads=(),
        scopes=tuple(scopes),
        terms=("cost",),
    )
    return costs, layout, rng.integers(0, CHOICES, (layers, batch)).astype(np.uint8)


def _core_s(costs: SymbolCosts, layout: Layout, strings: np.ndarray) -> float:
    """Return the least core seconds that costing the strings took."""
    there = jnp.asarray(strings)
    work = jax.jit(lambda rows: symbols.exact(costs, layout, rows))
    return _least(lambda: jax.block_until_ready(work(there)))


def _least(work: Any) -> float:
    work()
    start = time.perf_counter()
    work()
    calls = max(1, int(AIM_S / max(time.perf_counter() - start, 1e-6)))
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        for _ in range(calls):
            work()
        found.append((time.process_time() - start) / calls)
    return min(found)


def _exponent(sizes: Any, seconds: Any) -> float:
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def sharded(devices: int, batch: int, seed: int) -> float:
    """Return core nanoseconds per architecture of a batch shared out among this host's devices."""
    costs, layout, strings = chain(DEPTH, devices * batch, seed)
    mesh = jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])
    split = jax.sharding.PartitionSpec(None, "data")
    there = jax.device_put(strings, jax.sharding.NamedSharding(mesh, split))
    work = jax.jit(
        jax.shard_map(
            lambda rows: symbols.exact(costs, layout, rows),
            mesh=mesh,
            in_specs=split,
            out_specs=split,
        )
    )
    return 1e9 * _least(lambda: jax.block_until_ready(work(there))) / (devices * batch)


def _forced(devices: int, batch: int, seed: int) -> float:
    """Return the same from a process with that many forced host devices."""
    code = (
        "import sys, jax; sys.path.insert(0, 'experiments');"
        f"jax.config.update('jax_num_cpu_devices', {devices});"
        "from benchmarks import scale;"
        f"import json; print(json.dumps(scale.sharded({devices}, {batch}, {seed})))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(found.stdout.splitlines()[-1]))
