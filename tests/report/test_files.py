import json
import os
import stat

import pytest

from greennas_jax.report import files


def test_text_is_written_whole(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "first\n")
    files.write_text(path, "zweite Zeile: ä\n")
    assert path.read_bytes() == "zweite Zeile: ä\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_numbers_keep_their_precision(tmp_path):
    value = {"third": 1 / 3, "tiny": 5e-324, "whole": 2**53 + 1, "nothing": None}
    files.write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}, {1, 2}])
def test_what_is_no_json_is_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "a.json"
    files.write_json(path, 1)
    with pytest.raises(ValueError, match="not writable as JSON"):
        files.write_json(path, value)
    assert path.read_text() == "1\n"


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_text(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        files.write_text(tmp_path / "absent" / "a.txt", "text")
    assert caught.value.filename == str(tmp_path / "absent" / "a.txt")


def test_permissions_are_those_of_a_plain_file(tmp_path):
    plain, written = tmp_path / "plain", tmp_path / "written"
    plain.write_text("x")
    files.write_text(written, "x")
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    written.chmod(0o600)
    files.write_text(written, "y")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
