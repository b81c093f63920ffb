import dataclasses

import numpy as np
import pytest

from greennas_jax.costs import neuralpower, neuralpower_features, neuralpower_fit
from greennas_jax.costs.neuralpower_model import Range
from tests.costs import measured_layers


@pytest.fixture(scope="module")
def measured():
    """Return layers of three kinds, and their runtime and power with 10 % of noise."""
    layers = measured_layers.joined(
        measured_layers.convolutions(120, 0),
        measured_layers.inner_products(60, 1),
        measured_layers.poolings(50, 2),
        measured_layers.poolings(5, 3).replace(operation=np.full(5, 12, np.int32)),
    )
    return layers, *measured_layers.accelerator(layers, 4)


@pytest.fixture(scope="module")
def fitted(measured):
    """Return the model of them."""
    return neuralpower_fit.fit(*measured, seed=0, device="bench", driver="7", date="2025-01-31")


def inner_products(count=40, seed=5):
    layers = measured_layers.inner_products(count, seed)
    return layers, measured_layers.accelerator(layers, seed)[0]


def test_error_by_hand():
    # 10 % above and 20 % below: sqrt((0.01 + 0.04) / 2).
    found = neuralpower_fit.rmspe(np.array([1.1, 1.6]), np.array([1.0, 2.0]))
    assert found == pytest.approx(100 * 0.025**0.5)


def test_kinds_are_fitted_apart(fitted):
    assert [fit.kind for fit in fitted.fits] == ["convolution", "inner_product", "pooling"]
    assert [fit.samples for fit in fitted.fits] == [120, 60, 50]
    assert fitted.fits[2].operations == ("AVERAGE_POOLING", "POOLING")
    assert (fitted.device, fitted.driver, fitted.date) == ("bench", "7", "2025-01-31")
    assert (fitted.mode, fitted.dtype, fitted.seed) == ("inference", "fp32", 0)


def test_ten_percent_of_noise_gives_little_more_error(fitted):
    for fit in fitted.fits:
        # Lognormal noise of 0.1 in runtime, 0.033 in power, and both together in energy.
        assert fit.error("runtime") < 17
        assert fit.error("power") < 14
        assert fit.error("energy") < 21
        for quantity in ("runtime", "power", "energy"):
            assert fit.error(quantity) < fit.error(quantity, "constant")


def test_the_form_used_is_the_best(fitted):
    for fit in fitted.fits:
        for quantity, formula in (("runtime", fit.runtime), ("power", fit.power)):
            errors = {e.form: e.rmspe for e in fit.errors if e.quantity == quantity}
            used = errors.pop("used")
            assert min(errors, key=errors.get) == formula.form
            assert errors[formula.form] == used


def test_new_layers_are_predicted(fitted):
    layers = measured_layers.joined(
        measured_layers.convolutions(100, 10), measured_layers.inner_products(100, 11)
    )
    runtime, power = measured_layers.accelerator(layers, 0, noise=0.0)
    found = neuralpower.predict(layers, fitted)
    inside = found.in_range
    assert inside.mean() > 0.9
    assert neuralpower_fit.rmspe(found.runtime_ms[inside], runtime[inside]) < 15
    assert neuralpower_fit.rmspe(found.power_w[inside], power[inside]) < 15


def test_measured_layers_are_in_range(fitted, measured):
    layers = measured[0]
    assert neuralpower.predict(layers, fitted).in_range.tolist() == [True] * 230 + [False] * 5


def test_wider_layers_take_longer(fitted):
    widths = np.array([16, 64, 256, 1024, 4096.0])
    for side in ("in_channels", "out_channels"):
        sizes = {"in_channels": 512, "out_channels": 512} | {side: widths}
        layers = measured_layers.table(3, batch=64, size=1, **sizes)
        found = neuralpower.predict(layers, fitted).runtime_ms
        assert found[-1] > 2 * found[0]
        assert (found > 0).all()


def test_a_known_sparse_polynomial_is_recovered():
    layers = measured_layers.inner_products(80, 1)
    features = neuralpower_features.values(layers)
    runtime = 0.02 + 2e-10 * features["operations"] + 1e-6 * features["batch"] * layers.in_channels
    model = neuralpower_fit.fit(layers, runtime, seed=0)
    fit = model.fits[0]
    assert fit.error("runtime", "polynomial") < 3
    fresh = measured_layers.inner_products(50, 2)
    features = neuralpower_features.values(fresh)
    expected = 0.02 + 2e-10 * features["operations"] + 1e-6 * features["batch"] * fresh.in_channels
    found = neuralpower.predict(fresh, model)
    assert found.in_range.mean() > 0.9
    inside = found.in_range
    np.testing.assert_allclose(found.runtime_ms[inside], expected[inside], rtol=0.05)


