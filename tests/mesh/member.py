"""One process of a team, for tests: joins, does a little of everything, and says what it found.

python -m tests.mesh.member PORT PROCESSES PROCESS WORKDIR done|waits
"""

import json
import os
import pathlib
import sys
import time

import jax
import numpy as np

from greennas_jax.mesh import arrays, handover, joining, team
from tests.mesh import computed


def main() -> None:
    """Do what the arguments say."""
    port, processes, process, workdir, until = sys.argv[1:]
    # Heartbeats missed for so long; a test need not wait longer.
    joining.PATIENCE = 5
    jax.config.update("jax_num_cpu_devices", 2)
    where = joining.Place(
        coordinator=f"127.0.0.1:{port}", processes=int(processes), process=int(process)
    )
    membership = joining.Membership(where)
    membership.join()
    scratch = pathlib.Path(workdir) / f"scratch{process}"
    scratch.mkdir()
    membership.will_leave(str(scratch))
    if until == "waits":
        print("joined", flush=True)
        try:
            team.meet()
            time.sleep(600 if where.process == 1 else 0)
            team.meet()
        except jax.errors.JaxRuntimeError as error:
            membership.give_up(error, os.EX_TEMPFAIL)
    found = _found(where, pathlib.Path(workdir), scratch)
    print(json.dumps(found), flush=True)
    membership.leave()


def _found(where: joining.Place, workdir: pathlib.Path, scratch: pathlib.Path) -> dict:
    """Return what the parts of the package say here."""
    over = arrays.everywhere()
    told = team.by_first(lambda: f"from {where.process}".encode())
    # Longer than one piece of a message.
    long = arrays.as_first(np.arange(team.PIECE // 4 + 3, dtype=np.int32) + where.process)
    folder = handover.workdir(lambda: workdir / "run", ("log.csv", "checkpoints"), scratch)
    team.agree("the question", {"seed": 1})
    refused = ""
    try:
        team.agree("the question", {"seed": where.process})
    except team.TeamError as error:
        refused = str(error)
    try:
        team.by_first(lambda: pathlib.Path("/nowhere/at/all").read_bytes())
    except (ValueError, OSError) as error:
        refused += f" {error}"
    visited = computed.ascents(over)
    alone = visited
    if team.is_first():
        alone = computed.ascents(arrays.of(jax.local_devices()[:1]))
    return {
        "devices": over.size,
        "told": told.decode(),
        "long": [int(long[0]), int(long[-1]), len(long)],
        "own_folder": folder == workdir / "run",
        "handed_over": sorted(
            f"{path.relative_to(folder)}: {path.read_text()}"
            for path in folder.rglob("*")
            if path.is_file()
        ),
        "refused": refused,
        "tokens": visited["tokens"].tolist(),
        "predicted": visited["predicted"].tolist(),
        "alone": [alone[name].tolist() for name in ("tokens", "predicted")],
    }


if __name__ == "__main__":
    main()
