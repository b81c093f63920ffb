import dataclasses
import json

import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from greennas_jax.costs import devices, estimates, layer_table, neuralpower, paleo, power, terms
from greennas_jax.costs.devices import DeviceError
from greennas_jax.costs.settings import CostSettings
from tests.costs import fitted_models, measured_layers

MODEL = fitted_models.model()
RUNTIME_ONLY = fitted_models.model(
    fitted_models.fit("convolution", "CONVOLUTION", power=None, fused=("activation", "bias"))
)
FUSED = fitted_models.model(
    fitted_models.fit("convolution", "CONVOLUTION", fused=("activation", "bias"))
)
FITTED = CostSettings(power=MODEL)
TWO_FORMATS = {
    "name": "two_formats",
    "clock_mhz": {"value": 1000, "source": "made up"},
    "peak_gflops": {"value": 10000, "source": "made up"},
    "bandwidth_gbs": {"value": 1000, "source": "made up"},
    "tdp_w": {"value": 300, "source": "made up"},
    "dtypes": {"bf16": {"peak_gflops": {"value": 40000, "source": "made up"}}},
}


@pytest.fixture
def device():
    return devices.load("titan_x")


def cost(name, table, device, settings):
    return terms.get(name).function(table, device, settings)


@pytest.fixture
def layers():
    """Return fitted convolutions and inner products, with pooling that was not measured."""
    return measured_layers.joined(
        measured_layers.convolutions(12, 0),
        measured_layers.inner_products(6, 1),
        measured_layers.poolings(4, 2),
    )


def test_time_and_energy_are_the_models_where_it_holds(layers, device):
    found = neuralpower.predict(layers, MODEL)
    fitted = np.arange(22) < 18
    np.testing.assert_array_equal(found.in_range, fitted)
    time, energy = (cost(name, layers, device, FITTED) for name in ("time", "energy"))
    physical = [cost(name, layers, device, CostSettings()) for name in ("time", "energy")]
    np.testing.assert_allclose(time[fitted], found.runtime_ms[fitted], rtol=1e-14)
    # W x ms / 1000.
    joule = found.power_w * found.runtime_ms / 1000
    np.testing.assert_allclose(energy[fitted], joule[fitted], rtol=1e-14)
    np.testing.assert_array_equal(time[~fitted], physical[0][~fitted])
    np.testing.assert_array_equal(energy[~fitted], physical[1][~fitted])


def test_other_terms_do_not_change(layers, device):
    for name in ("memory", "parameters", "flops"):
        np.testing.assert_array_equal(
            cost(name, layers, device, FITTED), cost(name, layers, device, CostSettings())
        )


@pytest.mark.parametrize(
    "change", [{"mode": "training"}, {"dtype": "bf16"}], ids=["another mode", "another format"]
)
def test_what_was_measured_otherwise_falls_back(change, layers):
    device = devices.read(json.dumps(TWO_FORMATS))
    for name in ("time", "energy"):
        fitted = cost(name, layers, device, CostSettings(power=MODEL, **change))
        physical = cost(name, layers, device, CostSettings(**change))
        np.testing.assert_array_equal(fitted, physical)


@pytest.mark.parametrize("mode", ["inference", "prefill", "decode"])
def test_any_forward_pass_is_one_forward_pass(mode, layers, device):
    found = cost("time", layers, device, CostSettings(power=MODEL, mode=mode))
    np.testing.assert_array_equal(found, cost("time", layers, device, FITTED))


def test_a_fit_of_training_steps_answers_for_training(layers, device):
    model = fitted_models.model(fitted_models.fit("convolution", "CONVOLUTION"), mode="training")
    found = cost("time", layers, device, CostSettings(power=model, mode="training"))
    predicted = neuralpower.predict(layers, model).runtime_ms
    np.testing.assert_allclose(found[:12], predicted[:12], rtol=1e-14)
    other = cost("time", layers, device, CostSettings(power=model))
    np.testing.assert_array_equal(other, cost("time", layers, device, CostSettings()))


def test_energy_without_measured_power_is_physical_at_the_fitted_runtime(convolution, device):
    settings = CostSettings(power=RUNTIME_ONLY)
    table = convolution((4, 16, 16, 32), [3, 3, 32, 128])
    runtime = neuralpower.predict(table, RUNTIME_ONLY).runtime_ms
    flops, moved = paleo.totals(table, CostSettings())
    expected = power.of_work(flops, moved, runtime, device)
    np.testing.assert_allclose(cost("energy", table, device, settings), expected, rtol=1e-14)
    assert expected[0] != pytest.approx(cost("energy", table, device, CostSettings())[0], rel=0.1)


