"""A disk that takes no more, or a folder that takes nothing: the last good state stays."""

import errno
import json
import os
import resource
import struct
import subprocess
import sys

import numpy as np
import pytest

from greennas_jax import checkpoints
from greennas_jax.accuracy.oracle import Trial
from greennas_jax.report import files
from tests.experiments import programs
from tests.resume import runs

# The most bytes that a file may have, after which the system refuses every write, as a full disk.
SMALL = 2048


@pytest.fixture
def full():
    """Let no file grow beyond SMALL bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, full):
    path = tmp_path / "report.json"
    files.write_text(path, "good")
    with pytest.raises(OSError, match=r"report\.json"):
        files.write_text(path, "x" * (SMALL + 1))
    assert path.read_text() == "good"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_a_log_that_was_cut_off_goes_on_where_it_was_whole(tmp_path, full):
    path = tmp_path / "trials.jsonl"
    log = checkpoints.TrialLog(path)
    trained = []

    def evaluate(tokens, seeds):
        trained.extend(seeds)
        return [Trial(0.5, False, 1.0, (0.25,) * 20) for _ in seeds]

    token = np.zeros((1, 3), np.int32)
    with pytest.raises(OSError, match=r"trials\.jsonl") as error:
        for seed in range(100):
            log.evaluate(evaluate, token, [seed])
    assert error.value.errno == errno.EFBIG
    held = len(path.read_text().splitlines()) - (not path.read_text().endswith("\n"))
    assert 0 < held < len(trained)
    again = checkpoints.TrialLog(path)
    trained.clear()
    again.evaluate(evaluate, np.repeat(token, held, axis=0), list(range(held)))
    assert trained == []


def test_arrays_that_cannot_be_saved_are_saved_later(tmp_path):
    code = f"""
import pathlib, resource, sys
import numpy as np
from greennas_jax import checkpoints
path, tree = pathlib.Path(sys.argv[1]), {{"w": np.random.default_rng(0).normal(size=20000)}}
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, ({SMALL}, before[1]))
try:
    checkpoints.save_arrays(path, tree)
except OSError as error:
    assert error.filename == str(path), error
else:
    raise SystemExit("saved on a full disk")
assert not path.exists()
resource.setrlimit(resource.RLIMIT_FSIZE, before)
checkpoints.save_arrays(path, tree)
np.testing.assert_array_equal(checkpoints.load_arrays(path, tree)["w"], tree["w"].astype("f4"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "embedding.safetensors")],
        cwd=programs.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_damaged_arrays_are_refused_in_one_line(tmp_path):
    path, tree = tmp_path / "tree", {"w": np.arange(300, dtype=np.float32)}
    checkpoints.save_arrays(path, tree)
    good = path.read_bytes()
    for place in range(len(good)):
        spoilt = bytearray(good)
        spoilt[place] ^= 0x55
        path.write_bytes(bytes(spoilt))
        try:
            found = checkpoints.load_arrays(path, tree)
        except ValueError as error:
            assert "tree: " in str(error) and "\n" not in str(error)
        else:
            # What was changed means nothing for the arrays.
            np.testing.assert_array_equal(found["w"], tree["w"])


@pytest.mark.parametrize("dtype", ["F8_E4M3", "BF16", "I8", "F4"])
def test_arrays_of_other_formats_are_refused_in_one_line(tmp_path, dtype):
    path, tree = tmp_path / "tree", {"w": np.arange(300, dtype=np.float32)}
    checkpoints.save_arrays(path, tree)
    good = path.read_bytes()
    (size,) = struct.unpack("<Q", good[:8])
    stated = json.loads(good[8 : 8 + size])
    width = {"BF16": 2, "F4": 0.5}.get(dtype, 1)
    stated["00000"] |= {"dtype": dtype, "shape": [int(1200 / width)]}
    head = json.dumps(stated).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + good[8 + size :])
    with pytest.raises(ValueError, match="tree: damaged"):
        checkpoints.load_arrays(path, tree)


@pytest.mark.skipif(os.path.exists("/proc/none"), reason="a folder of that name is there")
def test_a_workdir_that_takes_nothing_is_refused():
    with pytest.raises(OSError, match="/proc/none"):
        checkpoints.claim("/proc/none/w", {"seed": 0})


@pytest.mark.slow
def test_a_journey_on_a_full_disk_ends_in_one_line_and_goes_on_later(tmp_path):
    runs.unbroken(tmp_path)
    command = runs.command(tmp_path, "full")
    # Blocks of 512 bytes.
    limited = ["sh", "-c", 'ulimit -S -f 80; exec "$@"', "sh", *command]
    done = subprocess.run(
        limited,
        cwd=programs.ROOT,
        env=programs.FAST["env"] | {"GREENNAS_CACHE": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    runs.ended(runs.start(command))
    assert runs.differing(tmp_path, "full") == []
