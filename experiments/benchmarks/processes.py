"""Parts of a suite that are measured in a process of their own, on one core."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]


def may_take_turns() -> bool:
    """Return whether a process may ask to go on until it waits."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def take_turns() -> None:
    """Let every thread of this process that starts from now on go on until it waits."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def alone(suite: str, call: str, *, devices: int = 1, in_turn: bool = False) -> Any:
    """Return what a call of a suite's module gives in a process of one core.

    Threads that wait for one another on several cores spin, which is no work; here they cannot.

    Args:
      suite: The module's name.
      call: The call; its result must be JSON's.
      devices: Forced host devices.
      in_turn: Whether each thread goes on until it waits, where that is allowed.
    """
    code = (
        "import os, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:]);"
        "import jax; sys.path.insert(0, 'experiments');"
        f"jax.config.update('jax_num_cpu_devices', {devices});"
        f"from benchmarks import processes, {suite}; import json;"
        f"processes.take_turns() if {in_turn and may_take_turns()} else None;"
        f"print(json.dumps({suite}.{call}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(found.stdout.splitlines()[-1])
