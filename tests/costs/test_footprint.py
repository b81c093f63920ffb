import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from greennas_jax.costs import footprint
from greennas_jax.costs.footprint import Draw, Hours

DRAW = Draw(busy_w=300.0, waiting_w=100.0, idle_w=50.0, host_w=80.0)
positive = st.floats(1e-3, 1e6)


def test_hours_of_t5_by_hand():
    """4.05e22 / (512 x 45.6e12) = 1.7347e6 s = 481.86 h = 20.08 days."""
    found = footprint.computing_hours(4.05e22, 512, 45.6 / 123, 123e3)
    np.testing.assert_allclose(found / 24, 20.08, atol=0.005)


def test_energy_by_hand():
    """Two devices, 10 h computing, 5 h sending, 5 h idle, and a building of PUE 1.5."""
    found = footprint.energy(2, Hours(10.0, 5.0, 5.0), DRAW, 1.5)
    # 2 x 10 x 0.3 = 6; 2 x 5 x 0.1 = 1; 2 x 5 x 0.05 = 0.5; 2 x 20 x 0.08 = 3.2; half of 10.7
    np.testing.assert_allclose(found, (6, 1, 0.5, 3.2, 5.35))
    np.testing.assert_allclose(found.total, 16.05)


def test_spare_devices_draw_their_idle_power_and_their_share_of_the_machine():
    """Seven more for 10 h: 7 x 10 x (0.05 + 0.08) = 9.1 kWh."""
    alone = footprint.energy(1, Hours(10.0, 0.0, 0.0), DRAW, 1.0)
    found = footprint.energy(1, Hours(10.0, 0.0, 0.0), DRAW, 1.0, spare=7)
    np.testing.assert_allclose(found.total - alone.total, 9.1)
    np.testing.assert_allclose(found.computing, alone.computing)


@given(positive, st.floats(0.1, 100), st.integers(1, 10**5), st.floats(0.01, 1))
def test_energy_is_linear_in_the_work_and_the_same_for_any_number_of_devices(
    flops, scale, devices, utilisation
):
    def total(work, count):
        hours = footprint.computing_hours(work * 1e15, count, utilisation, 1e3)
        return footprint.energy(count, Hours(hours, 0.0, 0.0), DRAW, 1.1).total

    np.testing.assert_allclose(total(flops, devices), total(flops, 1), rtol=1e-12)
    np.testing.assert_allclose(total(scale * flops, 1), scale * total(flops, 1), rtol=1e-12)


@given(st.floats(1, 3), positive, positive, positive)
def test_the_building_multiplies_what_the_machines_use(pue, computing, communication, idle):
    hours = Hours(computing, communication, idle)
    bare, housed = (footprint.energy(3, hours, DRAW, each) for each in (1.0, pue))
    assert bare.overhead == 0
    np.testing.assert_allclose(housed.total, pue * bare.total, rtol=1e-12)
    np.testing.assert_allclose(housed[:4], bare[:4], rtol=1e-12)


def test_more_idleness_uses_more_and_ever_more():
    shares = np.linspace(0, 0.9, 10)
    hours = footprint.idle_hours(10.0, shares)
    np.testing.assert_allclose(hours / (10.0 + hours), shares)
    used = footprint.energy(1, Hours(10.0, 0.0, hours), DRAW, 1.2).total
    assert (np.diff(used) > 0).all()
    assert (np.diff(used, 2) > 0).all()


def test_carbon_of_gpt3():
    """1287 MWh at 429 g/kWh: 552.1 t (Patterson et al. 2021, table 4)."""
    np.testing.assert_allclose(footprint.carbon_kg(1287e3, 429) / 1000, 552.1, atol=0.1)


def test_green_ai_multiplies():
    assert footprint.green_ai(2.0, 30.0, 5) == 300


def test_traced_like_numpy_and_differentiable():
    def emitted(values):
        flops, utilisation, watts, pue, intensity = values
        hours = footprint.computing_hours(flops * 1e18, 8, utilisation, 1e5)
        idle = footprint.idle_hours(hours, 0.2)
        draw = Draw(busy_w=watts, waiting_w=100.0, idle_w=50.0, host_w=80.0)
        used = footprint.energy(8, Hours(hours, 0.0, idle), draw, pue)
        return footprint.carbon_kg(used.total, intensity)

    values = jnp.array([3.0, 0.4, 300.0, 1.1, 400.0])
    chex.assert_trees_all_close(jax.jit(emitted)(values), emitted(np.asarray(values)), rtol=1e-5)
    check_grads(emitted, (values,), order=1, modes=["rev"], rtol=1e-2)
    gradient = jax.grad(emitted)(values)
    # Linear in the intensity, and inverse in the utilisation.
    np.testing.assert_allclose(gradient[4] * values[4], emitted(values), rtol=1e-5)
    np.testing.assert_allclose(gradient[1] * values[1], -emitted(values), rtol=1e-5)


def test_unknown_watts_stay_unknown():
    draw = Draw(busy_w=np.nan, waiting_w=0.0, idle_w=0.0, host_w=0.0)
    assert np.isnan(footprint.energy(1, Hours(1.0, 0.0, 0.0), draw, 1.0).total)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_arrays_of_any_shape(shape):
    hours = Hours(np.full(shape, 10.0), np.zeros(shape), np.zeros(shape))
    assert np.shape(footprint.energy(2, hours, DRAW, 1.0).total) == shape
