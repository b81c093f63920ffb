"""How the time of the cost engine and of the search grows: with layers, batch and devices.

Exponents are slopes of log time over log size, 1 where time is proportional; chains of one kind of
convolution stand for networks of any depth. For weak scaling each forced host device has as much to
do as every other, costing strings and ascending in the embedding, in a process of its own for every
number of devices; the total work, in core seconds of a string and of an ascent, must not grow with
their number. All is measured in processes of one core: threads that wait for one another on several
cores spin, which is no work.

Devices that share a core are stopped and started by the system every few milliseconds, and each
finds its data gone from the cache. So their work is measured twice: where each goes on until it has
to wait (the system's first-in-first-out scheduling, which needs the right to it), and where they
share the core by time slices.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
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
from greennas_jax.spaces import batches
from greennas_jax.spaces.symbols import Digits, Layout, SymbolCosts
from greennas_jax.spec import paleo_json

from . import processes, suites

CHOICES = 128
WIDTHS = 8
# Three decades each. In a smaller batch the call takes longer than the costs.
LAYERS = (4, 40, 400, 4_000)
BATCH_OF_LAYERS = 100_000
BATCHES = (10_000, 100_000, 1_000_000, 10_000_000)
DEPTH = 15
AT = 1_000_000
DEVICES = (1, 2, 4, 8)
REPEATS = 5
ROUNDS = 2
AIM_S = 0.2
SLICED = "time slices (no right to others)"
# The searched space of the weak scaling, and labelled architectures of its accuracy model.
SPEC = processes.ROOT / "configs" / "specs" / "lenet5.json"
LABELLED = 32


def run(options: suites.Options) -> dict[str, Any]:
    """Return times over sizes, their exponents, and the overhead of many devices."""
    layers = LAYERS[:2] if options.small else LAYERS
    sizes = BATCHES[:2] if options.small else BATCHES
    devices = DEVICES[:2] if options.small else DEVICES
    width = 1_000 if options.small else BATCH_OF_LAYERS
    batch = 1_000 if options.small else AT
    starts = 8 if options.small else LatentConfig().restarts
    by_layers = [
        processes.alone("scale", f"grown({count}, {width}, {options.seed})") for count in layers
    ]
    by_batch = [
        processes.alone("scale", f"grown({DEPTH}, {size}, {options.seed})") for size in sizes
    ]
    call = ", ".join(map(str, (batch, starts, options.seed)))
    in_turn, sliced = (_by_devices(devices, call, in_turn=taking) for taking in (True, False))
    tokens = [found["tokens"] for found in in_turn + sliced]
    return {
        "layers": list(layers),
        "batch_of_layers": width,
        "core_s_by_layers": by_layers,
        "exponent_of_layers": _exponent(layers, by_layers),
        "batches": list(sizes),
        "layers_of_batches": DEPTH,
        "core_s_by_batch": by_batch,
        "exponent_of_batch": _exponent(sizes, by_batch),
        "devices": list(devices),
        "batch_of_a_device": batch,
        "starts_of_a_device": starts,
        "reference": "one device",
        "scheduling": "each until it waits" if processes.may_take_turns() else SLICED,
        **_overheads(in_turn, ""),
        **_overheads(sliced, "_in_time_slices"),
        "ascents_alike_by_devices": [found == tokens[0] for found in tokens[: len(devices)]],
        "all_ascents_alike": len(set(tokens)) == 1,
    }


def _by_devices(devices: Sequence[int], call: str, *, in_turn: bool) -> list[dict[str, Any]]:
    """Return what each number of devices takes, the least of some rounds over all of them.

    A machine that slows down for a while is then not taken for an overhead.
    """
    found = [
        [
            processes.alone("scale", f"sharded({count}, {call})", devices=count, in_turn=in_turn)
            for count in devices
        ]
        for _ in range(ROUNDS)
    ]
    return [
        {
            **{name: min(one[name] for one in rounds) for name in rounds[0]},
            # More than one where rounds came by different strings.
            "tokens": " ".join(sorted({one["tokens"] for one in rounds})),
        }
        for rounds in zip(*found, strict=True)
    ]


def _overheads(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the work of all numbers of devices, and what the most adds to that of one."""
    costs = [one["costs_core_ns"] for one in found]
    search = [one["search_core_ms"] for one in found]
    return {
        f"core_ns_per_architecture_by_devices{name}": costs,
        f"core_ms_per_ascent_by_devices{name}": search,
        f"overhead_of_devices{name}": max(costs) / costs[0] - 1,
        f"overhead_of_devices_in_search{name}": max(search) / search[0] - 1,
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
    return costs, layout, rng.integers(0, CHOICES, (layers, batch), np.uint8)


def grown(layers: int, batch: int, seed: int) -> float:
    """Return the least core seconds of costing a batch of chains of so many layers."""
    costs, layout, strings = chain(layers, batch, seed)
    one = arrays.of(jax.devices()[:1])
    return _least(_costing(costs, layout, strings, one))


def _costing(
    costs: SymbolCosts, layout: Layout, strings: np.ndarray, over: Mesh
) -> Callable[[], Any]:
    """Return a call that costs strings on a mesh, each time in the memory of the time before."""
    there = arrays.placed(strings, over, arrays.dealt(1))
    work = batches.exact(costs, layout, over)
    kept = [batches.room(len(costs.terms), strings.shape[1], over)]

    def call() -> None:
        kept[0] = jax.block_until_ready(work(there, kept[0]))

    return call


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
    costing = _least(_costing(costs, layout, strings, over))
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
