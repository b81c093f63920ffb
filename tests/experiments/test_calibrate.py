import json

import pytest

from greennas_jax.costs import devices, kinds, neuralpower_text
from greennas_jax.measure import calibration, measurements, sweep
from greennas_jax.measure.measurements import Measurement
from tests.experiments.programs import assert_refused, run

FIGURES = ("--peak_gflops=100", "--bandwidth_gbs=20")


@pytest.fixture(scope="module")
def rows():
    """Return inner products of a device with 2 us of overhead, half the peak and all bandwidth."""
    extent = sweep.EXTENTS["small"]._replace(counts={"inner_product": 40})
    found = [Measurement(case, 1.0, 0.01, None, "no meter") for case in sweep.draw(extent)]
    amount = calibration.amounts(found)
    time = 2e-3 + amount.flops / 50e6 + amount.moved / 20e6
    return [row._replace(runtime_ms=float(each)) for row, each in zip(found, time, strict=True)]


def test_somebody_elses_measurements(rows, tmp_path):
    csv = tmp_path / "theirs.csv"
    bad = measurements.write([rows[0]], header=False).replace(",no meter", ",")
    csv.write_text(measurements.write(rows) + bad)
    out = tmp_path / "theirs.json"
    flags = (f"--from_csv={csv}", f"--out={out}", "--assumed_watts=65", *FIGURES)
    result = run("calibrate", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert "line 42: 'power_w' is empty" in result.stdout
    assert "inner_product (fp32, inference): 40 layers" in result.stdout
    device = devices.load(out)
    assert device.peak_gflops == 100
    assert device.overhead_us == pytest.approx(2.0, rel=1e-3)
    row = kinds.CODES["inner_product"]
    assert device.compute_efficiency[row] == pytest.approx(0.5, rel=1e-3)
    assert device.memory_efficiency[row] == pytest.approx(1.0, rel=1e-3)
    assert device.static_w == 65
    assert any("assumed: 65 W" in told for told in device.assumptions)
    stated = json.loads(out.read_text())["calibration"]
    assert stated["power"] == "no meter"
    assert stated["errors"]["runtime_rmspe_percent"]["inner_product"]["fp32"]["rows"] == 40
    model = neuralpower_text.load(tmp_path / "theirs.neuralpower.json")
    assert [fit.kind for fit in model.fits] == ["inner_product"]


@pytest.mark.slow
def test_too_little_time_keeps_what_was_measured(tmp_path):
    out = tmp_path / "mine.json"
    result = run("calibrate", f"--out={out}", "--sweep=small", "--minutes=0.02")
    assert_refused(result, "more --minutes")
    partial = tmp_path / "mine.csv.partial"
    assert partial.read_text().startswith("# request ")
    assert not out.exists()
    refused = run("calibrate", f"--out={out}", "--sweep=small", "--minutes=0.02", "--seed=1")
    assert_refused(refused, "'seed' was 0, is 1")


def test_bad_flags(tmp_path):
    out = f"--out={tmp_path}/a.json"
    assert_refused(run("calibrate", out, "--from_csv=a.csv", *FIGURES), "a.csv")
    assert_refused(run("calibrate", out, "--dtype=int8"), "dtype 'int8' cannot be executed here")
