import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from greennas_jax.costs import neuralpower, pytrees  # noqa: F401 -- registers the records
from greennas_jax.costs.neuralpower_model import Formula
from greennas_jax.costs.settings import CostSettings
from tests.costs import fitted_models, measured_layers

MODEL = fitted_models.model()


@pytest.fixture
def layers():
    """Return convolutions (some too wide for the model), inner products and pooling."""
    return measured_layers.joined(
        measured_layers.convolutions(30, 0),
        measured_layers.convolutions(2, 1).replace(in_channels=np.array([600.0, 64.0])),
        measured_layers.inner_products(10, 2),
        measured_layers.poolings(4, 3),
    )


def test_runtime_and_power_by_hand(convolution):
    table = convolution((4, 16, 16, 32), [3, 3, 32, 128])
    found = neuralpower.predict(table, MODEL)
    operations = 2 * 4 * 16 * 16 * 3 * 3 * 32 * 128
    # Every feature over its largest: 1e12, 64, 64 and 512.
    runtime = 0.02 + 3 * operations / 1e12 + 0.5 * (4 / 64) * (16 / 64) ** 2 + 0.25 * 128 / 512
    assert found.runtime_ms[0] == pytest.approx(runtime, rel=1e-14)
    # Middles of the logarithms: sqrt(1 * 512) = 2^4.5 channels, sqrt(1 * 64) = 2^3 images.
    # log2(32) - 4.5 = 0.5, log2(4) - 3 = -1: 2^(7 + 0.05 * 0.5 + 0.02 * -1 * 0.5).
    assert found.power_w[0] == pytest.approx(2**7.015, rel=1e-14)
    assert found.in_range[0]


def test_a_base_counted_from_the_work_by_hand(row):
    table = row("InnerProduct", (8, 64), num_outputs=256)
    found = neuralpower.predict(table, MODEL)
    base = 0.01 + 0.5 * (64 * 256) / 1e12 + 0.2 * (2 * 8 * 64 * 256) / 1e12
    # log2(64) - log2(sqrt(4096)) = 0: the correction is 1.
    assert found.runtime_ms[0] == pytest.approx(base, rel=1e-14)
    wider = neuralpower.predict(row("InnerProduct", (8, 128), num_outputs=256), MODEL)
    base = 0.01 + 0.5 * (128 * 256) / 1e12 + 0.2 * (2 * 8 * 128 * 256) / 1e12
    # log2(128) - 6 = 1, log2(256) - 6 = 2: 1 + 0.01 * 1 * 1 * 2.
    assert wider.runtime_ms[0] == pytest.approx(1.02 * base, rel=1e-14)


def test_predictions_stay_between_the_measured_extremes(convolution):
    table = convolution((1, 4, 4, 1), [1, 1, 1, 1])
    low = dataclasses.replace(fitted_models.RUNTIME, constant=-5.0)
    high = dataclasses.replace(fitted_models.RUNTIME, constant=5e3)
    for runtime, expected in ((low, 0.015), (high, 1e3)):
        model = fitted_models.model(
            fitted_models.fit("convolution", "CONVOLUTION", runtime=runtime)
        )
        assert neuralpower.predict(table, model).runtime_ms[0] == expected


def test_out_of_range_is_said_and_not_guessed(layers):
    found = neuralpower.predict(layers, MODEL)
    assert found.in_range.tolist() == [True] * 30 + [False, True] + [True] * 10 + [False] * 4
    assert np.isnan(found.runtime_ms[~found.in_range]).all()
    assert np.isnan(found.power_w[~found.in_range]).all()
    assert (found.runtime_ms[found.in_range] > 0).all()
    assert (found.power_w[found.in_range] > 0).all()


@pytest.mark.parametrize(
    ("change", "inside"),
    [
        ({}, True),
        ({"batch": 65.0}, False),
        ({"in_channels": 512.0}, True),
        ({"in_channels": 513.0}, False),
        ({"kernel_height": 9.0, "kernel_width": 9.0}, False),
        ({"stride_height": 4.0, "stride_width": 4.0}, False),
        ({"groups": 2.0}, False),
        ({"depthwise": 1.0, "groups": 32.0}, False),
        ({"operation": 2}, False),
    ],
)
def test_the_range_of_every_feature(change, inside, convolution):
    table = convolution((4, 16, 16, 32), [3, 3, 32, 128])
    changed = {name: np.full_like(getattr(table, name), value) for name, value in change.items()}
    found = neuralpower.predict(table.replace(**changed), MODEL)
    assert bool(found.in_range[0]) == inside
    reason = neuralpower.outside(table.replace(**changed), MODEL, CostSettings())[0]
    assert (reason is None) == inside


