"""Physical laws over random networks on random devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greennas_jax.costs import devices, layer_table, paleo, profile, terms
from greennas_jax.costs.layer_table import Operation
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import factors
from tests.spaces import random_networks

TERMS = ("energy", "time", "memory", "parameters", "flops")
MODES = ("inference", "training")
SEEDS = st.integers(0, 5_000)
FEW = settings(max_examples=8, deadline=None, derandomize=True)
# What JAX computes is compiled for a number of rows, so that there is one.
ROWS = 24
BASE = devices.load("titan_x")


def device(seed):
    """Return a device with every figure somewhere between a watch and a data centre."""
    rng = np.random.default_rng([seed, 1])

    def between(least, most):
        return float(np.exp(rng.uniform(np.log(least), np.log(most))))

    return BASE.replace(
        clock_mhz=between(10, 3000),
        peak_gflops=between(0.1, 1e6),
        bandwidth_gbs=between(0.1, 4000),
        static_w=between(0.01, 500),
        pj_per_flop=between(0.1, 500),
        pj_per_byte=between(1, 5000),
        overhead_us=float(rng.choice([0.0, between(0.1, 100)])),
        compute_efficiency=tuple(rng.uniform(0.05, 1.0, len(BASE.compute_efficiency))),
        kind_half_inputs=tuple(rng.uniform(0, 300, len(BASE.kind_half_inputs))),
    )


def table(seed, batch=None):
    return layer_table.from_network(random_networks.draw(seed), batch_size=batch)


def rows_of(seed):
    """Return as many rows of random networks as there always are."""
    found = factors.concatenate([table(seed + number) for number in range(6)])
    assert len(found) >= ROWS
    return layer_table.LayerTable(
        **{f.name: getattr(found, f.name)[:ROWS] for f in dataclasses.fields(found)}
    )


def cost(name, rows, on, mode="inference", **options):
    return terms.get(name).function(rows, on, CostSettings(mode=mode, **options))


@FEW
@given(seed=SEEDS)
def test_nothing_is_negative_or_endless(seed):
    for mode in MODES:
        for name in TERMS:
            found = cost(name, table(seed), device(seed), mode)
            assert np.isfinite(found).all() and (found >= 0).all(), (mode, name)


@FEW
@given(seed=SEEDS)
@pytest.mark.parametrize(
    "columns", [("batch",), ("in_channels", "out_channels"), ("kernel_height", "kernel_width")]
)
def test_more_never_costs_less(columns, seed):
    rows, on = table(seed), device(seed)
    # A window that is not one says nothing about the work.
    slides = rows.is_any(Operation.CONVOLUTION, Operation.POOLING, Operation.AVERAGE_POOLING)
    factor = np.where(slides, 1.5, 1.0) if "kernel_height" in columns else 1.5
    more = rows.replace(**{name: factor * getattr(rows, name) for name in columns})
    for mode in MODES:
        for name in TERMS:
            before, after = (cost(name, each, on, mode) for each in (rows, more))
            assert (after >= before * (1 - 1e-12)).all(), (mode, name)


@FEW
@given(seed=SEEDS)
def test_a_faster_device_is_never_slower_and_a_thirstier_one_never_thriftier(seed):
    rows, on = table(seed), device(seed)
    for figure in ("peak_gflops", "bandwidth_gbs", "clock_mhz"):
        faster = on.replace(**{figure: 3 * getattr(on, figure)})
        slow, quick = (cost("time", rows, each) for each in (on, faster))
        assert (quick <= slow * (1 + 1e-12)).all(), figure
    for figure in ("static_w", "pj_per_flop", "pj_per_byte"):
        thirsty = on.replace(**{figure: 3 * getattr(on, figure)})
        low, high = (cost("energy", rows, each) for each in (on, thirsty))
        assert (high >= low).all(), figure


@FEW
@given(seed=SEEDS)
def test_a_network_costs_what_its_layers_cost_one_by_one(seed):
    rows, on = table(seed), device(seed)
    fields = [field.name for field in dataclasses.fields(rows)]
    alone = [
        layer_table.LayerTable(**{name: getattr(rows, name)[i : i + 1] for name in fields})
        for i in range(len(rows))
    ]
    both = factors.concatenate([rows, rows])
    for name in TERMS:
        whole = cost(name, rows, on, "training")
        parts = [cost(name, row, on, "training")[0] for row in alone]
        np.testing.assert_allclose(whole, parts, rtol=1e-12)
        np.testing.assert_allclose(cost(name, both, on, "training").sum(), 2 * whole.sum())


@FEW
@given(seed=SEEDS)
def test_the_order_of_branches_and_of_the_file_does_not_matter(seed):
    network, on = random_networks.draw(seed), device(seed)
    rng = np.random.default_rng(seed)
    layers = [
        layer.replace(parents=tuple(rng.permutation(layer.parents).tolist()))
        if layer.type == "Elementwise"
        else layer
        for layer in network.layers
    ]
    mixed = network.replace(layers=tuple(layers[i] for i in rng.permutation(len(layers))))
    totals = [
        profile.profile(each, on, CostSettings(mode="training"))["totals"]
        for each in (network, mixed)
    ]
    for name in ("time_ms", "energy_j", "flops", "bytes", "parameters", "peak_memory_bytes"):
        np.testing.assert_allclose(totals[0][name], totals[1][name], rtol=1e-12, err_msg=name)


@FEW
@given(seed=SEEDS)
def test_work_grows_with_the_batch_and_parameters_do_not(seed):
    on = device(seed)
    small, large = table(seed, 3), table(seed, 12)
    np.testing.assert_allclose(cost("flops", large, on), 4 * cost("flops", small, on), rtol=1e-12)
    np.testing.assert_array_equal(cost("parameters", large, on), cost("parameters", small, on))
    # Weights are read once, whatever the batch: an image in a larger one costs no more.
    for name in ("time", "energy", "memory"):
        each = [cost(name, rows, on).sum() / size for rows, size in ((small, 3), (large, 12))]
        assert each[1] <= each[0] * (1 + 1e-12), name


def as_float32(rows):
    columns = {
        field.name: jnp.asarray(getattr(rows, field.name), jnp.float32)
        for field in dataclasses.fields(rows)
        if field.name != "operation"
    }
    return layer_table.LayerTable(operation=jnp.asarray(rows.operation), **columns)


@FEW
@given(seed=SEEDS)
def test_single_precision_agrees_with_double_to_a_hundred_thousandth(seed):
    rows, on = rows_of(seed), device(seed)
    for mode in MODES:
        for name in TERMS:
            double = cost(name, rows, on, mode)
            single = np.asarray(cost(name, as_float32(rows), on, mode), np.float64)
            np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-30, err_msg=name)


CONTINUOUS = ("batch", "in_height", "in_channels", "out_channels", "kernel_height", "groups")


def gradients(rows, on, **options):
    """Return the gradients of energy and time in sizes and in the device's figures."""
    rows = as_float32(rows)

    def total(columns, figures):
        changed = rows.replace(**columns)
        of_device = on.replace(**figures)
        found = [cost(name, changed, of_device, **options).sum() for name in ("energy", "time")]
        return found[0] + found[1] + cost("memory", changed, of_device, **options).sum()

    columns = {name: getattr(rows, name) for name in CONTINUOUS}
    names = ("peak_gflops", "bandwidth_gbs", "clock_mhz", "static_w", "pj_per_flop", "overhead_us")
    figures = {name: jnp.float32(getattr(on, name)) for name in names}
    return jax.grad(total, argnums=(0, 1))(columns, figures)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "inference"},
        {"mode": "training"},
        {"mode": "training", "pipelined": True},
        pytest.param({"mode": "inference", "conv_algorithm": "fastest"}, marks=pytest.mark.slow),
        {"mode": "inference", "conv_algorithm": "tiled_fft"},
    ],
)
def test_gradients_are_finite(options):
    for seed in (0, 3):
        for leaf in jax.tree.leaves(gradients(rows_of(seed), device(seed), **options)):
            assert np.isfinite(leaf).all()


@pytest.mark.parametrize("column", CONTINUOUS)
def test_gradients_are_finite_where_a_size_is_zero(column):
    rows = rows_of(4)
    nothing = rows.replace(**{column: 0.0 * getattr(rows, column)})
    for leaf in jax.tree.leaves(gradients(nothing, device(4), mode="training")):
        assert np.isfinite(leaf).all()


def test_gradients_are_finite_at_floors_and_ties():
    rows = rows_of(5)
    # No step is shorter than a cycle of this clock: every call stands at the floor.
    floor = device(5).replace(clock_mhz=1e-6)
    # Whatever takes time takes equally long to compute and to move, at this bandwidth.
    flops, moved = paleo.totals(rows, CostSettings())
    index = int(np.argmax(flops))
    bandwidth = BASE.peak_gflops * moved[index] / flops[index]
    tied = BASE.replace(bandwidth_gbs=float(bandwidth))
    for on in (floor, tied):
        for leaf in jax.tree.leaves(gradients(rows, on, mode="inference", pipelined=True)):
            assert np.isfinite(leaf).all()
