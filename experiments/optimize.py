r"""From a network's text to a greener network's text, with the evidence.

python experiments/optimize.py --spec=configs/specs/lenet5.json --device=titan_x \
    --dataset=digits --max_accuracy_drop=0.01 --workdir=runs/lenet5

Writes into the workdir: optimized.json (the network, Paleo's text), optimized_flax.py (the same as
a Flax file that stands alone) and, where accuracy was measured, optimized.safetensors (its weights,
trained on the final test's first seed; `load` of the Flax file reads them), report.html (one file
to read in any browser), report.json, summary.txt, pareto/NNN.json, history.csv, exact_front.csv,
pareto.png, layer_energy.png, progress.png, scalars.csv (and tensorboard/ where tensorboardX is
installed), config.json and checkpoints/. The same command goes on
where a killed run stopped.

On several processes or hosts, each with all its devices: the same command everywhere with
--coordinator=HOST:PORT --num_processes=N, and --process_id=0 to N - 1. Process 0 alone reads and
writes the workdir; if one process dies the others stop within a minute, and any number of them goes
on from the last checkpoint.
"""

from __future__ import annotations

import dataclasses
import pathlib

import command_line
import journey_flags
import listening
import runtime
import several
from absl import flags

from greennas_jax import checkpoints, journey
from greennas_jax.mesh import handover, team
from greennas_jax.report import tables, telling

_SPEC, _DEVICE = journey_flags.define_network()
_SEED = flags.DEFINE_integer("seed", None, "Seed of every random choice (default 0).")


def main() -> None:
    """Take one network through the nine steps."""
    request = journey_flags.request(_SPEC.value, _DEVICE.value)
    if _SEED.value is not None:
        config = dataclasses.replace(request.config, seed=_SEED.value)
        request = dataclasses.replace(request, config=config)
    several.check()
    runtime.prepare()
    with several.team() as scratch:
        _travel(request, scratch)


def _travel(request: journey.Request, scratch: pathlib.Path) -> None:
    """Take the journey as one of the processes of the run."""
    journey.check_solvable(request)
    identity = journey.identity(request)
    team.agree("the request", identity)
    workdir = handover.workdir(
        lambda: checkpoints.claim(journey_flags.WORKDIR.value, identity), ("checkpoints",), scratch
    )
    if not team.is_first():
        journey.travel(dataclasses.replace(request, measure="never"), workdir, telling.Listener())
        return
    listener = listening.listener(workdir)
    try:
        report = journey.travel(request, workdir, listener)
    finally:
        listener.close()
    print("\n".join(tables.headline(report)))
    print(f"results are in {workdir}")


if __name__ == "__main__":
    command_line.run(main)
