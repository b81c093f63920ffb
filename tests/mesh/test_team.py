import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.experiments.programs import FAST, ROOT


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def members(folder, until):
    """Start two processes of one team."""
    port = free_port()
    return [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.mesh.member",
                str(port),
                "2",
                str(process),
                folder,
                until,
            ],
            cwd=ROOT,
            env=FAST["env"] | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]


@pytest.mark.slow
def test_two_processes_come_by_what_one_does(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints" / "embedding").mkdir(parents=True)
    (run / "checkpoints" / "lock").write_text("process 0")
    (run / "checkpoints" / "embedding" / "a").write_text("weights")
    (run / "log.csv").write_text("queries")
    (run / "page.html").write_text("of the first process alone")
    started = members(str(tmp_path), "done")
    ended = [process.communicate(timeout=400) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    # JAX and gloo have much to say; none of it is shown.
    assert [errors for _, errors in ended] == ["", ""]
    first, second = (json.loads(text) for text, _ in ended)
    assert (first["own_folder"], second["own_folder"]) == (True, False)
    assert second["handed_over"] == ["checkpoints/embedding/a: weights", "log.csv: queries"]
    for found in (first, second):
        assert found["devices"] == 4
        assert found["told"] == "from 0"
        assert found["long"] == [0, 2**18 + 2, 2**18 + 3]
        assert "the question of process 1 differs from that of process 0" in found["refused"]
        assert "/nowhere/at/all" in found["refused"]
    tokens, predicted = first["alone"]
    for found in (first, second):
        np.testing.assert_array_equal(found["tokens"], tokens)
        np.testing.assert_allclose(found["predicted"], predicted, rtol=1e-5)


@pytest.mark.parametrize("victim", [0, 1])
def test_the_others_stop_with_one_line(tmp_path, victim):
    started = members(str(tmp_path), "waits")
    try:
        for process in started:
            assert process.stdout.readline() == "joined\n"
        time.sleep(1)
        started[victim].send_signal(signal.SIGKILL)
        other = started[1 - victim]
        begun = time.monotonic()
        _, errors = other.communicate(timeout=60)
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert time.monotonic() - begun < 60
    assert other.returncode != 0
    assert errors.startswith(f"error: process {victim} of the run has stopped; start all")
    assert len(errors.splitlines()) == 1
    # What they could not clear away themselves is cleared away.
    assert not list(tmp_path.glob("scratch*"))