def test_the_same_measurements_give_the_same_model():
    layers, runtime = inner_products()
    first, second = (neuralpower_fit.fit(layers, runtime, seed=3) for _ in range(2))
    assert first == second
    other = neuralpower_fit.fit(layers, runtime, seed=4)
    assert other.fits[0].errors != first.fits[0].errors


def test_units_do_not_matter():
    layers, runtime = inner_products(30)
    in_ms, in_us = (neuralpower_fit.fit(layers, runtime * scale, seed=0) for scale in (1.0, 1e3))
    np.testing.assert_allclose(
        neuralpower.predict(layers, in_us).runtime_ms,
        1e3 * neuralpower.predict(layers, in_ms).runtime_ms,
        rtol=1e-6,
    )


@pytest.mark.slow
def test_power_where_it_was_not_measured():
    layers, runtime = inner_products()
    without = neuralpower_fit.fit(layers, runtime, seed=0).fits[0]
    assert without.power is None
    assert {error.quantity for error in without.errors} == {"runtime"}
    watts = np.full(40, np.nan)
    watts[:19] = 100.0
    assert neuralpower_fit.fit(layers, runtime, watts, seed=0).fits[0].power is None
    watts[:30] = 100.0
    part = neuralpower_fit.fit(layers, runtime, watts, seed=0)
    np.testing.assert_allclose(neuralpower.predict(layers, part).power_w, 100.0, rtol=1e-6)
    assert part.fits[0].error("power") == pytest.approx(0, abs=1e-6)


def test_other_predictions_are_judged_beside():
    layers, runtime = inner_products()
    watts = np.full(40, 50.0)
    fit = neuralpower_fit.fit(
        layers, runtime, watts, seed=0, paleo_ms=1.1 * runtime, paleo_w=0.8 * watts
    ).fits[0]
    assert fit.error("runtime", "paleo") == pytest.approx(10)
    assert fit.error("power", "paleo") == pytest.approx(20)
    # 1.1 * 0.8 = 0.88.
    assert fit.error("energy", "paleo") == pytest.approx(12)


def test_what_was_measured_together_is_recorded():
    layers, runtime = inner_products()
    fused = layers.replace(bias=np.ones(40), activation=np.ones(40))
    assert neuralpower_fit.fit(fused, runtime, seed=0).fits[0].fused == ("activation", "bias")


def test_layers_measured_twice_share_a_fold():
    once = measured_layers.convolutions(40, 0)
    features = neuralpower_features.values(measured_layers.joined(once, once))
    ranges = [Range(n, 0.0, 1.0) for n in neuralpower_features.of_kind("convolution", ("C",))]
    numbers = neuralpower_fit.distinct(features, ranges)
    np.testing.assert_array_equal(numbers[:40], numbers[40:])
    assert len(set(numbers)) == 40
    folds = neuralpower_fit.folds_of(numbers, seed=0)
    np.testing.assert_array_equal(folds[:40], folds[40:])
    # 40 layers in 10 folds, each twice.
    assert np.bincount(folds).tolist() == [8] * 10


def test_a_layer_measured_often_is_one_layer():
    layers = measured_layers.inner_products(1, 0)
    often = measured_layers.joined(*[layers] * 30)
    with pytest.raises(neuralpower_fit.FitError, match="30 layers were measured; at least 20"):
        neuralpower_fit.fit(often, np.linspace(1, 2, 30), seed=0)


BAD = [
    (lambda a: a[:-1], r"runtime_ms has shape \(39,\); \(40,\) needed"),
    (lambda a: np.where(np.arange(40) == 7, np.nan, a), "runtime_ms of layer 7 is nan; a positive"),
    (lambda a: np.where(np.arange(40) == 3, 0.0, a), "runtime_ms of layer 3 is 0.0; a positive"),
    (lambda a: np.where(np.arange(40) == 3, np.inf, a), "runtime_ms of layer 3 is inf"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD)
def test_bad_measurements_are_refused(spoil, message):
    layers, runtime = inner_products()
    with pytest.raises(neuralpower_fit.FitError, match=message):
        neuralpower_fit.fit(layers, spoil(runtime), seed=0)


def test_too_few_or_negative_measurements_are_refused():
    layers, runtime = inner_products()
    with pytest.raises(neuralpower_fit.FitError, match="power_w of layer 0 is -1.0; a positive"):
        neuralpower_fit.fit(layers, runtime, np.full(40, -1.0), seed=0)
    few = dataclasses.replace(measured_layers.inner_products(19, 0))
    with pytest.raises(neuralpower_fit.FitError, match="19 layers were measured; at least 20"):
        neuralpower_fit.fit(few, np.ones(19), seed=0)
