"""Runs of a program that are killed at random moments and started again until they end."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from tests.experiments import programs

# What must be the same to the last byte, whatever became of the run in between.
SAME = ("history.csv", "optimized.json", "exact_front.csv", "optimized_flax.py")
LOG = pathlib.Path("checkpoints", "trials.jsonl")


def command(folder: pathlib.Path, workdir: str) -> list[str]:
    """Return the command of a small journey of a small network."""
    spec = folder / "spec.json"
    spec.write_text(json.dumps(programs.SPEC))
    flags = {
        "spec": spec,
        "device": "titan_x",
        "dataset": "digits",
        "workdir": folder / workdir,
        "measure": "never",
    }
    flags |= {f"config.{name}": value for name, value in programs.QUICK.items()}
    program = str(programs.ROOT / "experiments" / "optimize.py")
    return [sys.executable, program, *(f"--{name}={value}" for name, value in flags.items())]


def start(arguments: Sequence[str]) -> subprocess.Popen:
    """Start a program in a group of its own, so that all of it can be killed."""
    return subprocess.Popen(
        arguments,
        cwd=programs.ROOT,
        env=programs.FAST["env"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen) -> str:
    """Wait for a program that must end well, and return what it printed."""
    printed, _ = process.communicate()
    if process.returncode != 0:
        raise AssertionError(f"status {process.returncode}: {printed[-2000:]}")
    return printed


def unbroken(folder: pathlib.Path) -> float:
    """Run once without a kill, in FOLDER/unbroken; return how long it took [s]."""
    begun = time.monotonic()
    ended(start(command(folder, "unbroken")))
    return time.monotonic() - begun


def killed_until_ended(
    arguments: Sequence[str], rng: random.Random, longest: float, most: int
) -> int:
    """Start a program, kill it at a random moment, and so on until it ends.

    Args:
      arguments: The command.
      rng: Decides the moments.
      longest: Latest moment [s].
      most: Kills after which it is left to end.

    Returns:
      How often it was killed.
    """
    for kills in range(most):
        process = start(arguments)
        try:
            process.wait(timeout=rng.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            continue
        ended(process)
        return kills
    ended(start(arguments))
    return most


def differing(folder: pathlib.Path, workdir: str) -> list[str]:
    """Return in what a run differs from the unbroken one; lost or repeated queries count."""
    own, whole = folder / workdir, folder / "unbroken"
    found = [name for name in SAME if (own / name).read_bytes() != (whole / name).read_bytes()]
    keys = [_keys(place / LOG) for place in (own, whole)]
    if sorted(keys[0]) != sorted(keys[1]):
        found.append(f"{LOG}: {len(keys[0])} queries, {len(keys[1])} in the unbroken run")
    return found


def _keys(path: pathlib.Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def study(
    folder: pathlib.Path, kills: int, seed: int, say: Callable[[str], None] = lambda line: None
) -> dict[str, int | float]:
    """Kill runs until so many kills were made; return how many runs ended alike."""
    folder.mkdir(parents=True, exist_ok=True)
    took = unbroken(folder)
    say(f"unbroken run: {took:.1f} s")
    rng = random.Random(seed)
    made, runs, alike = 0, 0, 0
    while made < kills:
        workdir = f"run{runs}"
        here = killed_until_ended(command(folder, workdir), rng, took, min(10, kills - made))
        wrong = differing(folder, workdir)
        made, runs, alike = made + here, runs + 1, alike + (not wrong)
        say(f"{workdir}: {here} kills, {'identical' if not wrong else wrong}; {made} kills in all")
    return {"kills": made, "runs": runs, "identical": alike, "unbroken_s": round(took, 1)}
