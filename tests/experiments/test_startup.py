import json
import pathlib
import subprocess
import sys

import pytest

from greennas_jax.build import convolution
from greennas_jax.costs import conv_algorithms, device_power, scaling
from greennas_jax.importers import formats
from greennas_jax.measure import cases, execution, sweep, timing
from greennas_jax.nao import latent_search
from greennas_jax.search import front_search, loop, table_problem
from tests.experiments.programs import ROOT, environment

PROGRAMS = sorted(
    path.stem
    for path in (ROOT / "experiments").glob("*.py")
    if "command_line.run(main)" in path.read_text()
)
# Flags whose choices are written out, so that help need not load what they are the names of.
WRITTEN_OUT = {
    "calibrate": ("sweep", "statistic", "dtype"),
    "compare": ("algorithms", "measure"),
    "convert": ("format",),
    "footprint": ("power_model",),
    "measure": ("dtype", "convolution", "statistic"),
    "profile": ("conv_algorithm",),
    "scale": ("scaling", "parallel", "splits"),
    "search": ("space", "algorithm", "cost", "objective", "candidates", "gradient"),
}
READ = """
import importlib, json, sys
sys.path.insert(0, "experiments")
from absl import flags
found = {}
for program, names in json.loads(sys.argv[1]).items():
    importlib.import_module(program)
    for name in names:
        flag = flags.FLAGS[name]
        found[f"{program}.{name}"] = [getattr(flag.parser, "enum_values", flag.default), flag.help]
    for name in list(flags.FLAGS):
        delattr(flags.FLAGS, name)
print(json.dumps(found))
"""


def test_every_program_is_among_them():
    assert {"optimize", "profile", "scale", "benchmark"} <= set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_loads_nothing_heavy(program):
    command = [sys.executable, "-X", "importtime", f"experiments/{program}.py", "--help"]
    found = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0
    assert f"experiments/{program}.py" in found.stdout
    loaded = {line.split("|")[-1].strip() for line in found.stderr.splitlines() if "|" in line}
    assert "absl" in loaded
    assert not loaded & {"numpy", "jax", "flax", "optax", "scipy", "sklearn", "matplotlib"}


def test_choices_that_are_written_out_are_those_of_the_library():
    command = [sys.executable, "-c", READ, json.dumps(WRITTEN_OUT)]
    result = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    found = {name: choices for name, (choices, _) in json.loads(result.stdout).items()}
    described = {name: text for name, (_, text) in json.loads(result.stdout).items()}
    assert found["calibrate.sweep"] == list(sweep.EXTENTS)
    assert found["calibrate.statistic"] == found["measure.statistic"] == list(timing.STATISTICS)
    assert ", ".join(cases.DTYPES) in described["calibrate.dtype"]
    assert found["compare.algorithms"] == list(loop.RIVALS)
    assert found["convert.format"] == list(formats.FORMATS)
    assert found["footprint.power_model"] == list(device_power.MODELS)
    assert found["measure.dtype"] == list(execution.FORMATS)
    assert found["measure.convolution"] == list(convolution.METHODS)
    assert all(name in described["profile.conv_algorithm"] for name in conv_algorithms.choices())
    assert found["scale.scaling"] == list(scaling.SCALINGS)
    assert found["scale.parallel"] == list(scaling.PARALLELS)
    assert found["scale.splits"] == list(scaling.SPLITS)
    assert found["search.cost"] == list(table_problem.COSTS)
    assert found["search.objective"] == list(table_problem.OBJECTIVES)
    assert found["search.candidates"] == list(front_search.CANDIDATES)
    assert found["search.gradient"] == list(latent_search.PATHS)
    # These two modules hold more than names.
    from greennas_jax import journey, table_search

    assert found["compare.measure"] == list(journey.MEASURE)
    assert found["search.algorithm"] == list(table_search.ALGORITHMS)


@pytest.mark.parametrize("cache", ["blocked/cache", ""])
def test_a_cache_that_cannot_be_written_is_left_out(tmp_path, cache):
    (tmp_path / "blocked").write_text("a file, not a folder")
    program = """
import sys, warnings
warnings.simplefilter("error")
sys.path.insert(0, "experiments")
import runtime
runtime.prepare()
import jax
print(jax.config.jax_compilation_cache_dir, jax.jit(lambda x: x + 1)(1))
"""
    folder = str(tmp_path / cache) if cache else ""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment() | {"GREENNAS_CACHE": folder},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.split() == ["None", "2"], result.stderr


def test_what_is_compiled_is_kept(tmp_path):
    folder = tmp_path / "deep" / "cache"
    program = """
import sys
sys.path.insert(0, "experiments")
import runtime
runtime.prepare()
import jax
jax.jit(lambda x: x * 3 + 1)(1)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment() | {"GREENNAS_CACHE": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert any(path.is_file() for path in pathlib.Path(folder).rglob("*"))
