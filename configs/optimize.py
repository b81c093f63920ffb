"""The default journey: from a network to one that does the same job for less energy.

    python experiments/optimize.py --spec=configs/specs/lenet5.json --device=titan_x \
        --dataset=digits --max_accuracy_drop=0.01 --workdir=runs/lenet5

Single values are overridden as `--config.search.queries=64`. README.md has the figures it reaches.
"""

import dataclasses

import ml_collections

from greennas_jax import pipeline


def get_config() -> ml_collections.ConfigDict:
    """Return every default of `pipeline.PipelineConfig`; each has its home there."""
    return ml_collections.ConfigDict(dataclasses.asdict(pipeline.PipelineConfig()))
