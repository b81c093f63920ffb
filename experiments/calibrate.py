r"""Measure this machine's layers and fit a device file to them.

python experiments/calibrate.py --out=configs/devices/mine.json --sweep=small

Writes mine.json (the device), mine.csv (every measured layer) and mine.neuralpower.json (layer
models of Cai et al.) beside each other. A killed calibration goes on where it stopped when the same
command is given again. Measurements of somebody else's machine are fitted with

python experiments/calibrate.py --out=theirs.json --from_csv=theirs.csv --peak_gflops=19500 \
    --bandwidth_gbs=1555
"""

import command_line
import runtime
from absl import flags

from greennas_jax.measure import campaign
from greennas_jax.spec import paleo_json

_OUT = flags.DEFINE_string("out", None, "The device file to write, NAME.json.", required=True)
_SWEEP = flags.DEFINE_enum(
    "sweep", "default", ["small", "default"], "How many layers of which sizes are measured."
)
_MINUTES = flags.DEFINE_float(
    "minutes", 9.0, "No layer is begun after so many minutes; kinds are cut alike.", lower_bound=0.0
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 1, "Times that each layer is measured; the least time counts.", lower_bound=1
)
_STATISTIC = flags.DEFINE_enum(
    "statistic",
    "median",
    ["median", "least"],
    "Which of a layer's samples is its time; least: for a machine that others share.",
)
_DTYPE = flags.DEFINE_list(
    "dtype", ["fp32"], "Number formats, the device's default first: fp32, tf32, bf16, fp16, int8."
)
_WATTS = flags.DEFINE_float(
    "assumed_watts", None, "Power to assume where no meter is [W], above 0; marked as assumed."
)
_FROM_CSV = flags.DEFINE_string("from_csv", None, "Fit these measurements; measure nothing.")
_PEAK = flags.DEFINE_float("peak_gflops", None, "Peak rate [GFLOP/s]; measured if left out.")
_BANDWIDTH = flags.DEFINE_float("bandwidth_gbs", None, "Bandwidth [GB/s]; measured if left out.")
_BASE = flags.DEFINE_string("base", None, "A device whose clock, peaks and bandwidth are taken.")
_CHECK = flags.DEFINE_list(
    "check", [], "Networks (spec files) that are run whole and set against the prediction."
)
_PRIORITY = flags.DEFINE_enum(
    "priority",
    "normal",
    ["normal", "raised"],
    "raised: go before other processes while the clock runs, where the system allows it.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the shapes drawn and the folds.", lower_bound=0)


def main() -> None:
    """Calibrate as the flags ask."""
    request = campaign.Request(
        out=_OUT.value,
        extent=_SWEEP.value,
        minutes=_MINUTES.value,
        rounds=_ROUNDS.value,
        statistic=_STATISTIC.value,
        dtypes=tuple(_DTYPE.value),
        assumed_watts=_WATTS.value,
        from_csv=_FROM_CSV.value,
        peak_gflops=_PEAK.value,
        bandwidth_gbs=_BANDWIDTH.value,
        base=_BASE.value,
        raised=_PRIORITY.value == "raised",
        seed=_SEED.value,
    )
    networks = [paleo_json.load(path) for path in _CHECK.value]
    if request.from_csv is None:
        runtime.prepare(split=False)
    print("\n".join(campaign.calibrate(request, networks)))


if __name__ == "__main__":
    command_line.run(main)
