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
    limited = energy(table, devices.load("titan_x"), CostSettings())[0]
    # 8000 B at 1e6 pJ, and 162.5 W while they move.
    seconds = 8000 / 336.5e9
    assert energy(table, device, CostSettings())[0] == pytest.approx(8e-3 + 162.5 * seconds)
    assert limited == pytest.approx(250 * seconds)


def test_unknown_power_is_refused(every_type):
    device = devices.load("titan_x").replace(power_known=False)
    with pytest.raises(devices.DeviceError, match="states no power"):
        energy(layer_table.from_network(every_type), device, CostSettings())


@pytest.mark.parametrize("name", MEASURED)
def test_published_energies(shared, name):
    """Within a fifth of the measured energy, uncalibrated; predicted time and power alike."""
    batch, milliseconds, joules = MEASURED[name]
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    table = layer_table.from_network(network, batch_size=batch)
    device, settings = devices.load("titan_x"), CostSettings()
    times = paleo.times(table, device, settings)
    assert times.forward.sum() == pytest.approx(milliseconds, rel=0.12)
    assert power.energy(table, times, device, settings).sum() == pytest.approx(joules, rel=0.2)
