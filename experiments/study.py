r"""Many written networks on many devices, each through the whole journey; what recurs in all.

python experiments/study.py --specs=configs/specs --devices=titan_x,raspberry_pi_5 \
    --config=configs/quick.py --workdir=runs/study

Every pair is a run of optimize.py in WORKDIR/NETWORK/DEVICE, in a process of its own; all flags of
optimize.py but --spec and --device are its. Writes WORKDIR/study.csv and study.html after every
pair. The same command goes on where a killed study stopped: what is finished is not run again,
what failed is tried again. A network that takes too many operations for trainings, or that the data
do not fit, goes by proxy (its accuracy is not measured), and the table says why.

Exit status: 0 if every pair is finished; 1 if one failed (the others are done, and the table names
it); 2 for a bad command, with nothing run.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys
import threading

import command_line
import journey_flags
import listening
import runtime
import several
import tqdm
from absl import flags

from greennas_jax import checkpoints, journey, locks, study
from greennas_jax.report import evidence, files, tables, units

_SPECS = flags.DEFINE_list(
    "specs", None, "Networks: files and folders of *.json, parted by commas.", required=True
)
_DEVICES = flags.DEFINE_list("devices", None, journey_flags.DEVICE_HELP, required=True)
_PROXIES = flags.DEFINE_list(
    "proxy_specs", [], "Of the networks, by file name without .json, those that go by proxy."
)
_MOST_FLOP = flags.DEFINE_float(
    "most_flop",
    2e7,
    "A network that takes more operations than this for one example goes by proxy [FLOP].",
    lower_bound=0,
)
_ONLY = flags.DEFINE_string(
    "only", None, "Run this pair alone, NETWORK/DEVICE, and gather nothing; for many machines."
)
_ENDS_WITH_STDIN = flags.DEFINE_bool(
    "ends_with_stdin", False, "End when stdin is closed: how a study's own processes end with it."
)
FAILED = 1


def main() -> None:
    """Run the study, or one pair of it."""
    several.refuse(
        "a study's pairs are runs of their own; "
        "give each machine its own with --only=NETWORK/DEVICE"
    )
    pairs = study.pairs(study.specs(_SPECS.value), _DEVICES.value)
    for name in _DEVICES.value:
        journey_flags.check(name)
    unknown = sorted(set(_PROXIES.value) - {pair.network for pair in pairs})
    if unknown:
        raise ValueError(f"--proxy_specs: '{unknown[0]}' is none of the networks of --specs")
    workdir = pathlib.Path(journey_flags.WORKDIR.value)
    if _ONLY.value is not None:
        chosen = {pair.folder.as_posix(): pair for pair in pairs}
        if _ONLY.value not in chosen:
            raise ValueError(f"--only is '{_ONLY.value}'; allowed: {', '.join(chosen)}")
        _run(chosen[_ONLY.value], workdir)
        return
    workdir.mkdir(parents=True, exist_ok=True)
    locks.hold(workdir / "lock", os.fspath(workdir))
    rows = {pair: study.Row(pair, study.WAITING, "", None) for pair in pairs}
    bar = tqdm.tqdm(pairs, unit="network", disable=not sys.stderr.isatty())
    for pair in bar:
        bar.set_postfix_str(pair.folder.as_posix())
        rows[pair] = _finish(pair, workdir)
        bar.clear()
        print(_line(rows[pair]), flush=True)
        _gather(list(rows.values()), workdir)
    print(f"results are in {workdir / 'study.csv'} and {workdir / 'study.html'}")
    if any(row.status == study.FAILED for row in rows.values()):
        raise SystemExit(FAILED)


def _finish(pair: study.Pair, workdir: pathlib.Path) -> study.Row:
    """Return a pair's row, after running it where it is not finished."""
    folder = workdir / pair.folder
    try:
        request = journey_flags.request(os.fspath(pair.spec), pair.device)
        found = study.row(pair, workdir)
        other = study.changed(request, folder) if found.status == study.FINISHED else ""
    except (ValueError, OSError) as error:
        return study.Row(pair, study.FAILED, " ".join(str(error).split()), None)
    if found.status == study.FINISHED:
        return study.Row(pair, study.FAILED, other, None) if other else found
    folder.mkdir(parents=True, exist_ok=True)
    (folder / study.FAILURE).unlink(missing_ok=True)
    command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
    command += [f"--only={pair.folder.as_posix()}", "--ends_with_stdin"]
    with open(folder / "log.txt", "wb") as log:
        # Held open as long as this process lives; the other one ends with it.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as process:
            status = process.wait()
    found = study.row(pair, workdir)
    if status and found.status != study.FINISHED:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        told = lines[-1].removeprefix("error: ") if lines else f"ended with status {status}"
        files.write_text(folder / study.FAILURE, f"{told}\n")
        found = study.row(pair, workdir)
    return found


def _run(pair: study.Pair, workdir: pathlib.Path) -> None:
    """Take one pair through the journey."""
    if _ENDS_WITH_STDIN.value:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    runtime.prepare()
    request = journey_flags.request(os.fspath(pair.spec), pair.device)
    note = ""
    if pair.network in _PROXIES.value:
        note = "by proxy: asked for by --proxy_specs"
    elif request.dataset != journey.NO_DATA:
        note = study.why_by_proxy(request, _MOST_FLOP.value)
    if note:
        request = dataclasses.replace(request, dataset=journey.NO_DATA)
    journey.check_solvable(request)
    folder = checkpoints.claim(workdir / pair.folder, journey.identity(request))
    files.write_text(folder / study.NOTE, f"{note}\n")
    shared = study.shared(request, workdir / pair.network)
    listener = listening.listener(folder, bars=not _ENDS_WITH_STDIN.value)
    report = journey.travel(request, folder, listener, None, shared)
    listener.close()
    print("\n".join(tables.headline(report)))


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(FAILED)


def _line(row: study.Row) -> str:
    """Return a pair in one line."""
    name = f"{row.pair.network} on {row.pair.target}"
    if row.run is None:
        return f"{name}: {row.status}{f', {row.note}' if row.note else ''}"
    report = row.run.report
    verdict = report["accuracy"].get("verdict") or "accuracy NOT measured"
    energy = units.percentage(report["change"]["energy_j"])
    wall = units.duration(report["search"]["wall_s"])
    return f"{name}: energy {energy}, {verdict}, {wall}{f' ({row.note})' if row.note else ''}"


def _gather(rows: list[study.Row], workdir: pathlib.Path) -> None:
    """Write the table and the page of what is known so far."""
    # Imported where pages are made: a refused input need not wait for it.
    from greennas_jax.report.page import study_page

    files.write_text(workdir / "study.csv", evidence.history_csv([study.flat(row) for row in rows]))
    files.write_text(workdir / "study.html", study_page.text(rows))


if __name__ == "__main__":
    command_line.run(main)
