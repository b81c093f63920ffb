"""Trainings per minute: different children in one compiled template, and each at its true shape.

Both train the same architectures with the same recipe, epochs, split and code; both have all
devices of the machine. Turns alternate, so that whatever else the machine does meets both alike.
"""

import concurrent.futures
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from greennas_jax.accuracy import children, datasets, execution, training
from greennas_jax.build import flax_network
from greennas_jax.spaces import edits
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network

from . import suites

SPEC = pathlib.Path(__file__).resolve().parents[2] / "configs" / "specs" / "lenet5.json"
DATASET = "digits"
# Architectures over which the template's one compilation is shared out: a short search's.
SEARCH = 100
TRUE_SHAPE = "each network built, compiled and trained at its true shape, one at a time per device"


def run(options: suites.Options) -> dict[str, Any]:
    """Return the throughput of both, and their ratio."""
    given = paleo_json.load(options.spec or os.fspath(SPEC))
    data = datasets.load(DATASET, children.input_shape(given), children.classes(given))
    recipe = training.Recipe(epochs=1 if options.small else None)
    batched = children.make(
        given,
        data,
        recipe=recipe,
        run=execution.Execution(per_device=1) if options.small else None,
    )
    size = batched.over.size * batched.run.per_device
    repeats, alone = (1, 1) if options.small else (3, 2 * batched.over.size)
    space = edits.build(given)
    rng = np.random.default_rng(options.seed)
    networks = [space.decode(tokens) for tokens in space.sample(rng, size * (repeats + 1))]
    seeds = list(range(len(networks)))

    first = _timed(lambda: batched.evaluate(networks[:size], seeds[:size]))
    warm, true_shape, compiling = [], [], []
    for turn in range(1, repeats + 1):
        part = slice(turn * size, (turn + 1) * size)
        warm.append(_timed(lambda part=part: batched.evaluate(networks[part], seeds[part])))
        some = networks[part][:alone]
        true_shape.append(_timed(lambda some=some: compiling.extend(_each(some, batched))))
    return {
        "network": given.name,
        "dataset": DATASET,
        "epochs": batched.recipe.epochs,
        "batch_size": batched.recipe.batch_size,
        "devices": batched.over.size,
        "children_per_call": size,
        **_figures(size, alone, first, warm, true_shape),
        "reference_share_of_compiling": sum(a for a, _ in compiling) / sum(b for _, b in compiling),
    }


class Took(NamedTuple):
    """Seconds that some work took: of the wall clock, and of all cores together."""

    wall: float
    cores: float


def _timed(work: Any) -> Took:
    start, cores = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - start, time.process_time() - cores)


def _figures(
    size: int, alone: int, first: Took, warm: Sequence[Took], true_shape: Sequence[Took]
) -> dict[str, Any]:
    rates = [60 * size / took.wall for took in warm]
    reference = [60 * alone / took.wall for took in true_shape]
    compiling = max(first.wall - min(took.wall for took in warm), 0.0)
    counted = [60 * SEARCH / (compiling + 60 * SEARCH / rate) for rate in rates]
    per_core = [took.cores / size for took in warm]
    alone_per_core = [took.cores / alone for took in true_shape]
    return {
        "compile_s": compiling,
        "architectures_per_minute": suites.spread(rates),
        f"architectures_per_minute_of_{SEARCH}_with_compile": suites.spread(counted),
        "core_s_per_architecture": suites.spread(per_core),
        "reference": TRUE_SHAPE,
        "reference_networks": alone * len(true_shape),
        "reference_architectures_per_minute": suites.spread(reference),
        "reference_core_s_per_architecture": suites.spread(alone_per_core),
        "ratio": suites.spread([a / b for a, b in zip(rates, reference, strict=True)]),
        "ratio_with_compile": suites.spread(
            [a / b for a, b in zip(counted, reference, strict=True)]
        ),
        "ratio_of_core_s": suites.spread(
            [b / a for a, b in zip(per_core, alone_per_core, strict=True)]
        ),
    }


def _each(networks: Sequence[Network], batched: children.Children) -> list[tuple[float, float]]:
    """Train each network at its true shape and return seconds of compiling, and of all."""
    devices = jax.local_devices()[: batched.over.size]

    def of_device(number: int) -> list[tuple[float, float]]:
        device = devices[number]
        images = jax.device_put(jax.device_get(batched.images), device)
        return [_alone(network, batched, images) for network in networks[number :: len(devices)]]

    with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
        return [found for part in pool.map(of_device, range(len(devices))) for found in part]


def _alone(
    network: Network, batched: children.Children, images: training.Images
) -> tuple[float, float]:
    start = time.perf_counter()

    def apply(module, statistics, batch, training, key):
        return flax_network.apply(module, statistics, batch, training=training, key=key)

    def train(images: training.Images, key: jax.Array) -> jax.Array:
        build_key, train_key = jax.random.split(key)
        module = flax_network.build(network, build_key, convolution=batched.run.method)
        return training.train(
            apply,
            module,
            flax_network.initial_statistics(module),
            batched.recipe,
            images,
            train_key,
            np.full(len(batched.recipe.checks), -np.inf, np.float32),
            jax.numpy.bool_(True),
            training.EVALUATION_BATCH[batched.run.method],
        )[0].accuracy

    key = jax.device_put(jax.random.key(0), jax.tree.leaves(images)[0].device)
    program = jax.jit(train).lower(images, key).compile()
    compiled = time.perf_counter()
    jax.block_until_ready(program(images, key))
    return compiled - start, time.perf_counter() - start
