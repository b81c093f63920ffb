import json

import pytest

from tests.experiments.programs import FAST, SPEC, assert_refused, run


def benchmarked(tmp_path, suite, *arguments):
    """Run a suite on little and return what it wrote, which is what it printed."""
    spec, out = tmp_path / "spec.json", tmp_path / "out.json"
    spec.write_text(json.dumps(SPEC))
    result = run(
        "benchmark",
        f"--suite={suite}",
        "--small",
        f"--spec={spec}",
        f"--json={out}",
        *arguments,
        **FAST,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found == json.loads(result.stdout)
    assert (found["schema"], found["suite"]) == ("greennas.benchmark/1", suite)
    assert found["small"] and found["machine"]["cores"] >= 1 and found["versions"]["jax"]
    return found


@pytest.mark.slow
def test_children(tmp_path):
    found = benchmarked(tmp_path, "children")
    rate = found["architectures_per_minute"]["median"]
    reference = found["reference_architectures_per_minute"]["median"]
    assert found["ratio"]["median"] == pytest.approx(rate / reference)
    # With the compilation counted, training takes longer and never less.
    assert 0 < found["ratio_with_compile"]["median"] <= found["ratio"]["median"]
    assert found["reference"].startswith("each network built, compiled and trained")


def test_costs(tmp_path):
    found = benchmarked(tmp_path, "costs")
    rate = found["architectures_per_s"]
    assert found["ratio_to_python_walk"] == pytest.approx(rate / found["python_walk_per_s"])
    # float32 sums of a few layers.
    assert found["largest_relative_difference"] < 1e-5
    assert found["formula_largest_relative_difference"] < 1e-5
    assert found["python_walk_largest_relative_difference"] < 1e-12
    rates = ("sampled", "packed", "filtered", "relaxed_with_gradient", "formula", "decoding_walk")
    for name in rates:
        rate = found[f"{name}_per_s"]
        assert (rate["median"] if isinstance(rate, dict) else rate) > 0


def test_unknown_suites_are_refused():
    assert_refused(run("benchmark", "--suite=speed"), "speed", "children|costs")
