import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from greennas_jax.costs import device_power, devices
from greennas_jax.costs.device_power import Given, Load
from greennas_jax.costs.provenance import Figure, unknown

TRAFFIC = unknown("byte/FLOP", "no network")


def device(name, **figures):
    figures = {"clock_mhz": 1000, "peak_gflops": 1e5, "bandwidth_gbs": 900} | figures
    stated = {key: {"value": value, "source": "test"} for key, value in figures.items()}
    return devices.read(json.dumps({"name": name, **stated}))


def load(utilisation=0.4, traffic=TRAFFIC):
    return Load(Figure(utilisation, "", "stated", "test"), traffic)


TPU = device("tpu_v3", tdp_w=450, idle_w=123)
POWER = {"static_w": 195, "pj_per_byte": 438, "pj_per_flop": 0}
GPU = device("v100", tdp_w=300, idle_w=40, **POWER)


@pytest.mark.parametrize(
    ("achieved", "measured"),
    [(45.6, 310), (42.3, 289)],
)
def test_the_curve_against_measured_tpus(achieved, measured):
    """Patterson et al. 2021, table 4: W per TPU v3 of T5-11B and Meena, peak 123 TFLOP/s."""
    found = device_power.curve(achieved / 123, 123.0, 450.0)
    np.testing.assert_allclose(found, measured, rtol=0.09)


def test_the_curve_by_hand():
    """0.25^1.4 = 2^-2.8 = 0.143587; 100 + 200 (0.5 - 0.143587) = 171.283."""
    np.testing.assert_allclose(device_power.curve(0.25, 100.0, 300.0), 171.2826, atol=1e-3)
    assert device_power.curve(0.0, 100.0, 300.0) == 100
    assert device_power.curve(1.0, 100.0, 300.0) == 300


def test_the_curve_rises_between_idle_and_tdp():
    found = device_power.curve(np.linspace(0, 1, 101), 123.0, 450.0)
    assert (np.diff(found) > 0).all()
    assert found.min() == 123
    assert found.max() == 450


def test_the_curve_traced_and_differentiable():
    shares = jnp.linspace(0.05, 0.95, 7)
    traced = jax.jit(device_power.curve)(shares, 123.0, 450.0)
    expected = device_power.curve(np.linspace(0.05, 0.95, 7), 123.0, 450.0)
    chex.assert_trees_all_close(traced, expected, rtol=1e-5)
    check_grads(lambda u: device_power.curve(u, 1.23, 4.5), (shares,), order=1, modes=["rev"])


def test_the_physical_model_by_hand():
    """195 W + 1e13 FLOP/s x 2 pJ + 1e11 byte/s x 438 pJ = 195 + 20 + 43.8 W."""
    gpu = device("gpu", tdp_w=300, **POWER | {"pj_per_flop": 2})
    np.testing.assert_allclose(device_power.physical(1e13, 1e11, gpu), 258.8)
    np.testing.assert_allclose(device_power.physical(1e14, 1e12, gpu), 300)


def test_a_tpu_takes_the_curve_and_its_machine_is_within():
    found = device_power.watts(TPU, load(45.6 / 123), Given())
    # u = 0.37073: 2u - u^1.4 = 0.74146 - 0.24931; 123 + 327 x 0.49215 = 283.93
    np.testing.assert_allclose(found.busy.value, 283.93, atol=0.05)
    assert (found.waiting.value, found.idle.value) == (123, 123)
    assert found.host.value is None
    assert found.whole


def test_gpt3s_node():
    """330 W per V100 were measured, beyond its TDP of 300 W: 195 + 137.5 = 332.5."""
    found = device_power.watts(GPU, load(24.6 / 125), Given())
    assert found.busy.value == 195
    assert (found.host.value, found.host.provenance) == (137.5, "assumed")
    assert "traffic left out: no network" in found.busy.source


def test_traffic_adds_to_the_physical_model():
    """0.4 x 1e14 FLOP/s x 0.001 byte/FLOP = 40 GB/s; x 438 pJ = 17.52 W."""
    traffic = Figure(0.001, "byte/FLOP", "predicted", "test")
    found = device_power.watts(GPU, load(0.4, traffic), Given())
    np.testing.assert_allclose(found.busy.value, 195 + 17.52)
    assert "assumed" not in found.busy.source


def test_coefficients_that_nobody_measured_are_told():
    found = device_power.watts(device("v100", tdp_w=300), load(), Given())
    assert "assumed: static_w" in found.busy.source


def test_the_users_numbers_come_first():
    found = device_power.watts(GPU, load(), Given(model="utilisation", idle_w=50, host_w=20))
    np.testing.assert_allclose(found.busy.value, device_power.curve(0.4, 50.0, 300.0))
    assert (found.idle.value, found.idle.provenance) == (50, "stated")
    assert (found.host.value, found.host.provenance) == (20, "stated")
    apart = device_power.watts(TPU, load(), Given(host_w=20))
    assert apart.host.value == 20


def test_measured_watts_replace_every_model_and_hold_the_machine():
    found = device_power.watts(GPU, load(), Given(measured_w=330))
    assert {each.value for each in (found.busy, found.waiting, found.idle)} == {330}
    assert found.busy.provenance == "measured"
    assert found.host.value is None
    assert found.whole


def test_what_is_not_known_is_null_with_a_reason():
    found = device_power.watts(device("thing"), load(), Given())
    assert found.busy.value is None
    assert "states neither 'tdp_w' nor 'static_w'" in found.busy.source
    assert "no machine is known for device 'thing'" in found.host.source
    assert not found.whole


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "magic"}, "power_model is 'magic'; allowed: utilisation, physical"),
        ({"measured_w": -1}, "measured_w is -1; allowed: watts from 0"),
        ({"host_w": float("nan")}, "host_w is nan"),
        ({"measured_w": 300, "host_w": 50}, "host_w says nothing beside measured_w"),
    ],
)
def test_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Given(**given)


def test_the_curve_needs_both_ends():
    with pytest.raises(ValueError, match="states no 'idle_w'"):
        device_power.watts(device("x", tdp_w=200), load(), Given(model="utilisation"))
    with pytest.raises(ValueError, match="states no 'tdp_w'"):
        device_power.watts(device("x", idle_w=20), load(), Given(model="utilisation"))
    # Left to itself, it falls back to what the device does state.
    fallen = device_power.watts(device("tpu_v3", tdp_w=450, **POWER), load(), Given())
    assert fallen.busy.value == 195
