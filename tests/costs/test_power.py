import json

import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, paleo, power
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json

# Titan X with TensorFlow (Cai et al., NeuralPower, ACML 2017): batch, ms and J.
MEASURED = {
    "vgg16": (64, 368.42, 75.452),
    "alex_v2": (128, 39.02, 7.594),
    "nin": (128, 50.66, 11.465),
}


def energy(table, device, settings):
    return power.energy(table, paleo.times(table, device, settings), device, settings)


def test_energy_by_hand(row):
    device = (
        devices.load("titan_x")
        .replace(clock_mhz=1e9, peak_gflops=1.0, bandwidth_gbs=1.0, static_w=100.0, tdp_w=1000.0)
        .replace(pj_per_flop=1e5, pj_per_byte=2e5)
    )
    table = row("InnerProduct", (100, 100), num_outputs=100, use_bias=False)
    # 2e6 FLOP in 2 ms, 3 * 4e4 B in 0.12 ms: 100 W * 2.12 ms + 2e6 * 1e5 pJ + 1.2e5 * 2e5 pJ.
    assert energy(table, device, CostSettings())[0] == pytest.approx(0.212 + 0.2 + 0.024)


def test_never_above_the_design_power(every_type):
    device = devices.load("titan_x").replace(pj_per_byte=1e6)
    table = layer_table.from_network(every_type)
    for mode in ("inference", "training"):
        settings = CostSettings(mode=mode)
        seconds = paleo.of_mode(paleo.times(table, device, settings), mode) / 1000
        found = energy(table, device, settings)
        assert (found <= 250 * seconds + 1e-18).all()
        moving = seconds > 0
        np.testing.assert_allclose(found[moving], 250 * seconds[moving])


def test_no_stated_limit_is_no_limit(row):
    device = devices.load("titan_x").replace(tdp_w=float("inf"), pj_per_byte=1e6)
    table = row("ReLU", (1, 1000))
    limited = energy(table, devices.load("titan_x").replace(pj_per_byte=1e6), CostSettings())[0]
    # 8000 B at 1e6 pJ, and 125 W while they move.
    seconds = 8000 / 336.5e9
    assert energy(table, device, CostSettings())[0] == pytest.approx(8e-3 + 125 * seconds)
    assert limited == pytest.approx(250 * seconds)


def test_unknown_power_is_refused(every_type):
    device = devices.load("titan_x").replace(power_known=False)
    with pytest.raises(devices.DeviceError, match="states no power"):
        energy(layer_table.from_network(every_type), device, CostSettings())


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("name", MEASURED)
def test_published_energies(shared, name, compat):
    """From vendors' figures alone: within 20 percent, and within 10 at the measured time."""
    batch, milliseconds, joules = MEASURED[name]
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    table = layer_table.from_network(network, batch_size=batch, compat=compat)
    device, settings = devices.load("titan_x"), CostSettings(compat=compat)
    times = paleo.times(table, device, settings)
    assert times.forward.sum() == pytest.approx(milliseconds, rel=0.16)
    assert power.energy(table, times, device, settings).sum() == pytest.approx(joules, rel=0.2)
    timed = power.at_time(times, "inference", milliseconds)
    assert power.energy(table, timed, device, settings).sum() == pytest.approx(joules, rel=0.1)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_measured_time_is_shared_out_as_predicted(every_type, mode):
    device, settings = devices.load("titan_x"), CostSettings(mode=mode)
    table = layer_table.from_network(every_type)
    predicted = paleo.times(table, device, settings)
    timed = power.at_time(predicted, mode, 500.0)
    found, before = paleo.of_mode(timed, mode), paleo.of_mode(predicted, mode)
    assert found.sum() == pytest.approx(500.0, rel=1e-12)
    np.testing.assert_allclose(found, before * (500.0 / before.sum()), rtol=1e-12)
    # Only the static part, 125 W, is of the time.
    more = power.energy(table, timed, device, settings).sum()
    less = power.energy(table, predicted, device, settings).sum()
    assert more - less == pytest.approx(0.125 * (500.0 - before.sum()), rel=1e-9)


def test_a_measured_time_out_of_range_is_refused(every_type, row):
    device, settings = devices.load("titan_x"), CostSettings()
    times = paleo.times(layer_table.from_network(every_type), device, settings)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="the measured time is .* allowed: above 0"):
            power.at_time(times, "inference", wrong)
    view = paleo.times(row("Reshape", (2, 4), output_shape=[2, 2, 2]), device, settings)
    with pytest.raises(ValueError, match="cannot be shared out"):
        power.at_time(view, "inference", 1.0)


def test_cards_that_were_measured():
    """The assumed coefficients are near those of three cards (Choi et al., IPDPS 2013)."""
    # TDP W, GFLOP/s, GB/s; constant W, pJ/FLOP, pJ/B as fitted there.
    cards = {
        "GTX 580": (244, 1581, 192.4, 122, 99.7, 513),
        "GTX 680": (195, 3090, 192.3, 66, 43.2, 438),
        "GTX Titan": (250, 4500, 288.4, 123, 30.4, 267),
    }
    for tdp, rate, bandwidth, constant, per_flop, per_byte in cards.values():
        figures = {"clock_mhz": 1000, "tdp_w": tdp}
        figures |= {"peak_gflops": rate, "bandwidth_gbs": bandwidth}
        stated = {key: {"value": value, "source": "vendor"} for key, value in figures.items()}
        device = devices.read(json.dumps({"name": "card", **stated}))
        assert device.static_w == pytest.approx(constant, rel=0.5)
        assert device.pj_per_byte == pytest.approx(per_byte, rel=0.31)
        assert per_flop / 2 < device.pj_per_flop < per_flop
