import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from greennas_jax.costs import devices, layer_table, paleo, terms
from greennas_jax.costs.settings import CostSettings

CONTINUOUS = (
    *("batch", "in_height", "in_width", "in_channels", "out_height", "out_width"),
    *("out_channels", "kernel_height", "kernel_width", "inputs"),
)
FIGURES = ("peak_gflops", "bandwidth_gbs", "static_w", "pj_per_flop", "pj_per_byte")
BUILT_IN = ("energy", "time", "memory", "parameters", "flops")
MODES = ("inference", "training")


@pytest.fixture
def device():
    """Return a device whose floors and power limit do not bind, so that costs are smooth."""
    return devices.load("titan_x").replace(clock_mhz=1e12, tdp_w=1e6, pj_per_flop=20.0)


def evaluate(name, table, device, settings):
    return terms.get(name).function(table, device, settings)


def test_built_in_terms_with_units():
    assert terms.names()[:5] == BUILT_IN
    assert [terms.get(name).unit for name in BUILT_IN] == ["J", "ms", "bytes", "count", "FLOP"]


def test_unknown_and_repeated_terms_are_refused():
    with pytest.raises(ValueError, match="'carbon' is not known; allowed: energy, time"):
        terms.get("carbon")
    with pytest.raises(ValueError, match="'energy' is already registered"):
        terms.register(terms.get("energy"))


def test_a_term_of_ones_own(monkeypatch, every_type, device):
    monkeypatch.setattr(terms, "_TERMS", dict(terms._TERMS))
    own = terms.Term("width", "count", lambda table, *_: table.out_channels, "channels")
    assert terms.register(own) is terms.get("width")
    table = layer_table.from_network(every_type)
    assert evaluate("width", table, device, CostSettings())[0] == 4
    assert "width" in terms.names()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", terms.names())
def test_gradients_with_respect_to_the_layers(name, mode, every_type, as_jax, device):
    settings = CostSettings(mode=mode)
    with jax.enable_x64(True):
        table = as_jax(layer_table.from_network(every_type))
        scale = 1 / evaluate(name, table, device, settings).sum()

        def total(columns):
            return scale * evaluate(name, table.replace(**columns), device, settings).sum()

        columns = {field: getattr(table, field) for field in CONTINUOUS}
        check_grads(jax.jit(total), (columns,), order=1, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)
        assert any(np.abs(g).max() > 0 for g in jax.grad(total)(columns).values())


