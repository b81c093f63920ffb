"""What cells that NAO's search has evaluated teach: order of accuracy, decoding, real energy.

The table is a CSV file with the columns arch (40 whole numbers), accuracy (of 500 images) and
reported_energy. Accuracy models are compared on splits of nine to one; the reference is what a
model that knew the true accuracies would reach.
"""

import dataclasses
import pathlib
import time
from typing import Any

from greennas_jax import pool_study
from greennas_jax.accuracy import evaluated
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import TrainingConfig

from . import suites

SMALL = {
    "splits": 1,
    "model": ModelConfig(width=8, hidden=8),
    "training": TrainingConfig(pool=64, steps=2, batch=8, runs=1),
}


def run(options: suites.Options) -> dict[str, Any]:
    """Return the figures of `pool_study.study`.

    Args:
      options: What the suite is told: `table`, `seed` and `small`.

    Raises:
      ValueError: If no table is given, or it is no pool of this space.
    """
    if options.table is None:
        raise ValueError("--suite=pool needs --table=FILE, a CSV file of evaluated cells")
    config = pool_study.StudyConfig(first_seed=options.seed)
    if options.small:
        config = dataclasses.replace(config, **SMALL)
    pool = evaluated.load(options.table, config.space.parse, examples=config.examples)
    start = time.perf_counter()
    options.tell.phase("splits", config.splits)
    found = pool_study.study(pool, config, lambda done, _: options.tell.reach(done))
    return {
        "table": pathlib.Path(options.table).name,
        "networks": (
            f"{config.space.config.stages} stages of {config.space.config.cells} cells from "
            f"{config.space.config.channels} channels"
        ),
        **found,
        "seconds": time.perf_counter() - start,
    }
