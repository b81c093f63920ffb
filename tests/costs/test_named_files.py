import os

import pytest

from greennas_jax.costs import named_files


class WrongError(ValueError):
    pass


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "B_one.json").write_text('"b"', encoding="utf-8")
    (tmp_path / "a_two.json").write_text('"a"', encoding="utf-8")
    (tmp_path / "a_two.models.json").write_text("{}", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no", encoding="utf-8")
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    return tmp_path


def test_names_are_the_json_files_without_a_second_ending(folder):
    assert named_files.names(folder) == ("B_one", "a_two", "latin")


@pytest.mark.parametrize("name", ["b_one", "B_ONE", "B_one"])
def test_case_does_not_matter(folder, name):
    text, origin = named_files.read(name, folder, "thing", WrongError)
    assert (text, origin) == ('"b"', str(folder / "B_one.json"))


def test_a_path_needs_no_name(folder, tmp_path):
    other = tmp_path / "deeper" / "own.json"
    other.parent.mkdir()
    other.write_text("own", encoding="utf-8")
    assert named_files.read(other, folder, "thing", WrongError) == ("own", os.fspath(other))


def test_refusals_say_what_is_allowed(folder, tmp_path):
    with pytest.raises(WrongError, match="thing 'c' is not known; allowed: b_one, a_two, latin"):
        named_files.read("c", folder, "thing", WrongError)
    with pytest.raises(WrongError, match="none found in"):
        named_files.read("c", tmp_path / "absent", "thing", WrongError)
    with pytest.raises(WrongError, match="latin.json: byte 1 is not UTF-8"):
        named_files.read("latin", folder, "thing", WrongError)
    with pytest.raises(FileNotFoundError):
        named_files.read("absent.json", folder, "thing", WrongError)
