"""Seconds from the start of a process to its end: help of every program, and a profile.

The reference is the interpreter with nothing to do, and one that loads JAX. Runs of the same kind
take turns with the others, so that whatever else the machine does meets all alike.
"""

import os
import pathlib
import subprocess
import sys
import time
from typing import Any

from . import suites

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = ROOT / "configs" / "specs" / "alexnet.json"
DEVICE = "titan_x"
REPEATS = 5
HELP = ("profile", "optimize", "search", "scale", "benchmark")


def run(options: suites.Options) -> dict[str, Any]:
    """Return the wall-clock seconds of every kind of process."""
    spec = options.spec or os.fspath(SPEC)
    programs = HELP[:1] if options.small else HELP
    commands = {"python": ["-c", "pass"], "import_jax": ["-c", "import jax"]}
    commands |= {f"{name}_help": [f"experiments/{name}.py", "--help"] for name in programs}
    commands["profile"] = ["experiments/profile.py", f"--spec={spec}", f"--device={DEVICE}"]
    took: dict[str, list[float]] = {name: [] for name in commands}
    # The first turn writes byte code and fills the system's file cache.
    for turn in range(1 + (1 if options.small else REPEATS)):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
            if turn:
                took[name].append(time.perf_counter() - start)
    found = {name: suites.spread(seconds) for name, seconds in took.items()}
    helps = [found[f"{name}_help"]["median"] for name in programs]
    return {
        "spec": os.fspath(spec),
        "device": DEVICE,
        "programs": list(programs),
        "reference": "an interpreter that does nothing, and one that imports JAX",
        **{f"{name}_s": seconds for name, seconds in found.items()},
        "slowest_help_s": max(helps),
        "ratio_of_help_to_python": max(helps) / found["python"]["median"],
        "ratio_of_profile_to_import_jax": found["profile"]["median"]
        / found["import_jax"]["median"],
    }
