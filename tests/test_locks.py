import os
import signal
import subprocess
import sys

import pytest

from greennas_jax import checkpoints, locks

HOLDER = """
import sys, time
from greennas_jax import locks
locks.hold(sys.argv[1], "w")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    path = tmp_path / "checkpoints" / "lock"
    path.parent.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process, path
    process.kill()
    process.wait()
    process.stdout.close()
    locks.give_back(path)


def test_a_second_process_is_refused_and_told_who_is_there(holder, tmp_path):
    process, _ = holder
    with pytest.raises(locks.BusyError, match=f"at work there .process {process.pid} on "):
        checkpoints.claim(tmp_path, {"seed": 0})
    assert not (tmp_path / "config.json").exists()


def test_a_killed_process_is_not_in_the_way(holder, tmp_path):
    process, path = holder
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert path.read_text().startswith(f"process {process.pid} on ")
    checkpoints.claim(tmp_path, {"seed": 0})
    # Again, by the same process.
    checkpoints.claim(tmp_path, {"seed": 0})
    assert path.read_text().startswith(f"process {os.getpid()} on ")
