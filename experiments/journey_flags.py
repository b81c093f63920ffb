"""The flags of every program that takes a network on the whole journey."""

from __future__ import annotations

import dataclasses
from typing import Any

import command_line
from absl import flags
from ml_collections import config_flags

from greennas_jax import configuration, journey, pipeline
from greennas_jax.costs import devices, dtypes, neuralpower_text, power
from greennas_jax.costs.devices import Device
from greennas_jax.costs.neuralpower_model import Model
from greennas_jax.costs.settings import WHOLE_MODES
from greennas_jax.spec import paleo_json

DEVICE_HELP = f"One of {', '.join(devices.names())}, or a device file."


def define_network() -> tuple[flags.FlagHolder[str], flags.FlagHolder[str]]:
    """Define --spec and --device, for a program that takes one network on one device."""
    spec = flags.DEFINE_string("spec", None, "The given network, Paleo's JSON.", required=True)
    device = flags.DEFINE_string("device", None, DEVICE_HELP, required=True)
    return spec, device


_DATASET = flags.DEFINE_string(
    "dataset",
    "default",
    "'digits', 'brackets', 'copy', 'parity', a FILE.npz (x_train, y_train, x_test, y_test), a "
    "FOLDER of images (train/CLASS/IMAGE and test/CLASS/IMAGE, or CLASS/IMAGE) or of CIFAR's "
    "binary files, tfds:NAME, 'default' (digits, or brackets where the network reads token "
    "numbers), or 'none': accuracy is then not measured.",
)
_DROP = flags.DEFINE_float(
    "max_accuracy_drop", None, "Accuracy that may be lost, a fraction of 1 (default 0.01)."
)
_MODE = flags.DEFINE_enum("mode", None, WHOLE_MODES, "What is costed (default inference).")
_BATCH = flags.DEFINE_integer("batch_size", None, "Batch size; default the text's.", lower_bound=1)
_DTYPE = flags.DEFINE_enum(
    "dtype",
    None,
    dtypes.DTYPES,
    "Number format of weights, activations and arithmetic; fp32 by default where the device "
    "computes in it, else the device's own.",
)
_POWER = flags.DEFINE_string(
    "power",
    None,
    "The power model: physical (default), or neuralpower:FILE for runtime and power by layer "
    "models fitted to measurements.",
)
_MEASURE = flags.DEFINE_enum(
    "measure",
    "auto",
    ["auto", "never"],
    "auto: run given and found network here at the end, if the device was calibrated on this "
    "machine or there is a power meter.",
)
_WATTS = flags.DEFINE_float(
    "assumed_watts",
    None,
    "This machine's power [W], to reckon the run's own energy with where no meter measures it; "
    "marked as assumed.",
)
_LIMITS = {
    "target_energy": flags.DEFINE_float(
        "target_energy",
        None,
        "Hard limit on the found network's energy [J], of a whole batch or training step as the "
        "profile's totals tell it; nothing beyond it is trained or chosen.",
    ),
    "target_time": flags.DEFINE_float(
        "target_time", None, "Hard limit on its time [ms], of a whole batch or training step."
    ),
    "target_memory": flags.DEFINE_float(
        "target_memory",
        None,
        "Hard limit on its peak memory [bytes], the profile's peak_memory_bytes: weights and the "
        "most activations alive at once; in training weights, gradients, momenta and all "
        "activations. It is not the objective 'memory', which sums all activations.",
    ),
    "max_parameters": flags.DEFINE_integer(
        "max_parameters", None, "Hard limit on its trainable parameters."
    ),
}
_STRICT = flags.DEFINE_bool("strict", False, "Refuse layer types that are not known.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the results.", required=True)
_CONFIG = config_flags.DEFINE_config_file(
    "config",
    "configs/optimize.py",
    "Configuration; override as --config.search.queries=64.",
    # A default is read at once unless the command line names another; help does not need it.
    sys_argv=["--config"] if command_line.wants_help() else None,
)


def _config(device: Device) -> pipeline.PipelineConfig:
    """Return the configuration, the plain flags taking precedence."""
    config = configuration.build(pipeline.PipelineConfig, _CONFIG.value.to_dict())
    changes: dict[str, Any] = {}
    if _DROP.value is not None:
        changes["max_accuracy_drop"] = _DROP.value
    changes |= {name: flag.value for name, flag in _LIMITS.items() if flag.value is not None}
    mode = config.settings.mode if _MODE.value is None else _MODE.value
    dtype = devices.chosen_dtype(device, _DTYPE.value, config.settings.dtype)
    named = config.settings.power if _POWER.value is None else _POWER.value
    changes["settings"] = dataclasses.replace(
        config.settings, mode=mode, dtype=dtype, power=_power_model(named)
    )
    return dataclasses.replace(config, **changes)


def _power_model(named: str | Model) -> str | Model:
    """Return a power model by what the flag or the configuration says."""
    return neuralpower_text.chosen(named) if isinstance(named, str) else named


def check(device_name: str) -> None:
    """Raise ValueError or OSError if no run on a device can be asked for with these flags."""
    device = devices.load(device_name)
    if _config(device).settings.power == "physical":
        power.check(device)


def request(spec: str, device_name: str) -> journey.Request:
    """Return what the flags ask for.

    Args:
      spec: File of the given network.
      device_name: A device's name or file.
    """
    check(device_name)
    device = devices.load(device_name)
    return journey.Request(
        network=paleo_json.load(spec, strict=_STRICT.value),
        device=device,
        dataset=_DATASET.value,
        batch_size=_BATCH.value,
        config=_config(device),
        measure=_MEASURE.value,
        assumed_watts=_WATTS.value,
    )