@pytest.mark.parametrize("limit", [1e6, 170.0], ids=["free", "limited"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", terms.names())
def test_gradients_with_respect_to_the_device(name, mode, limit, every_type, as_jax, device):
    settings = CostSettings(mode=mode)
    with jax.enable_x64(True):
        table = as_jax(layer_table.from_network(every_type))
        known = device.replace(tdp_w=limit)
        scale = 1 / evaluate(name, table, known, settings).sum()

        def total(figures):
            return scale * evaluate(name, table, known.replace(**figures), settings).sum()

        figures = {field: jnp.asarray(getattr(known, field)) for field in FIGURES}
        check_grads(jax.jit(total), (figures,), order=1, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


def test_energy_answers_to_each_coefficient(every_type, as_jax, device):
    with jax.enable_x64(True):
        table = as_jax(layer_table.from_network(every_type))
        found = jax.grad(lambda d: evaluate("energy", table, d, CostSettings()).sum())(device)
        time, flops = (
            evaluate(name, table, device, CostSettings()).sum() for name in ("time", "flops")
        )
        moved = paleo.totals(table, CostSettings())[1].sum()
    # E = W t + FLOPs pJ + bytes pJ, with t in ms and pJ = 1e-12 J.
    assert found.static_w == pytest.approx(float(time) / 1000)
    assert found.pj_per_flop == pytest.approx(float(flops) * 1e-12)
    assert found.pj_per_byte == pytest.approx(float(moved) * 1e-12)


@pytest.mark.parametrize("name", terms.names())
def test_gradients_are_finite_where_a_width_is_zero(name, every_type, as_jax, device):
    with jax.enable_x64(True):
        table = as_jax(layer_table.from_network(every_type))
        nothing = {
            field: jnp.zeros_like(table.batch)
            for field in ("in_channels", "out_channels", "groups")
        }
        for mode in MODES:
            found = jax.grad(
                lambda columns, mode=mode: evaluate(
                    name, table.replace(**columns), device, CostSettings(mode=mode)
                ).sum()
            )(nothing)
            assert all(np.isfinite(g).all() for g in found.values())


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", terms.names())
def test_numpy_equals_jax_equals_jit(name, mode, compat, every_type, as_jax):
    settings = CostSettings(mode=mode, compat=compat)
    device = devices.load("titan_x")
    table = layer_table.from_network(every_type)
    expected = evaluate(name, table, device, settings)
    assert isinstance(expected, np.ndarray)
    assert expected.dtype == np.float64
    with jax.enable_x64(True):
        eager = evaluate(name, as_jax(table), device, settings)
        jitted = jax.jit(lambda t, d: evaluate(name, t, d, settings))(as_jax(table), device)
    np.testing.assert_allclose(eager, expected, rtol=1e-13)
    np.testing.assert_allclose(jitted, expected, rtol=1e-13)


@pytest.mark.parametrize("name", terms.names())
def test_single_precision_is_close(name, every_type, as_jax):
    table = layer_table.from_network(every_type)
    device = devices.load("titan_x")
    expected = evaluate(name, table, device, CostSettings())
    found = evaluate(name, as_jax(table), device, CostSettings())
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", terms.names())
def test_additive_over_layers(name, mode, every_type, joined):
    settings, device = CostSettings(mode=mode), devices.load("titan_x")
    table = layer_table.from_network(every_type)
    fields = [field.name for field in dataclasses.fields(table)]
    each = [
        layer_table.LayerTable(**{f: getattr(table, f)[i : i + 1] for f in fields})
        for i in range(len(table))
    ]
    alone = np.concatenate([evaluate(name, one, device, settings) for one in each])
    np.testing.assert_array_equal(evaluate(name, table, device, settings), alone)
    twice = evaluate(name, joined(table, table), device, settings)
    np.testing.assert_array_equal(twice, np.tile(alone, 2))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", terms.names())
@pytest.mark.parametrize("side", ["output", "input", "depthwise"])
def test_wider_never_costs_less(name, mode, side, convolution, joined):
    widths = range(8, 80, 8)
    filters = {
        "output": lambda w: ((4, 8, 8, 16), [3, 3, 16, w], 1),
        "input": lambda w: ((4, 8, 8, w), [3, 3, w, 16], 1),
        "depthwise": lambda w: ((4, 8, 8, w), [3, 3, w, w], w),
    }[side]
    tables = [convolution(*filters(w)[:2], groups=filters(w)[2]) for w in widths]
    cost = evaluate(name, joined(*tables), devices.load("titan_x"), CostSettings(mode=mode))
    assert (np.diff(cost) > 0).all() or name == "memory"
    assert (np.diff(cost) >= 0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", terms.names())
def test_nothing_costs_nothing(name, mode, every_type):
    table = layer_table.from_network(every_type)
    zero = np.zeros(len(table))
    nothing = table.replace(in_channels=zero, out_channels=zero)
    cost = evaluate(name, nothing, devices.load("titan_x"), CostSettings(mode=mode))
    np.testing.assert_array_equal(cost, 0)


def test_memory_by_hand(convolution):
    table = convolution((2, 4, 4, 3), [3, 3, 3, 5])
    device = devices.load("titan_x")
    # 3*3*3*5 + 5 = 140 parameters; 2*4*4*5 = 160 outputs.
    assert evaluate("memory", table, device, CostSettings())[0] == 4 * (140 + 160)
    # Weight, gradient and momentum.
    training = CostSettings(mode="training")
    assert evaluate("memory", table, device, training)[0] == 4 * (3 * 140 + 160)
