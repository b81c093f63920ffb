r"""From a network's text to a greener network's text, with the evidence.

python experiments/optimize.py --spec=configs/specs/lenet5.json --device=titan_x \
    --dataset=digits --max_accuracy_drop=0.01 --workdir=runs/lenet5

Writes into the workdir: optimized.json (the network, Paleo's text), report.json, summary.txt,
pareto/NNN.json, history.csv, exact_front.csv, pareto.png, layer_energy.png, progress.png,
config.json and checkpoints/. The same command goes on where a killed run stopped.
"""

import dataclasses
import sys
from typing import Any

import command_line
import runtime
from absl import flags
from ml_collections import config_flags

from greennas_jax import checkpoints, configuration, journey, pipeline
from greennas_jax.costs import devices
from greennas_jax.costs.settings import MODES
from greennas_jax.report import tables
from greennas_jax.spec import paleo_json

_SPEC = flags.DEFINE_string("spec", None, "The given network, Paleo's JSON.", required=True)
_DEVICE = flags.DEFINE_string(
    "device", None, f"One of {', '.join(devices.names())}, or a device file.", required=True
)
_DATASET = flags.DEFINE_string(
    "dataset", "digits", "'digits', a FILE.npz, or 'none': accuracy is then not measured."
)
_DROP = flags.DEFINE_float(
    "max_accuracy_drop", None, "Accuracy that may be lost, a fraction of 1 (default 0.01)."
)
_SEED = flags.DEFINE_integer("seed", None, "Seed of every random choice (default 0).")
_MODE = flags.DEFINE_enum("mode", None, MODES, "What is costed (default inference).")
_BATCH = flags.DEFINE_integer("batch_size", None, "Batch size; default the text's.", lower_bound=1)
_STRICT = flags.DEFINE_bool("strict", False, "Refuse layer types that are not known.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the results.", required=True)
_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/optimize.py", "Configuration; override as --config.search.queries=64."
)


def _config() -> pipeline.PipelineConfig:
    """Return the configuration, the plain flags taking precedence."""
    config = configuration.build(pipeline.PipelineConfig, _CONFIG.value.to_dict())
    changes: dict[str, Any] = {
        "max_accuracy_drop": _DROP.value,
        "seed": _SEED.value,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if _MODE.value is not None:
        changes["settings"] = dataclasses.replace(config.settings, mode=_MODE.value)
    return dataclasses.replace(config, **changes)


def main() -> None:
    """Take one network through the nine steps."""
    config = _config()
    network = paleo_json.load(_SPEC.value, strict=_STRICT.value)
    request = journey.Request(
        network=network,
        device=devices.load(_DEVICE.value),
        dataset=_DATASET.value,
        batch_size=_BATCH.value,
        config=config,
    )
    runtime.prepare()
    workdir = checkpoints.claim(_WORKDIR.value, journey.identity(request))
    report = journey.travel(request, workdir, _say)
    print("\n".join(tables.headline(report)))
    print(f"results are in {workdir}")


def _say(line: str) -> None:
    """Tell a person at a terminal what is being done; a pipe hears nothing."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main)
