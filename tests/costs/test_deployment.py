import numpy as np
import pytest

from greennas_jax.costs import deployment, devices, sites
from greennas_jax.costs.deployment import Deployment, Phase
from greennas_jax.costs.device_power import Given
from tests.costs import published_runs

SITE = sites.site(pue=1.5, intensity=200, price=0.3)
GPU = devices.read(published_runs.PLAIN)
# A batch of 4 takes 8 ms at 250 W.
PASS = Phase(
    name="inference",
    totals={"time_ms": 8.0, "flops": 4e9, "bytes": 2e8, "energy_j": 2.0},
    batch_size=4,
)


def report(*phases, **settings):
    asked = Deployment(device=GPU, **({"given": Given(host_w=50)} | settings))
    return deployment.report("net", phases or [PASS], asked, SITE)


def thousand(result, name):
    return result["per_thousand"][name]["value"]


def test_a_thousand_inferences_by_hand():
    """2 ms and 0.5 J each, and the machine: 1000 x (0.5 + 0.002 x 50) x 1.5 = 900 J."""
    found = report(requests=5e6)
    np.testing.assert_allclose(thousand(found, "energy"), 900 / 3.6e6)
    np.testing.assert_allclose(thousand(found, "device_hours"), 2 / 3600)
    np.testing.assert_allclose(thousand(found, "carbon"), 900 / 3.6e6 * 200)
    np.testing.assert_allclose(thousand(found, "cost"), 900 / 3.6e6 * 0.3)
    np.testing.assert_allclose(found["figures"]["energy"]["value"], 900 / 3.6e9 * 5000)
    assert found["figures"]["latency"]["value"] == 8
    # 1e9 FLOP in 2 ms of 15.7 TFLOP/s.
    np.testing.assert_allclose(found["figures"]["utilisation"]["value"], 0.5 / 15.7)


def test_waiting_for_requests_by_hand():
    """Three quarters of the time idle at 40 W: 6 ms more each, all of it in the machine."""
    found = report(idle_share=0.75)
    joules = 1000 * (0.5 + 0.006 * 40 + 0.008 * 50) * 1.5
    np.testing.assert_allclose(thousand(found, "energy"), joules / 3.6e6)


def test_idle_neighbours_by_hand():
    """Seven more at 40 W in the same machine, for 2 ms each: 7 x 0.002 x (40 + 50) J."""
    joules = 1000 * (0.5 + 0.1 + 7 * 0.002 * 90) * 1.5
    np.testing.assert_allclose(thousand(report(idle_devices=7), "energy"), joules / 3.6e6)


def test_energy_grows_with_the_idle_share():
    used = [thousand(report(idle_share=share), "energy") for share in np.linspace(0, 0.95, 8)]
    assert (np.diff(used) > 0).all()


def test_devices_share_the_time_but_not_the_energy():
    one, four = report(), report(devices=4)
    np.testing.assert_allclose(thousand(four, "energy"), thousand(one, "energy"))
    hours = (each["figures"]["hours"]["value"] for each in (one, four))
    np.testing.assert_allclose(next(hours), 4 * next(hours))


def test_phases_add_up():
    """A prefill of a batch of 4, then 100 steps of 1 ms and 0.2 J for the same batch."""
    totals = {"time_ms": 1.0, "flops": 1e8, "bytes": 1e8, "energy_j": 0.2}
    decode = Phase(name="decode", totals=totals, batch_size=4, calls=100)
    found = report(PASS, decode)
    joules = 1000 * (0.5 + 5 + (0.002 + 0.025) * 50) * 1.5
    np.testing.assert_allclose(thousand(found, "energy"), joules / 3.6e6)
    assert found["figures"]["latency"]["value"] == 108
    assert [phase["name"] for phase in found["phases"]] == ["inference", "decode"]


def test_measured_watts_replace_the_layers():
    found = report(given=Given(measured_w=400), idle_share=0.5)
    np.testing.assert_allclose(thousand(found, "energy"), 1000 * 0.004 * 400 * 1.5 / 3.6e6)


def test_unknown_power_is_null_with_a_reason():
    dark = devices.read(published_runs.device_text("dark"))
    unknown = Phase(name="inference", totals=PASS.totals | {"energy_j": None}, batch_size=4)
    found = deployment.report("net", [unknown], Deployment(device=dark), SITE)
    assert thousand(found, "energy") is None
    assert "states neither" in found["per_thousand"]["carbon"]["reason"]
    assert thousand(found, "device_hours") > 0


def test_layers_whose_power_was_fitted_need_no_device_that_states_its():
    dark = devices.read(published_runs.device_text("dark"))
    found = deployment.report("net", [PASS], Deployment(device=dark), SITE)
    np.testing.assert_allclose(thousand(found, "energy"), 500 * 1.5 / 3.6e6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"requests": 0.0}, "requests is 0; allowed: numbers above 0"),
        ({"devices": 0}, "devices is 0; allowed: whole numbers from 1"),
        ({"idle_devices": -1}, "idle_devices is -1; allowed: whole numbers from 0"),
        ({"idle_devices": 1, "given": Given(measured_w=300)}, "cannot be told apart"),
        ({"idle_share": -0.1}, "idle_share is -0.1"),
    ],
)
def test_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Deployment(device=GPU, **settings)


def test_idle_neighbours_need_an_idle_power():
    asked = Deployment(device=devices.load("titan_x").replace(idle_w=None), idle_devices=1)
    with pytest.raises(ValueError, match="states no 'idle_w'"):
        deployment.report("net", [PASS], asked, SITE)