def test_reasons_in_words(convolution, row):
    table = convolution((128, 16, 16, 32), [3, 3, 32, 128])
    assert neuralpower.outside(table, MODEL, CostSettings()) == [
        "batch 128 was not measured, only 1 to 64"
    ]
    assert neuralpower.outside(table, MODEL, CostSettings(mode="training")) == [
        "layers were measured in inference and fp32, not in training and fp32"
    ]
    assert neuralpower.outside(table, MODEL, CostSettings(dtype="bf16")) == [
        "layers were measured in inference and fp32, not in inference and bf16"
    ]
    pool = row("AvgPool", (2, 8, 8, 3), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")
    assert neuralpower.outside(pool, MODEL, CostSettings()) == ["no pooling was measured"]
    other = fitted_models.model(fitted_models.fit("pooling", "POOLING"))
    assert neuralpower.outside(pool, other, CostSettings()) == ["average pooling was not measured"]
    view = row("Reshape", (2, 8, 8, 3), output_shape=[2, 192])
    assert neuralpower.outside(view, MODEL, CostSettings()) == [None]


def test_power_that_was_not_measured_is_not_known(convolution):
    table = convolution((4, 16, 16, 32), [3, 3, 32, 128])
    model = fitted_models.model(fitted_models.fit("convolution", "CONVOLUTION", power=None))
    found = neuralpower.predict(table, model)
    assert found.in_range[0]
    assert found.runtime_ms[0] > 0
    assert np.isnan(found.power_w[0])


def test_numpy_equals_jax_equals_jit(layers, as_jax):
    expected = neuralpower.predict(layers, MODEL)
    assert expected.runtime_ms.dtype == np.float64
    with jax.enable_x64(True):
        table = as_jax(layers)
        eager = neuralpower.predict(table, MODEL)
        jitted = jax.jit(chex.assert_max_traces(neuralpower.predict, n=1), static_argnums=1)
        chex.assert_trees_all_close(eager, expected, rtol=1e-12)
        chex.assert_trees_all_close(jitted(table, MODEL), expected, rtol=1e-12)
        jitted(table, fitted_models.model())


def test_single_precision_is_close(layers, as_jax):
    expected = neuralpower.predict(layers, MODEL)
    single = jax.jit(lambda table: neuralpower.predict(table, MODEL))(as_jax(layers))
    assert single.runtime_ms.dtype == jnp.float32
    chex.assert_trees_all_close(single, expected, rtol=1e-4)


def test_single_precision_keeps_the_extreme_layers_in_range(as_jax, convolution):
    table = convolution((64, 64, 64, 511), [7, 7, 511, 511])
    operations = 2.0 * 64**3 * 49 * 511**2
    fit = fitted_models.fit("convolution", "CONVOLUTION", operations=(1.0, operations))
    predict = jax.jit(lambda table: neuralpower.predict(table, fitted_models.model(fit)))
    assert predict(as_jax(table)).in_range[0]


def test_batches_of_tables(layers, as_jax):
    with jax.enable_x64(True):
        table = as_jax(layers)
        wider = jnp.stack([table.batch, 2 * table.batch])
        found = jax.vmap(lambda batch: neuralpower.predict(table.replace(batch=batch), MODEL))(
            wider
        )
        alone = neuralpower.predict(table.replace(batch=wider[1]), MODEL)
        chex.assert_trees_all_close(jax.tree.map(lambda column: column[1], found), alone)


def test_gradients(layers, as_jax):
    names = ("batch", "in_height", "in_channels", "out_height", "out_channels", "kernel_height")
    with jax.enable_x64(True):
        table = as_jax(layers)

        def total(columns):
            # Just inside the range, where a small step either way leaves no layer's range.
            changed = {name: 1.001 * column for name, column in columns.items()}
            found = neuralpower.predict(table.replace(**changed), MODEL)
            known = jnp.where(found.in_range, found.runtime_ms * found.power_w, 0.0)
            return known.sum()

        columns = {name: getattr(table, name) for name in names}
        check_grads(jax.jit(total), (columns,), order=1, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)
        slopes = jax.jit(jax.grad(total))(columns)
    moved = layers.replace(**{name: 1.001 * getattr(layers, name) for name in names})
    inside = neuralpower.predict(moved, MODEL).in_range
    for slope in slopes.values():
        assert np.isfinite(slope).all()
        np.testing.assert_array_equal(np.asarray(slope)[~inside], 0)
        assert np.abs(slope).max() > 0


def test_gradients_are_finite_where_a_width_is_zero(layers, as_jax):
    with jax.enable_x64(True):
        table = as_jax(layers)
        nothing = {n: jnp.zeros_like(table.batch) for n in ("in_channels", "batch", "groups")}

        def total(columns):
            return jnp.nansum(neuralpower.predict(table.replace(**columns), MODEL).runtime_ms)

        for slope in jax.jit(jax.grad(total))(nothing).values():
            assert np.isfinite(slope).all()


def test_rows_are_predicted_one_by_one(layers):
    together = neuralpower.predict(layers, MODEL)
    for row in range(0, len(layers), 7):
        alone = neuralpower.predict(
            type(layers)(**{n: column[row : row + 1] for n, column in vars(layers).items()}), MODEL
        )
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, all_[row : row + 1])


def test_models_are_hashable_and_equal_by_value():
    assert hash(MODEL) == hash(fitted_models.model())
    assert fitted_models.model() == MODEL
    assert fitted_models.model(mode="training") != MODEL
    settings = CostSettings(power=MODEL)
    assert hash(settings) == hash(CostSettings(power=fitted_models.model()))
    with pytest.raises(ValueError, match="fitted model with compat 'paleo'; allowed: physical"):
        CostSettings(power=MODEL, compat="paleo")


def test_a_constant_formula():
    constant = Formula(form="constant", constant=2.5, terms=(), counted=(), lowest=1.0, highest=3.0)
    found = neuralpower.evaluate(constant, {"batch": np.ones(4)}, {})
    np.testing.assert_array_equal(found, 2.5)
