"""The journey on a small budget, for a study of many networks.

    python experiments/study.py --specs=configs/specs/lenet5.json,configs/specs/plain_digits.json \
        --devices=titan_x,raspberry_pi_5 --config=configs/quick.py --workdir=runs/study

Reaches 53.2 % less energy for LeNet-5 on a Titan X (the verdict holds, two and a half minutes on
two cores), where `configs/optimize.py` reaches 70.4 %: a third of its trainings, and what is found
is dearer. Single values are overridden as `--config.search.queries=64`.
"""

import pathlib
import runpy

import ml_collections

_DEFAULTS = pathlib.Path(__file__).with_name("optimize.py")
_BUDGET = {
    "baseline_seeds": 8,
    "final_seeds": 6,
    "proxy_images": 4,
    "search": {
        "queries": 32,
        "rounds": 2,
        "leaders": 3,
        "repeats": 4,
        "most_repeats": 8,
        "settling": 1,
    },
    "training": {"pool": 8192},
}


def get_config() -> ml_collections.ConfigDict:
    """Return the defaults with a smaller budget."""
    found = runpy.run_path(str(_DEFAULTS))["get_config"]()
    found.update(ml_collections.ConfigDict(_BUDGET))
    return found
