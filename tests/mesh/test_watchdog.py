import subprocess
import sys

import pytest

from greennas_jax.mesh import joining, watchdog

# As JAX 0.10 and 0.12 write them, shortened.
SILENT = """E1122 20:51:43.195331   25295 coordination_service.cc:1549] [39] Use error polling to \
propagate the following error to all tasks: UNAVAILABLE: The following tasks are unhealthy \
(stopped sending heartbeats):
3
The tasks have crashed. Check the task logs for an earlier error.
F1122 20:51:43.196314   25306 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors.
"""
LEADERLESS = """F1122 20:51:25.593715   25161 client.h:80] Terminating process because the JAX \
distributed service detected fatal errors. absl::Status: UNAVAILABLE: Failed to send RPC to \
coordination service. Either the leader task was preempted/died/restarted unexpectedly
*** Check failure stack trace: ***
    @     0x7fe907e40634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""
# What Python is told may come before the runtime writes anything.
TOLD_FIRST = (
    "process 0 of 2 cannot go on (INTERNAL: Barrier failed because: task is set to ERROR: "
    "UNAVAILABLE: Task 1 heartbeat timeout. This indicates that the remote task has failed)"
)
OTHER = "F1122 20:51:25.593715   25161 memory.cc:8] Out of memory\n"


@pytest.mark.parametrize(
    ("own", "said", "told"),
    [
        ("", SILENT, "process 3 of the run has stopped"),
        ("process 0 of 2 cannot go on (Barrier failed)", SILENT, "process 3 of the run has"),
        ("", LEADERLESS, "process 0 of the run has stopped"),
        (TOLD_FIRST, "", "process 1 of the run has stopped"),
        (
            "process 1 of 2 cannot go on (Failed to send RPC to coordination service)",
            "",
            "process 0",
        ),
        ("process 1 of 2 cannot go on (closed by peer)", "", "process 1 of 2 cannot go on (closed"),
        ("", OTHER, "the runtime ended this process (Out of memory)"),
        ("", "[Gloo] Rank 1 is connected to 1 peer ranks.\n", "ended from outside"),
    ],
)
def test_one_line_says_why(own, said, told):
    line = watchdog.line(own, said)
    assert line.startswith("error: ") and told in line
    assert "goes on from its last checkpoint" in line
    assert len(line.splitlines()) == 1


def heard(*lines):
    """Return what the watchdog prints of the lines that come to it before its process ends."""
    command = [sys.executable, "-I", watchdog.__file__]
    text = "".join(lines)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stderr


def test_it_is_silent_where_all_is_well():
    assert heard("I1122 all sorts of things\n", "\n", watchdog.WELL) == ""


def test_it_removes_what_a_process_could_not(tmp_path):
    scratch = tmp_path / "scratch folder"
    (scratch / "checkpoints").mkdir(parents=True)
    printed = heard(f"\n{watchdog.SCRATCH}{scratch}\n", LEADERLESS)
    assert printed.count("\n") == 1 and "process 0 of the run has stopped" in printed
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("here:1", None, None), "--num_processes and --process_id missing"),
        ((None, 2, 0), "--coordinator missing"),
        (("here:1", 2, None), "--process_id missing"),
        (("here", 2, 0), "--coordinator is 'here'; HOST:PORT needed"),
        (("here:0", 2, 0), "a port from 1 to 65535"),
        (("here:70000", 2, 0), "a port from 1 to 65535"),
        (("here:1", 0, 0), "--num_processes is 0; from 1 allowed"),
        (("here:1", 2, 2), "--process_id is 2; of 2 processes allowed: 0 to 1"),
        (("here:1", 2, -1), "--process_id is -1"),
    ],
)
def test_what_names_no_place_is_refused(given, words):
    with pytest.raises(joining.JoiningError) as caught:
        joining.place(*given)
    assert words in str(caught.value)


def test_a_place():
    assert joining.place(None, None, None) is None
    found = joining.place("[::1]:1234", 3, 2)
    assert (found.coordinator, found.processes, found.process) == ("[::1]:1234", 3, 2)
