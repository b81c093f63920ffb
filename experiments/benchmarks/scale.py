"""How the time of the cost engine and of the search grows: with layers, batch and devices.

Exponents are slopes of log time over log size, 1 where time is proportional; chains of one kind of
convolution stand for networks of any depth. For weak scaling each forced host device has as much to
do as every other, costing strings and ascending in the embedding, in a process of its own for every
number of devices; the total work, in core seconds of a string and of an ascent, must not grow with
their number. All is measured in processes of one core: threads that wait for one another on several
cores spin, which is no work.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from greennas_jax import pipeline
from greennas_jax.costs import devices as cost_devices
from greennas_jax.mesh import arrays
from greennas_jax.nao import gaussian_process, grammar, latent_search
from greennas_jax.nao import model as models
from greennas_jax.nao.acquisition import Goal
from greennas_jax.nao.labels import Labels
from greennas_jax.nao.latent_search import CostHead, LatentConfig
from greennas_jax.nao.model import ModelConfig
from greennas_jax.spaces import batches, symbols
from greennas_jax.spaces.symbols import Digits, Layout, SymbolCosts
from greennas_jax.spec import paleo_json

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
# The searched space of the weak scaling, and labelled architectures of its accuracy model.
SPEC = ROOT / "configs" / "specs" / "lenet5.json"
LABELLED = 32


def run(options: suites.Options) -> dict[str, Any]:
    """Return times over sizes, their exponents, and the overhead of many devices."""
    layers = LAYERS[:2] if options.small else LAYERS
    sizes = BATCHES[:2] if options.small else BATCHES
    devices = DEVICES[:2] if options.small else DEVICES
    batch = 1000 if options.small else AT
    by_layers = _alone(1, f"grown({list(layers)}, {[batch]}, {options.seed})")
    by_batch = _alone(1, f"grown({[DEPTH]}, {list(sizes)}, {options.seed})")
    starts = 8 if options.small else LatentConfig().restarts
    forced = [
        _alone(count, f"sharded({count}, {batch}, {starts}, {options.seed})") for count in devices
    ]
    of_costs = [found["costs_core_ns"] for found in forced]
    of_search = [found["search_core_ms"] for found in forced]
    return {
        "layers": list(layers),
        "batch_of_layers": batch,
        "core_s_by_layers": by_layers,
        "exponent_of_layers": _exponent(layers, by_layers),
        "batches": list(sizes),
        "layers_of_batches": DEPTH,
        "core_s_by_batch": by_batch,
        "exponent_of_batch": _exponent(sizes, by_batch),
        "devices": list(devices),
        "batch_of_a_device": batch,
        "starts_of_a_device": starts,
        "core_ns_per_architecture_by_devices": of_costs,
        "core_ms_per_ascent_by_devices": of_search,
        "ascents_alike_by_devices": [found["tokens"] == forced[0]["tokens"] for found in forced],
        "reference": "one device",
        "overhead_of_devices": max(of_costs) / of_costs[0] - 1,
        "overhead_of_devices_in_search": max(of_search) / of_search[0] - 1,
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


def grown(layers: list[int], sizes: list[int], seed: int) -> list[float]:
    """Return the least core seconds of costing, for all numbers of layers and all batches."""
    return [_core_s(*chain(count, batch, seed)) for count in layers for batch in sizes]


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


def sharded(devices: int, batch: int, starts: int, seed: int) -> dict[str, Any]:
    """Return what costing and ascending take where each of some host devices has as much to do.

    Args:
      devices: How many of this host's devices share the work.
      batch: Strings of each.
      starts: Ascents of each.
      seed: Decides strings and starts.

    Returns:
      Core nanoseconds per string, core milliseconds per ascent, and what the first device's ascents
      came by, in a few words.
    """
    over = arrays.of(jax.devices()[:devices])
    costs, layout, strings = chain(DEPTH, devices * batch, seed)
    there = arrays.placed(strings, over, arrays.dealt(1))
    work = batches.exact(costs, layout, over)
    costing = _least(lambda: jax.block_until_ready(work(there)))
    ascend = ascents(devices * starts, seed, over)
    climbing = _least(ascend)
    tokens = np.ascontiguousarray(ascend().tokens[:, :starts])
    return {
        "costs_core_ns": 1e9 * costing / (devices * batch),
        "search_core_ms": 1e3 * climbing / (devices * starts),
        "tokens": hashlib.sha256(tokens.tobytes()).hexdigest(),
    }


def ascents(starts: int, seed: int, over: Mesh) -> Callable[[], latent_search.Visited]:
    """Return ascents in a fresh embedding of LeNet-5's space, both gradients followed."""
    network = paleo_json.load(SPEC)
    config = pipeline.PipelineConfig()
    prepared = pipeline.prepare(network, cost_devices.load("titan_x"), config)
    outputs = len(prepared.space.label_names) + len(prepared.costs.terms)
    model = models.create(
        grammar.from_space(prepared.space, outputs), ModelConfig(), jax.random.key(seed)
    )
    rng = np.random.default_rng(seed)
    known = rng.standard_normal((LABELLED, outputs)).astype(np.float32)
    accuracy = rng.standard_normal(LABELLED).astype(np.float32)
    labels = Labels(jnp.asarray(known), jnp.asarray(accuracy), jnp.ones(LABELLED))
    posterior = gaussian_process.fit(labels)
    head = CostHead(jnp.asarray(outputs - 1), jnp.asarray(0.0), jnp.asarray(1.0))
    goal = Goal(jnp.asarray(0.0), jnp.asarray(0.0))
    # The same for the first device, however many there are.
    own = starts // over.size
    drawn = [
        prepared.space.sample(np.random.default_rng([seed, device]), own)
        for device in range(over.size)
    ]
    tokens = np.concatenate(drawn)
    return lambda: latent_search.ascend(
        model,
        posterior,
        prepared.objective,
        goal,
        head,
        tokens,
        jnp.asarray(1.0),
        jax.random.key(seed),
        config=LatentConfig(),
        over=over,
    )


def _alone(devices: int, call: str) -> Any:
    """Return what a call of this module gives in a process of one core and so many devices."""
    code = (
        "import os, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:]);"
        "import jax; sys.path.insert(0, 'experiments');"
        f"jax.config.update('jax_num_cpu_devices', {devices});"
        "from benchmarks import scale; import json;"
        f"print(json.dumps(scale.{call}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(found.stdout.splitlines()[-1])
