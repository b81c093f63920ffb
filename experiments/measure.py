r"""Run a network on this machine: measured time and energy, beside a device file's prediction.

python experiments/measure.py --spec=configs/specs/lenet5.json --device=cpu_i7 --json=/tmp/out.json

Without --device it is compared with the device file that was calibrated on this machine, where
there is one.
"""

from __future__ import annotations

import contextlib

import command_line
import runtime
from absl import flags

from greennas_jax.build import convolution
from greennas_jax.costs import devices, settings
from greennas_jax.measure import execution, machine, meters, networks, priority, timing
from greennas_jax.report import files
from greennas_jax.spec import paleo_json

_SPEC = flags.DEFINE_string("spec", None, "The network, a file in Paleo's JSON.", required=True)
_DEVICE = flags.DEFINE_string(
    "device", None, f"What predicts: one of {', '.join(devices.names())}, or a device file."
)
_MODE = flags.DEFINE_enum("mode", "inference", settings.WHOLE_MODES, "What is run.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Batch size; by default the one in the network's text.", lower_bound=1
)
_DTYPE = flags.DEFINE_enum("dtype", "fp32", ["fp32", "tf32", "bf16", "fp16"], "Number format.")
_CONVOLUTION = flags.DEFINE_enum(
    "convolution", "lax", ["lax", "im2col"], "How convolutions are computed."
)
_REPEATS = flags.DEFINE_integer("repeats", 7, "Windows that are timed.", lower_bound=1)
_STATISTIC = flags.DEFINE_enum(
    "statistic",
    "median",
    ["median", "least"],
    "Which of the windows is the time; least: on a machine that others share.",
)
_PRIORITY = flags.DEFINE_enum(
    "priority",
    "normal",
    ["normal", "raised"],
    "raised: go before other processes while the clock runs, where the system allows it.",
)
_JSON = flags.DEFINE_string("json", None, "Write the measurement into this file.")


def main() -> None:
    """Measure the network that the flags name."""
    network = paleo_json.load(_SPEC.value)
    device = devices.load(_DEVICE.value) if _DEVICE.value else None
    runtime.prepare(split=False)
    if device is None:
        device = networks.calibrated(machine.here())
    method: convolution.Method = "im2col" if _CONVOLUTION.value == "im2col" else "lax"
    raised = _PRIORITY.value == "raised"
    found = networks.report(
        network,
        device,
        _BATCH_SIZE.value,
        execution.Wanted(_MODE.value, _DTYPE.value, method),
        meters.find(machine.here().platform),
        timing.Plan(windows=_REPEATS.value, statistic=_STATISTIC.value),
        priority.raised if raised else contextlib.nullcontext,
    )
    if _JSON.value:
        files.write_json(_JSON.value, found)
    print("\n".join(networks.lines(found)))


if __name__ == "__main__":
    command_line.run(main)
