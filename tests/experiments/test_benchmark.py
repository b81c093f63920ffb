import json
import math

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


def test_exact(tmp_path):
    found = benchmarked(tmp_path, "exact")
    assert found["no_streamed_string_is_cheaper"]
    # All strings of so small a space are streamed, up to the precision of float32 the best too.
    assert found["streamed"] == found["strings"] <= 1000
    assert found["least_streamed_over_optimum"] == pytest.approx([1.0] * 4, rel=1e-6)
    # Its third objective parts what the costs alone do not.
    assert found["front_with_score_is_whole"] and found["front_with_score_points"] > 3
    assert found["front_points"] >= 1 and found["front_is_whole"]


@pytest.mark.slow
def test_nao(tmp_path):
    found = benchmarked(tmp_path, "nao")
    assert found["generations_are_alike"]
    assert found["step_core_ms"]["median"] > 0
    alone = found["reference_step_core_ms"]["median"]
    assert found["ratio_of_step"] == pytest.approx(alone / found["step_core_ms"]["median"])


def test_startup(tmp_path):
    found = benchmarked(tmp_path, "startup")
    assert 0 < found["python_s"]["median"] < found["profile_s"]["median"]
    assert found["slowest_help_s"] == found["profile_help_s"]["median"]


@pytest.mark.slow
def test_scale(tmp_path):
    found = benchmarked(tmp_path, "scale")
    assert found["devices"] == [1, 2]
    assert all(ns > 0 for ns in found["core_ns_per_architecture_by_devices"])
    assert all(ms > 0 for ms in found["core_ms_per_ascent_by_devices"])
    assert found["ascents_alike_by_devices"] == [True, True] and found["all_ascents_alike"]
    for name in ("overhead_of_devices", "overhead_of_devices_in_time_slices"):
        each = found[name.replace("overhead_of", "core_ns_per_architecture_by")]
        assert found[name] == pytest.approx(max(each) / each[0] - 1)
    low, high = found["core_s_by_layers"]
    # Two sizes: the exponent is the slope between them.
    slope = math.log(high / low) / math.log(found["layers"][1] / found["layers"][0])
    assert found["exponent_of_layers"] == pytest.approx(slope)


def test_unknown_suites_are_refused():
    assert_refused(run("benchmark", "--suite=speed"), "speed", "children|costs")
