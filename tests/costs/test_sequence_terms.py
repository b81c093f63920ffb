"""The cost terms on the layers of transformers: derivatives, laws, and one formula for all."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from greennas_jax.costs import counts, devices, kinds, layer_table, paleo, terms
from greennas_jax.costs.settings import MODES, CostSettings
from greennas_jax.spec import shapes, structure

CONTINUOUS = (
    *("batch", "in_channels", "out_channels"),
    *("heads", "key_value_heads", "head_width", "relative_buckets", "memory_length"),
    *("memory_channels", "cached", "hidden", "vocabulary", "positions", "segments"),
)
LENGTHS = ("in_height", "out_height", "kernel_height")
WIDTHS = (
    *("in_channels", "out_channels", "heads", "key_value_heads", "head_width", "hidden"),
    *("memory_channels", "vocabulary", "positions", "segments", "relative_buckets"),
)
FIELDS = tuple(field.name for field in dataclasses.fields(layer_table.LayerTable))
SETTINGS = [
    CostSettings(mode=mode, attention=kind) for mode in MODES for kind in ("materialised", "fused")
]
# Each mode and each kernel once, for compiling takes its time.
JITTED = (SETTINGS[0], SETTINGS[3], SETTINGS[6])
NAMES = ("energy", "time", "memory", "parameters", "flops")


def named(settings):
    return f"{settings.mode}-{settings.attention}"


@pytest.fixture
def table(every_sequence_type):
    """Return the table of a network with every layer, two positions of its own in the cache."""
    found = layer_table.from_network(every_sequence_type)
    names = list(shapes.infer(every_sequence_type))
    return found.replace(cached=np.where(np.array(names) == "attend", 2.0, 0.0))


@pytest.fixture
def device():
    """Return a device whose floors and power limit do not bind, so that costs are smooth."""
    return devices.load("titan_x").replace(clock_mhz=1e12, tdp_w=1e6, pj_per_flop=20.0)


def evaluate(name, table, device, settings):
    return terms.get(name).function(table, device, settings)


def every(table, device, settings):
    """Return all terms [5, L]: one compilation for the five."""
    stack = layer_table.array_namespace(table.batch).stack
    return stack([evaluate(name, table, device, settings) for name in NAMES])


# The first compiles longest.
@pytest.mark.parametrize(
    "settings", [pytest.param(JITTED[0], marks=pytest.mark.slow), *JITTED[1:]], ids=named
)
def test_gradients_with_respect_to_the_layers(settings, table, as_jax, device):
    with jax.enable_x64(True):
        traced = as_jax(table)
        scale = 1 / every(traced, device, settings).sum(axis=1)

        # By factors, so that what is absent stays absent (the first row of a table makes a jump);
        # of all lengths alike, for a class token is the difference of two.
        def total(factors):
            columns = {name: getattr(traced, name) * factors[name] for name in CONTINUOUS}
            columns |= {name: getattr(traced, name) * factors["length"] for name in LENGTHS}
            return scale * every(traced.replace(**columns), device, settings).sum(axis=1)

        ones = {field: jnp.ones_like(traced.batch) for field in (*CONTINUOUS, "length")}
        check_grads(total, (ones,), order=1, modes=("rev",), atol=1e-5, rtol=1e-5)
        slopes = jax.jacrev(total)(ones)
    # Each term answers to each width of its own; an attribute that is nowhere moves nothing.
    for name in ("heads", "head_width", "hidden", "in_channels"):
        assert (np.abs(slopes[name]).max(axis=1) > 0).all(), name


@pytest.mark.parametrize("settings", JITTED, ids=named)
def test_gradients_are_finite_where_a_width_is_zero(settings, table, as_jax, device):
    with jax.enable_x64(True):
        traced = as_jax(table)
        nothing = {field: jnp.zeros_like(traced.batch) for field in WIDTHS}

        def total(columns):
            return every(traced.replace(**columns), device, settings).sum(axis=1)

        found = jax.jacrev(total)(nothing)
    assert all(np.isfinite(g).all() for g in found.values())


@pytest.mark.parametrize("settings", JITTED, ids=named)
def test_numpy_equals_jax(settings, table, as_jax):
    device = devices.load("titan_x")
    expected = every(table, device, settings)
    assert isinstance(expected, np.ndarray) and expected.dtype == np.float64
    with jax.enable_x64(True):
        jitted = jax.jit(lambda t, d: every(t, d, settings))(as_jax(table), device)
    np.testing.assert_allclose(jitted, expected, rtol=1e-13)


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_rows(name, settings, table, joined):
    device = devices.load("titan_x")
    each = [
        layer_table.LayerTable(**{f: getattr(table, f)[i : i + 1] for f in FIELDS})
        for i in range(len(table))
    ]
    alone = np.concatenate([evaluate(name, one, device, settings) for one in each])
    np.testing.assert_array_equal(evaluate(name, table, device, settings), alone)
    twice = evaluate(name, joined(table, table), device, settings)
    np.testing.assert_array_equal(twice, np.tile(alone, 2))


@pytest.mark.parametrize("name", NAMES)
def test_networks_costed_together_are_those_costed_alone(
    name, every_type, every_sequence_type, joined
):
    settings, device = CostSettings(mode="training"), devices.load("titan_x")
    tables = [layer_table.from_network(n) for n in (every_type, every_sequence_type)]
    alone = [evaluate(name, each, device, settings) for each in tables]
    together = evaluate(name, joined(*tables), device, settings)
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_costs_nothing(name, mode, table):
    zero = np.zeros(len(table))
    # Token numbers have no width; without a batch there are none.
    nothing = table.replace(**dict.fromkeys(WIDTHS, zero), batch=zero)
    cost = evaluate(name, nothing, devices.load("titan_x"), CostSettings(mode=mode))
    np.testing.assert_array_equal(cost, 0)


LADDERS = {
    "length": lambda n, r: [
        r("MultiHeadAttention", (2, n, 8), heads=2, rotary=True, causal=True),
        r("FeedForward", (2, n, 8), hidden=16),
        r("LayerNorm", (2, n, 8)),
        r("Embedding", (2, n), vocabulary=50, width=8, positions=99),
        r("InnerProduct", (2, n, 8), num_outputs=9, per_position=True),
    ],
    "width": lambda n, r: [
        r("MultiHeadAttention", (2, 6, n), heads=2, head_width=4),
        r("FeedForward", (2, 6, n), hidden=16),
        r("LayerNorm", (2, 6, n)),
        r("Embedding", (2, 6), vocabulary=50, width=n),
        r("InnerProduct", (2, 6, n), num_outputs=9, per_position=True),
    ],
    "own": lambda n, r: [
        r("MultiHeadAttention", (2, 6, 8), heads=n, head_width=4, relative_buckets=3),
        r("MultiHeadAttention", (2, 6, 8), heads=2, head_width=n),
        r("MultiHeadAttention", (2, 6, 8), heads=12, key_value_heads=n, head_width=4),
        r("MultiHeadAttention", (2, 6, 8), (2, n, 8), parents=("x", "m"), heads=2),
        r("FeedForward", (2, 6, 8), hidden=n),
        r("FeedForward", (2, 6, 8), hidden=n, gated=True),
    ],
}


@pytest.mark.parametrize("settings", SETTINGS[:6], ids=named)
@pytest.mark.parametrize("ladder", LADDERS)
def test_more_never_costs_less(settings, ladder, row, joined, device):
    tables = [LADDERS[ladder](n, row) for n in (1, 2, 4, 6, 12)]
    for rungs in zip(*tables, strict=True):
        for name in NAMES:
            steps = np.diff(evaluate(name, joined(*rungs), device, settings))
            assert (steps >= 0).all(), name
            # Parameters do not answer to the length, nor outputs to what is inside a layer, nor
            # operations to a normalisation's or a table's width.
            assert name in ("parameters", "memory", "flops") or (steps > 0).all(), name


def test_a_longer_cache_costs_more(row, joined):
    step = row("MultiHeadAttention", (2, 1, 8), heads=2, causal=True)
    table = joined(*(step.replace(cached=np.array([float(n)])) for n in (0, 1, 10, 100)))
    settings = CostSettings(mode="decode")
    for name in ("energy", "time", "memory", "flops"):
        cost = evaluate(name, table, devices.load("titan_x"), settings)
        assert (np.diff(cost) > 0).all()


def test_parameters_are_those_of_the_text(every_sequence_type):
    table = layer_table.from_network(every_sequence_type)
    found = counts.parameters(table, CostSettings())
    sizes = shapes.infer(every_sequence_type)
    by_name = every_sequence_type.by_name()
    expected = [structure.layer_parameters(by_name[name], sizes[name]) for name in sizes]
    assert found.tolist() == expected
    assert sum(expected) == structure.parameter_count(every_sequence_type)


def test_kinds_of_every_layer(every_sequence_type):
    table = layer_table.from_network(every_sequence_type)
    found = [kinds.KINDS[int(code)] for code in kinds.kind_codes(table)]
    named = dict(zip(shapes.infer(every_sequence_type), found, strict=True))
    assert {named[n] for n in ("place", "embed", "again")} == {"embedding"}
    assert {named[n] for n in ("memory", "norm")} == {"normalisation"}
    assert {named[n] for n in ("encode", "attend", "cross")} == {"attention"}
    assert {named[n] for n in ("feed", "gate")} == {"feed_forward"}
    assert {named[n] for n in ("mean", "first")} == {"pooling"}
    assert {named[n] for n in ("act", "probability", "sum")} == {"elementwise"}
    assert named["head"] == "inner_product"


def test_a_wider_format_costs_no_less(table):
    device = devices.load("titan_x")
    full, half = (
        paleo.totals(table, CostSettings(dtype=dtype), device)[1] for dtype in ("fp32", "bf16")
    )
    np.testing.assert_array_equal(full, 2 * half)
