"""What a search builds on: the taught embedding, and the given network's own trainings.

Neither needs the other, and each leaves a part of the machine idle: the embedding's steps are too
small for several cores, and both are compiled on one. On one process they are therefore made side
by side; what each of them comes to does not depend on the other.
"""

import concurrent.futures
import dataclasses
import pathlib
from typing import Any

from greennas_jax import checkpoints, pipeline
from greennas_jax.accuracy import children
from greennas_jax.accuracy.oracle import Oracle, Trial
from greennas_jax.mesh import team
from greennas_jax.nao.embedding import Embedding
from greennas_jax.pipeline import PipelineConfig, Prepared
from greennas_jax.report.telling import Listener

# How often it is looked whether more of the given network's trainings have ended [s].
LOOK = 0.2


class Abandoned(Exception):
    """The given network's trainings are not wanted any more."""


class _Count:
    """Counts trainings where they end, for a listener that hears of them later."""

    def __init__(self):
        self.done = 0
        self.wanted = True

    def __call__(self, trainings: int) -> None:
        if not self.wanted:
            raise Abandoned
        self.done += trainings


def lay(
    prepared: Prepared,
    oracle: Oracle,
    config: PipelineConfig,
    folder: pathlib.Path,
    shared: pathlib.Path,
    tell: Listener,
) -> tuple[Embedding | None, list[Trial]]:
    """Return the taught embedding, if the search is one in it, and the given network's trials.

    Args:
      prepared: The space and its costs.
      oracle: Who says how accurate a network is.
      config: The run.
      folder: The workdir; what was made in an earlier start is found there.
      shared: Where the given network's own trainings are kept.
      tell: Hears how far it is; of the trainings, once the embedding is taught.
    """
    log = checkpoints.TrialLog(shared / "given.jsonl")
    count = _Count()
    counted = oracle
    if isinstance(oracle, children.Children):
        counted = dataclasses.replace(oracle, progress=count)

    def tried() -> list[Trial]:
        return pipeline.try_given(prepared, counted, config, log.evaluate)

    beside = concurrent.futures.ThreadPoolExecutor(1)
    # Several processes come to what they do together in the same order.
    given = beside.submit(tried) if team.size() == 1 else None
    try:
        taught = None
        if config.search.algorithm == "latent":
            taught = _taught(prepared, config, folder, tell)
        tell.phase("given network", 1 if oracle.kind == "proxy" else config.baseline_seeds)
        return taught, _awaited(given or beside.submit(tried), count, tell)
    finally:
        # What went wrong is told at once; trainings that run end by themselves.
        count.wanted = False
        beside.shutdown(wait=False)


def _awaited(given: concurrent.futures.Future, count: _Count, tell: Listener) -> list[Trial]:
    """Return the given network's trials, telling of them as they end."""
    told = 0
    while told < count.done or not given.done():
        concurrent.futures.wait([given], LOOK)
        done = count.done
        if done > told:
            tell.did(done - told)
        told = done
    return given.result()


def _taught(
    prepared: Prepared, config: PipelineConfig, folder: pathlib.Path, tell: Listener
) -> Embedding:
    """Return the embedding, its weights from the checkpoint where there is one."""
    path = folder / "checkpoints" / "embedding.safetensors"
    if path.exists():

        def restored(model: Any) -> Any:
            return checkpoints.load_arrays(path, model)

        return pipeline.embed(prepared, config, restore=restored)
    tell.phase("embedding", config.training.steps * config.training.runs)
    taught = pipeline.embed(
        prepared,
        config,
        lambda step, prediction, negative: tell.reach(
            step, prediction_error=prediction, negative_log_likelihood=negative
        ),
    )
    checkpoints.save_arrays(path, taught.model)
    return taught
