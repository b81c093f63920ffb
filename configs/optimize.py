"""The default journey: from a network to one that does the same job for less energy.

    python experiments/optimize.py --spec=configs/specs/lenet5.json --device=titan_x \
        --dataset=digits --max_accuracy_drop=0.01 --workdir=runs/lenet5

Reaches 70.4 % less energy for LeNet-5 (the verdict holds, one and a half to four minutes on two
cores); README.md has other seeds and networks. Single values are overridden as
`--config.search.queries=64`.
"""

import dataclasses
import typing
from typing import Any

import ml_collections
from ml_collections import config_dict

from greennas_jax import pipeline


def get_config() -> ml_collections.ConfigDict:
    """Return every default of `pipeline.PipelineConfig`; each has its home there."""
    return ml_collections.ConfigDict(_values(pipeline.PipelineConfig()))


def _values(record: Any) -> dict[str, Any]:
    """Return a record's values; what is left open is a placeholder that a flag can fill."""
    hints = typing.get_type_hints(type(record))
    found = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            value = _values(value)
        elif value is None:
            kinds = [kind for kind in typing.get_args(hints[field.name]) if kind in (int, float)]
            value = config_dict.placeholder(kinds[0]) if kinds else None
        found[field.name] = value
    return found
