import json

import pytest

from tests.experiments.programs import assert_refused, run

LAYERS = {
    "data": {"type": "Input", "parents": [], "tensor": [2, 6, 6, 3]},
    "conv": {
        "type": "Convolution",
        "parents": ["data"],
        "filter": [3, 3, 3, 4],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        "normalizer_fn": "batch_norm",
    },
    "dense": {"type": "InnerProduct", "parents": ["conv"], "num_outputs": 3},
}


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"name": "small", "layers": LAYERS}), encoding="utf-8")
    return path


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_measured_beside_predicted(spec, tmp_path, mode):
    out = tmp_path / "out.json"
    result = run(
        "measure",
        f"--spec={spec}",
        "--device=cpu_i7",
        f"--mode={mode}",
        "--batch_size=3",
        "--repeats=3",
        f"--json={out}",
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "measured time: " in result.stdout
    found = json.loads(out.read_text())
    assert found["schema"] == "greennas.measurement/1"
    measured, said = found["measured"], found["predicted"]
    assert (measured["mode"], measured["batch_size"], measured["repeats"]) == (mode, 3, 3)
    assert measured["time_ms"] >= measured["least_ms"] > 0
    assert (measured["power_w"] is None) == (measured["energy_j"] is None)
    if measured["power_w"] is None:
        assert measured["power_source"].startswith("no meter")
    assert found["ratio"]["time_ms"] == pytest.approx(said["time_ms"] / measured["time_ms"])
    # The device states a TDP: predicted energy is known, whatever the meter.
    assert said["energy_j"] > 0
    assert found["calibrated_here"] is False


def test_bad_flags(spec):
    assert_refused(run("measure", f"--spec={spec}", "--dtype=int8"), "int8")
    assert_refused(run("measure", f"--spec={spec}", "--device=none_such"), "none_such")
