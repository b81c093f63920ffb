import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, factors
from tests.spaces import examples
from tests.spaces.conftest import TERMS, TRAINING, built
from tests.spaces.test_edits import strings


def one_hot(tokens, sizes):
    return (tokens[..., None] == np.arange(sizes.max())).astype(np.float64)


def cost_of_network(network, names, settings, batch_size=None):
    """The sum over the rows of the network's own table, without any space."""
    table = layer_table.from_network(network, batch_size=batch_size)
    device = devices.load("titan_x")
    return np.array([terms.get(name).function(table, device, settings).sum() for name in names])


def test_exact_cost_is_that_of_the_decoded_network(case):
    space, costs = case
    found = strings(space, 40)
    exact = factors.exact(costs, found.T)
    assert exact.dtype == np.float64
    for column, tokens in enumerate(found):
        expected = cost_of_network(space.decode(tokens), TERMS, TRAINING)
        np.testing.assert_allclose(exact[:, column], expected, rtol=1e-9)


@pytest.mark.parametrize("settings", [CostSettings(), CostSettings(compat="paleo")])
def test_any_settings_and_batch_size(settings):
    space = edits.build(examples.residual(), batch_size=7)
    costs = space.factors(devices.load("titan_x"), [terms.get("time")], settings)
    for tokens in strings(space, 20):
        expected = cost_of_network(space.decode(tokens), ("time",), settings, 7)
        exact = factors.exact(costs, tokens[:, None])[:, 0]
        np.testing.assert_allclose(exact, expected, rtol=1e-9)


def test_relaxed_cost_at_a_string_is_exact(case):
    space, costs = case
    found = strings(space, 16)
    with jax.enable_x64(True):
        probabilities = jnp.asarray(one_hot(found, space.sizes))
        relaxed = jax.jit(factors.relaxed_batch)(costs, probabilities)
        assert relaxed.dtype == jnp.float64
        np.testing.assert_allclose(relaxed.T, factors.exact(costs, found.T), rtol=1e-9)


def test_gradient_differences_are_exact_changes(case):
    space, costs = case
    tokens = strings(space, 2)[1]
    before = factors.exact(costs, tokens[:, None])
    with jax.enable_x64(True):
        start = jnp.asarray(one_hot(tokens, space.sizes))
        slopes = np.asarray(jax.jit(jax.jacrev(factors.relaxed, argnums=1))(costs, start))
    for position, size in enumerate(space.sizes):
        edited = np.repeat(tokens[:, None], size, axis=1)
        edited[position] = np.arange(size)
        change = factors.exact(costs, edited) - before
        slope = slopes[:, position, :size] - slopes[:, position, tokens[position], None]
        scale = np.abs(before)
        np.testing.assert_allclose(slope / scale, change / scale, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["chain", "stacked", "mobile"])
def test_relaxed_cost_is_the_expectation(name):
    space, costs = built(name, coarse=True)
    rng = np.random.default_rng(0)
    free = np.flatnonzero(space.sizes >= 2)[-9:]
    weights = np.where(space.valid_mask, rng.random(space.valid_mask.shape), 0.0)
    weights[~np.isin(np.arange(len(space.sizes)), free)] = np.eye(space.sizes.max())[0]
    weights /= weights.sum(axis=1, keepdims=True)
    every = np.zeros((space.sizes[free].prod(), len(space.sizes)), dtype=np.int32)
    every[:, free] = list(itertools.product(*(range(space.sizes[position]) for position in free)))
    chance = weights[np.arange(len(space.sizes)), every].prod(axis=1)
    assert chance.sum() == pytest.approx(1.0)
    with jax.enable_x64(True):
        relaxed = factors.relaxed(costs, jnp.asarray(weights))
        np.testing.assert_allclose(relaxed, factors.exact(costs, every.T) @ chance, rtol=1e-9)


def test_jax_and_numpy_agree(case):
    space, costs = case
    found = strings(space, 50).T.astype(np.uint8)
    exact = factors.exact(costs, found)
    single = jax.jit(factors.exact)(costs, jnp.asarray(found))
    chex.assert_shape(single, (len(TERMS), 50))
    np.testing.assert_allclose(single, exact, rtol=2e-6)
    with jax.enable_x64(True):
        np.testing.assert_allclose(factors.exact(costs, jnp.asarray(found)), exact, rtol=1e-12)


def test_one_compilation_serves_all_strings_and_probabilities():
    space, costs = built("stacked")
    traced = jax.jit(chex.assert_max_traces(factors.relaxed, n=1))
    for tokens in strings(space, 4):
        traced(costs, jnp.asarray(one_hot(tokens, space.sizes), jnp.float32))


def test_relaxed_cost_ignores_what_is_no_choice():
    space, costs = built("residual")
    rng = np.random.default_rng(0)
    clean = np.where(space.valid_mask, rng.random(space.valid_mask.shape), 0.0)
    noisy = np.where(space.valid_mask, clean, 5.0)
    with jax.enable_x64(True):
        chex.assert_trees_all_close(
            factors.relaxed(costs, jnp.asarray(clean)), factors.relaxed(costs, jnp.asarray(noisy))
        )


def test_selected_terms_are_the_same_costs():
    space, costs = built("mobile")
    chosen = factors.select_terms(costs, ("flops", "energy"))
    assert chosen.units == ("FLOP", "J")
    found = strings(space, 5)
    rows = [TERMS.index("flops"), TERMS.index("energy")]
    np.testing.assert_array_equal(
        factors.exact(chosen, found.T), factors.exact(costs, found.T)[rows]
    )
    with jax.enable_x64(True):
        relaxed = factors.relaxed(chosen, jnp.asarray(one_hot(found[0], space.sizes)))
        np.testing.assert_allclose(relaxed, factors.exact(chosen, found[:1].T)[:, 0], rtol=1e-9)
    with pytest.raises(ValueError, match="term 'carbon' was not filled; allowed: energy, time"):
        factors.select_terms(costs, ("carbon",))


def test_a_term_of_ones_counts_layers():
    space, _ = built("stacked")
    ones = terms.Term("layers", "count", lambda table, *_: table.batch * 0 + 1, "rows")
    costs = space.factors(devices.load("titan_x"), [ones], CostSettings())
    for tokens in strings(space, 20):
        count = len(space.decode(tokens).layers)
        assert factors.exact(costs, tokens[:, None])[0, 0] == count


def test_a_space_without_positions_has_a_constant_cost():
    config = edits.EditsConfig(freeze=("*",))
    space = edits.build(examples.chain(), config=config)
    costs = space.factors(devices.load("titan_x"), [terms.get("flops")], CostSettings())
    expected = cost_of_network(space.given, ("flops",), CostSettings())
    np.testing.assert_allclose(
        factors.exact(costs, np.zeros((0, 3), np.int32)), np.repeat(expected[:, None], 3, axis=1)
    )
    np.testing.assert_allclose(factors.relaxed(costs, jnp.zeros((0, 1))), expected, rtol=1e-6)
    assert sorted(costs.names[-1]) == sorted(layer.name for layer in space.given.layers)


def test_every_layer_is_named_once(case):
    space, costs = case
    named = list(itertools.chain(*costs.names))
    assert sorted(named) == sorted(layer.name for layer in space.given.layers)
    assert len(costs.names) == len(costs.tables) + 1
