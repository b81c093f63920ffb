"""A few hostile inputs of every kind; `python -m tests.fuzz` throws as many as are asked for."""

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greennas_jax.costs import devices, links
from greennas_jax.importers import formats
from greennas_jax.spec import limits, paleo_json, strict_json
from tests.fuzz import harness, readers, subjects

# Kinds whose readers take longest, or whose libraries do; they are judged by the long test.
LONG = ("spec", "device", "power_model", "cifar", "picture", "embedding")
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("name", sorted(set(subjects.SUBJECTS) - set(LONG)))
def test_hostile_inputs_are_accepted_or_refused_in_one_line(name):
    read = subjects.SUBJECTS[name].read
    for data in subjects.examples(name):
        assert harness.judge(read, data) == harness.ACCEPTED
    for number in range(20):
        found = harness.judge(read, subjects.hostile(name, 0, number))
        assert found in (harness.ACCEPTED, harness.REFUSED), (number, found)


@pytest.mark.parametrize("read", [paleo_json.read, devices.read, links.read, strict_json.parse])
@QUICK
@given(value=VALUES)
def test_any_json_value_is_accepted_or_refused(read, value):
    assert harness.judge(read, json.dumps(value)) in (harness.ACCEPTED, harness.REFUSED)


@pytest.mark.parametrize("format", formats.FORMATS)
@QUICK
@given(data=st.binary(max_size=200))
def test_any_bytes_are_accepted_or_refused(format, data):
    assert harness.judge(readers.imported(format), data) in (harness.ACCEPTED, harness.REFUSED)


def test_limits_are_told():
    chain = {"d": {"type": "Input", "parents": [], "tensor": [1, 2, 2, 1]}}
    many = chain | {f"l{n}": {"type": "ReLU", "parents": ["d"]} for n in range(limits.MOST_LAYERS)}
    wide = chain | {"l": {"type": "Elementwise", "parents": ["d"] * (limits.MOST_PARENTS + 1)}}
    deep = "[" * (limits.DEEPEST_NESTING + 1) + "]" * (limits.DEEPEST_NESTING + 1)
    for text, most in (
        (json.dumps({"layers": many}), limits.MOST_LAYERS),
        (json.dumps({"layers": wide}), limits.MOST_PARENTS),
        (deep, limits.DEEPEST_NESTING),
        (" " * (limits.LARGEST_JSON + 1), limits.LARGEST_JSON),
    ):
        with pytest.raises(ValueError, match=str(most)):
            paleo_json.read(text)


def test_what_is_no_clear_line_is_a_fault():
    def unclear(data):
        return int(data)

    def endless(data):
        raise MemoryError

    assert harness.judge(unclear, "x").startswith("not raised here: ValueError")
    assert harness.judge(endless, "x").startswith("MemoryError")


@pytest.mark.slow
def test_the_programs_and_the_long_readers_under_hostile_inputs():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--inputs=400", "--processes=2", "--seed=11"],
        cwd=harness.ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["fault"] == 0
