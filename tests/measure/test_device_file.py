import json

import pytest

from greennas_jax.costs import devices, kinds
from greennas_jax.measure import device_file, machine
from greennas_jax.measure.calibration import Shares, Watts

GROUND = device_file.Ground(
    clock_mhz=(2000.0, "measured: told"),
    gflops={"fp32": (100.0, "measured: a product"), "bf16": (400.0, "measured: a product")},
    gbs=(20.0, "measured: a copy"),
)
FITS = [
    Shares("convolution", "fp32", "inference", 9.0, 0.5, 0.2, 16.0, 8.0, 30, 20.0, 25.0),
    Shares("convolution", "bf16", "inference", 5.0, 0.25, 0.2, 0.0, 0.0, 30, 20.0, 25.0),
    Shares("elementwise", "fp32", "inference", 3.0, None, 1.5, 0.0, 0.0, 20, 20.0, 30.0),
]
THIS = machine.Machine("cpu", "a processor", 2, "jax 0.10", 2000.0)


def composed(watts, assumed):
    record = device_file.record(THIS, watts, {"some": 1.0})
    value = device_file.compose("mine", GROUND, FITS, watts, assumed, record, "measured: mine.csv")
    return devices.read(json.dumps(value))


def test_the_file_is_a_device():
    found = composed("no meter: a test", None)
    convolution, elementwise = (kinds.CODES[name] for name in ("convolution", "elementwise"))
    assert (found.overhead_us, found.kind_overhead_us[convolution]) == (3.0, 6.0)
    assert found.compute_efficiency[convolution] == 0.5
    assert (found.kind_half_inputs[convolution], found.kind_half_outputs[convolution]) == (16, 8)
    assert found.memory_efficiency[elementwise] == 1.5
    # No time goes with its operations: as if they were done at any rate.
    assert found.compute_efficiency[elementwise] == 1e6
    assert found.at("bf16").compute_efficiency[convolution] == 0.25
    assert not found.power_known
    stated = json.loads(found.calibration)
    assert stated["power"] == "no meter: a test"
    assert machine.same(THIS, stated["machine"])
    told = dict(found.sources)["compute_efficiency.convolution"]
    assert told == "measured: mine.csv: 30 layers in inference, cross-validated error 25 %"


def test_measured_power_goes_before_assumed():
    found = composed(Watts(12.0, 50.0, 300.0, 40, 8.0, "NVML"), 65.0)
    assert (found.static_w, found.pj_per_flop, found.pj_per_byte) == (12.0, 50.0, 300.0)
    assert found.assumptions == ()
    assumed = composed("no meter: a test", 65.0)
    assert assumed.static_w == pytest.approx(65.0)
    assert len(assumed.assumptions) == 3