def test_what_follows_a_layer_is_added_unless_measured_with_it(convolution, device):
    plain = convolution((4, 16, 16, 32), [3, 3, 32, 128], use_bias=False)
    fused = convolution((4, 16, 16, 32), [3, 3, 32, 128], activation_fn="relu")
    normal = convolution(
        (4, 16, 16, 32), [3, 3, 32, 128], activation_fn="relu", normalizer_fn="batch_norm"
    )
    alone = neuralpower.predict(plain, MODEL).runtime_ms
    for table, model, added in (
        (plain, MODEL, plain),
        (fused, MODEL, fused),
        (fused, FUSED, plain),
        (normal, FUSED, normal.replace(activation=plain.activation, bias=plain.bias)),
    ):
        settings = CostSettings(power=model)
        behind = {
            name: cost(name, added, device, CostSettings())
            - cost(name, plain, device, CostSettings())
            for name in ("time", "energy")
        }
        time = cost("time", table, device, settings)
        np.testing.assert_allclose(time, alone + behind["time"], rtol=1e-12)
        watts = neuralpower.predict(plain, MODEL).power_w
        energy = cost("energy", table, device, settings)
        np.testing.assert_allclose(energy, watts * alone / 1000 + behind["energy"], rtol=1e-12)


def test_a_device_without_power_needs_none_where_power_was_measured(layers, device):
    unknown = device.replace(static_w=np.nan, tdp_w=np.inf, power_known=False)
    energy = cost("energy", layers_of(layers, 0, 18), unknown, FITTED)
    np.testing.assert_array_equal(energy, cost("energy", layers_of(layers, 0, 18), device, FITTED))
    with pytest.raises(DeviceError, match="states no power; 'tdp_w' or 'static_w' is needed for"):
        cost("energy", layers, unknown, FITTED)
    times = paleo.times(layers, unknown, FITTED)
    found = estimates.estimate(layers, times, unknown, FITTED).energy_j
    np.testing.assert_array_equal(np.isnan(found), np.arange(22) >= 18)


def layers_of(table, start, stop):
    return layer_table.LayerTable(**{n: column[start:stop] for n, column in vars(table).items()})


def test_nothing_costs_nothing(every_type, device):
    table = layer_table.from_network(every_type)
    zero = np.zeros(len(table))
    nothing = table.replace(in_channels=zero, out_channels=zero)
    for name in ("time", "energy"):
        np.testing.assert_array_equal(cost(name, nothing, device, FITTED), 0)


def test_numpy_equals_jit(layers, as_jax, device):
    expected = [cost(name, layers, device, FITTED) for name in ("time", "energy")]
    with jax.enable_x64(True):
        table = as_jax(layers)
        jitted = jax.jit(lambda t, d: [cost(name, t, d, FITTED) for name in ("time", "energy")])
        for found, each in zip(jitted(table, device), expected, strict=True):
            np.testing.assert_allclose(found, each, rtol=1e-12)


def test_gradients_with_respect_to_the_layers(layers, as_jax, device):
    device = device.replace(clock_mhz=1e12, tdp_w=1e6)
    layers = layers_of(layers, 9, 20)
    with jax.enable_x64(True):
        table = as_jax(layers)
        # Inside every range, so that a small step leaves none.
        columns = {"in_channels": 1.001 * table.in_channels}
        scale = 1e3 / cost("energy", layers, device, FITTED).sum()

        def total(changed):
            return scale * cost("energy", table.replace(**changed), device, FITTED).sum()

        check_grads(jax.jit(total), (columns,), order=1, modes=("rev",), atol=1e-5, rtol=1e-5)


def test_additive_over_layers(layers, device):
    for name in ("time", "energy"):
        together = cost(name, layers, device, FITTED)
        alone = [cost(name, layers_of(layers, i, i + 1), device, FITTED) for i in range(22)]
        np.testing.assert_array_equal(together, np.concatenate(alone))


def test_settings_name_their_model():
    assert str(MODEL) == "neuralpower of bench, inference, fp32, 2025-01-31"
    assert dataclasses.replace(FITTED, mode="training").power is MODEL
