"""One run on several processes of this machine, and what they refuse."""

import json
import socket
import subprocess
import sys
import time

import pytest

from tests.experiments.programs import QUICK, ROOT, SPEC, assert_refused, environment, launch, run

# Files that must be the same, whoever made them.
SAME = ("history.csv", "optimized.json", "optimized_flax.py", "exact_front.csv")
# A second batch: what is proposed after trainings comes from ascents.
CONFIG = QUICK | {"search.queries": 6, "search.batch": 3}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--coordinator=here:1",), ("--num_processes and --process_id missing",)),
        (
            ("--coordinator=here", "--num_processes=2", "--process_id=0"),
            ("--coordinator is 'here'", "HOST:PORT"),
        ),
        (
            ("--coordinator=here:1", "--num_processes=2", "--process_id=2"),
            ("--process_id is 2", "0 to 1"),
        ),
        (("--num_processes=two",), ("two",)),
    ],
)
def test_what_names_no_place_is_refused(tmp_path, flags, words):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(SPEC))
    workdir = tmp_path / "w"
    given = (f"--spec={spec}", "--device=titan_x", f"--workdir={workdir}")
    assert_refused(run("optimize", *given, *flags), *words)
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("study", ("--specs=configs/specs/lenet5.json", "--devices=titan_x")),
        ("compare", ("--spec=configs/specs/lenet5.json", "--device=titan_x")),
    ],
)
def test_programs_of_many_runs_refuse_processes(tmp_path, program, flags):
    workdir = tmp_path / "w"
    result = run(program, *flags, f"--workdir={workdir}", "--coordinator=here:1")
    assert_refused(result, "--coordinator makes no sense here", "runs of their own")
    assert not workdir.exists()


def team(tmp_path, workdir):
    """Start the small journey on two processes."""
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(SPEC))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    flags = {"spec": spec, "device": "titan_x", "dataset": "digits", "workdir": tmp_path / workdir}
    flags |= {"coordinator": f"127.0.0.1:{port}", "num_processes": 2, "measure": "never"}
    flags |= {f"config.{name}": value for name, value in CONFIG.items()}
    command = [sys.executable, "experiments/optimize.py"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    return [
        subprocess.Popen(
            [*command, f"--process_id={process}"],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]


def rows(folder):
    """Return a history without what the embedding expected, and that."""
    lines = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
    expected = slice(7, 10)
    kept = [[value for i, value in enumerate(line) if i not in (7, 8, 9)] for line in lines]
    told = [[float(value or "nan") for value in line[expected]] for line in lines[1:]]
    return kept, told


@pytest.mark.slow
def test_two_processes_end_as_one_does_and_go_on_as_one(tmp_path):
    alone = launch(tmp_path, "optimize", workdir="one", config=CONFIG, measure="never")
    assert alone.returncode == 0, alone.stderr
    started = team(tmp_path, "two")
    while not (tmp_path / "two" / "checkpoints" / "trials.jsonl").exists():
        assert all(process.poll() is None for process in started)
        time.sleep(0.2)
    started[1].kill()
    begun = time.monotonic()
    _, errors = started[0].communicate(timeout=60)
    assert time.monotonic() - begun < 60
    started[1].communicate()
    assert "process 1 of the run has stopped" in errors and len(errors.splitlines()) == 1
    assert not (tmp_path / "two" / "report.json").exists()
    again = team(tmp_path, "two")
    ended = [process.communicate(timeout=400) for process in again]
    assert [process.returncode for process in again] == [0, 0], ended
    assert "results are in" in ended[0][0] and ended[1] == ("", "")
    (kept, told), (same, others) = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert kept == same
    for one, other in zip(told, others, strict=True):
        assert one == pytest.approx(other, rel=1e-5, nan_ok=True)
    for name in SAME[1:]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
