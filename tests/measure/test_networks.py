import json

import pytest

from greennas_jax.costs import devices
from greennas_jax.measure import execution, machine, meters, networks, timing
from greennas_jax.measure.execution import Wanted
from greennas_jax.spec.network import Layer, Network
from tests.measure import fakes

THIS = machine.Machine("cpu", "a processor", 2, "jax", 2000.0)
DENSE = Network(
    name="dense",
    layers=(
        Layer(name="data", type="Input", parents=(), attributes={"tensor": [4, 6]}),
        Layer(name="out", type="InnerProduct", parents=("data",), attributes={"num_outputs": 3}),
    ),
)
WIDE = DENSE.replace(
    layers=(DENSE.layers[0], DENSE.layers[1].with_attributes(num_outputs=5)), name="wide"
)


def device(**machine_of):
    """Return a device of 1 GFLOP/s and 1 GB/s that draws 10 W, calibrated on some machine."""
    figures = {"clock_mhz": 1000.0, "peak_gflops": 1.0, "bandwidth_gbs": 1.0, "static_w": 10.0}
    stated = {key: {"value": value, "source": "a test"} for key, value in figures.items()}
    flat = {key: {"value": 0, "source": "a test"} for key in ("pj_per_flop", "pj_per_byte")}
    calibration = {"machine": {"platform": "cpu", "processor": "a processor", "cores": 2}}
    calibration["machine"] |= machine_of
    return devices.read(json.dumps({"name": "d", **stated, **flat, "calibration": calibration}))


@pytest.fixture
def here(monkeypatch):
    """Make this machine THIS, and programs take 2 ms of a fake clock, the wide network's 3 ms."""
    time = fakes.Time()

    def program(network, batch, wanted):
        return time.program([0.003 if network.name == "wide" else 0.002])

    monkeypatch.setattr(machine, "here", lambda: THIS)
    monkeypatch.setattr(execution, "program", program)
    real = timing.measure
    monkeypatch.setattr(
        timing, "measure", lambda call, meter, plan: real(call, meter, plan, time.clock())
    )
    return time


def test_measured_beside_predicted(here):
    found = networks.report(DENSE, device(), 2, Wanted(), here.meter(40.0))
    assert found["measured"]["time_ms"] == pytest.approx(2.0)
    assert found["measured"]["power_w"] == pytest.approx(40.0)
    assert found["measured"]["energy_per_example_j"] == pytest.approx(40 * 0.002 / 2)
    # 2 x 6 x 3 x 2 FLOP; inputs, weights, outputs, bias, and the outputs read and written for it:
    # 4 x (12 + 18 + 6 + 3 + 12) bytes, all at 1 per ns.
    assert found["predicted"]["time_ms"] == pytest.approx((72 + 204) * 1e-6)
    assert found["ratio"]["time_ms"] == pytest.approx(276e-6 / 2.0)
    assert found["ratio"]["energy_j"] == pytest.approx(276e-9 * 10 / (40 * 0.002))
    assert found["calibrated_here"] is True
    told = "\n".join(networks.lines(found))
    assert "measured time: 2.00 ms +/- 0.0 %" in told
    assert "calibrated on this machine" in told


def test_a_pair_on_the_machine_of_the_calibration(here):
    none = meters.absent("no meter: a test")
    found = networks.pair(DENSE, WIDE, device(), None, Wanted(), none)
    assert found["change"] == {"time_ms": pytest.approx(0.5), "energy_j": None}
    assert found["before"]["measured"]["power_source"] == "no meter: a test"
    assert found["reason"] is None


def test_a_pair_elsewhere_is_run_for_a_meter_alone(here):
    elsewhere = device(processor="another")
    found = networks.pair(DENSE, WIDE, elsewhere, None, Wanted(), meters.absent("no meter: a test"))
    assert found["before"] is None
    assert found["reason"] == "device 'd' was not calibrated on this machine; no meter: a test"
    metered = networks.pair(DENSE, WIDE, elsewhere, None, Wanted(), here.meter(5.0))
    assert metered["change"]["energy_j"] == pytest.approx(0.5)
    whole = networks.pair(DENSE, WIDE, device(), None, Wanted(dtype="int8"), here.meter(5.0))
    assert whole["reason"] == "inference in int8 cannot be run here"


def test_the_kernels_description_of_the_processor(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: A Processor \ncpu MHz\t\t: 1999.5\ncpu MHz\t\t: 2100.0\n")
    found = machine.here(info)
    assert (found.platform, found.processor, found.clock_mhz) == ("cpu", "A Processor", 2100.0)
    stated = {"platform": "cpu", "processor": "A Processor", "cores": found.cores}
    assert machine.same(found, stated)
    assert not machine.same(found, stated | {"cores": 999})
    assert not machine.same(found, None)


def test_rates_are_above_zero():
    plan = timing.Plan(windows=1, window_s=0.001, warm_up=1)
    rate, source = machine.rate("fp32", plan, sizes=(64,))
    assert rate > 0
    assert source == "measured: product of two 64 x 64 matrices, fp32"
    assert machine.bandwidth(plan, sizes=(1 << 20,))[0] > 0
