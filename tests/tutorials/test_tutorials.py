"""The tutorials as they are written: their files are saved, their commands run."""

import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from tests.experiments import programs

FOLDER = programs.ROOT / "greennas_jax" / "tutorials"
TUTORIALS = sorted(path.stem for path in FOLDER.glob("*.md"))
_BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(name):
    """Return the blocks of a tutorial: (language, what stands behind it, text)."""
    return _BLOCK.findall((FOLDER / f"{name}.md").read_text())


def run(text, folder):
    """Run a command of a tutorial, its files `my/...` lying in a folder."""
    told = shlex.split(text.replace("\\\n", " ").replace("my/", f"{folder}/"))
    assert told[0] == "python"
    done = subprocess.run(
        [sys.executable, *told[1:]],
        cwd=programs.ROOT,
        env=programs.FAST["env"] | {"PYTHONPATH": str(programs.ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def follow(name, folder, *, slow):
    """Save the files of a tutorial, run its commands, and look for what it says they print."""
    printed = None
    for language, title, text in blocks(name):
        if language == "sh":
            # A long command is not needed by those behind it.
            printed = None if title == "slow" and not slow else run(text, folder)
        elif language == "text":
            for line in text.splitlines():
                assert printed is None or line in printed, f"{line!r} not in {printed}"
        else:
            (folder / pathlib.Path(title).name).write_text(text.replace("my/", f"{folder}/"))


@pytest.mark.parametrize("name", TUTORIALS)
def test_the_tutorial_works_as_written(name, tmp_path):
    follow(name, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TUTORIALS if name != "new_device"])
def test_its_long_commands_work_too(name, tmp_path):
    follow(name, tmp_path, slow=True)


def test_there_is_one_for_each_way_to_extend():
    assert TUTORIALS == ["new_cost_term", "new_device", "new_layer_type", "new_search_space"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError"),
        ("x = 1\ny = x +\n", "line 2: SyntaxError"),
        (
            "from greennas_jax.costs import terms\nterms.register(terms.get('energy'))\n",
            "line 2: ValueError: cost term 'energy' is already registered",
        ),
    ],
)
def test_a_plugin_that_stops_is_told_in_one_line(tmp_path, text, told):
    plugin = tmp_path / "broken.py"
    plugin.write_text(text)
    spec = "--spec=configs/specs/lenet5.json"
    done = programs.run("profile", f"--plugin={plugin}", spec, "--device=titan_x")
    programs.assert_refused(done, "plugin", "broken.py", told)


def test_a_plugin_is_a_python_file(tmp_path):
    spec = "--spec=configs/specs/lenet5.json"
    done = programs.run("profile", "--plugin=configs/specs/lenet5.json", spec, "--device=titan_x")
    programs.assert_refused(done, "a file NAME.py needed")
