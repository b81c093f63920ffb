import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.costs import kinds, neuralpower_features
from greennas_jax.costs.neuralpower_model import Range, Term

CONVOLUTION = {
    "batch": 2,
    "size": 8,
    "in_channels": 4,
    "out_channels": 6,
    "kernel": 3,
    "stride": 2,
    "padding": 1,
    "groups": 1,
    # 2 FLOP * 2 * 4*4 positions * 3*3*4 * 6.
    "operations": 13824,
    "input_data": 2 * 8 * 8 * 4,
    "filter_data": 3 * 3 * 4 * 6,
    "output_data": 2 * 4 * 4 * 6,
    # 2*4*4 positions of 3*3*4 values each.
    "unfolded_data": 32 * 36,
    "rows": 32,
    "depth": 36,
}


def convolution_row(convolution, **rest):
    return convolution((2, 8, 8, 4), [3, 3, 4, 6], stride=2, padding=[1, 1], **rest)


def test_a_convolution_by_hand(convolution):
    table = convolution((2, 9, 9, 4), [3, 3, 4, 6], stride=2, padding="VALID")
    found = neuralpower_features.values(table)
    # (9 - 3) / 2 + 1 = 4 positions a side.
    expected = CONVOLUTION | {"size": 9, "padding": 0, "input_data": 2 * 9 * 9 * 4}
    assert {name: found[name][0] for name in expected} == expected


def test_what_follows_in_the_same_layer_is_not_counted(convolution):
    plain = convolution((2, 8, 8, 4), [3, 3, 4, 6], use_bias=False)
    fused = convolution(
        (2, 8, 8, 4), [3, 3, 4, 6], activation_fn="relu", normalizer_fn="batch_norm"
    )
    assert neuralpower_features.values(plain) == neuralpower_features.values(fused)


def test_grouped_and_depthwise_convolutions(convolution):
    grouped = neuralpower_features.values(convolution((1, 8, 8, 8), [1, 1, 8, 4], groups=2))
    # 2 FLOP * 64 positions * 4 channels a filter * 4 filters; each group unfolds 4 channels.
    assert grouped["operations"] == 2048
    assert (grouped["groups"], grouped["depth"], grouped["unfolded_data"]) == (2, 4, 512)
    depthwise = neuralpower_features.values(convolution((1, 8, 8, 8), [3, 3, 8, 8], groups=8))
    assert (depthwise["depth"], depthwise["filter_data"]) == (9, 72)
    assert depthwise["unfolded_data"] == 64 * 9 * 8


def test_sides_that_differ_count_by_their_geometric_mean(convolution):
    found = neuralpower_features.values(convolution((1, 4, 9, 1), [1, 4, 1, 1], padding="VALID"))
    assert (found["size"], found["kernel"]) == (6, 2)


def test_pooling_and_its_mark(row):
    window = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"}
    found = neuralpower_features.values(row("AvgPool", (2, 8, 8, 3), **window), ["AVERAGE_POOLING"])
    # 2 * 2*2 FLOP for each of 2 * 4*4*3 outputs.
    assert (found["operations"], found["filter_data"]) == (768, 0)
    assert found["is average_pooling"] == 1


def test_every_kind_but_the_free_ones_has_features():
    assert set(neuralpower_features.HYPER_PARAMETERS) == set(kinds.KINDS) - {"free"}
    assert set(neuralpower_features.PRODUCTS) == set(kinds.KINDS) - {"free"}


def test_monomials_up_to_a_degree():
    found = neuralpower_features.monomials(("a", "b"), 3)
    # a b; aa ab bb; aaa aab abb bbb.
    assert [len(f) for f in found] == [1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert ("a", "a", "b") in found
    # Of 8 hyper-parameters (8 + 3)! / (8! 3!) - 1 = 164.
    assert len(neuralpower_features.monomials("abcdefgh", 3)) == 164


def test_marks_enter_once():
    found = neuralpower_features.monomials(("is x", "b"), 2)
    assert found == (("is x",), ("b",), ("is x", "b"), ("b", "b"))


VALUES = {"a": [2.0, 4.0, 8.0], "b": [0.0, 3.0, 6.0]}
RANGES = {"a": Range("a", 2.0, 8.0), "b": Range("b", 0.0, 6.0)}
TERMS = (Term(10.0, ("a",)), Term(2.0, ("b", "b", "a")), Term(-1.0, ("log2 a",)), Term(0.5, ()))
# a / 8 = 1/4, 1/2, 1; b / 6 = 0, 1/2, 1; log2(a / 4) = -1, 0, 1.
EXPECTED = [2.5 + 0 + 1 + 0.5, 5 + 0.25 + 0 + 0.5, 10 + 2 - 1 + 0.5]


def test_terms_add_up():
    found = {name: np.array(column) for name, column in VALUES.items()}
    total = neuralpower_features.total(TERMS, found, RANGES)
    np.testing.assert_allclose(total, EXPECTED, rtol=1e-15)
    design = neuralpower_features.design([term.factors for term in TERMS], found, RANGES)
    np.testing.assert_allclose(design @ [10.0, 2.0, -1.0, 0.5], EXPECTED, rtol=1e-15)
    nothing = neuralpower_features.total((), found, RANGES)
    np.testing.assert_array_equal(nothing, [0, 0, 0])


def test_more_terms_than_one_block():
    found = {name: np.array(column) for name, column in VALUES.items()}
    total = neuralpower_features.total(TERMS * 13, found, RANGES)
    np.testing.assert_allclose(total, 13 * np.array(EXPECTED), rtol=1e-14)


def test_terms_of_traced_columns():
    with jax.enable_x64(True):
        found = {name: jnp.asarray(column) for name, column in VALUES.items()}
        total = jax.jit(lambda f: neuralpower_features.total(TERMS, f, RANGES))(found)
        np.testing.assert_allclose(total, EXPECTED, rtol=1e-14)


@pytest.mark.parametrize("name", ["size", "kernel", "padding", "operations"])
def test_slopes_are_finite_at_zero(name, convolution, as_jax):
    table = as_jax(convolution((2, 8, 8, 4), [3, 3, 4, 6]))

    def total(width):
        shrunk = table.replace(in_height=width, kernel_height=width, in_channels=width)
        return neuralpower_features.values(shrunk)[name].sum()

    assert np.isfinite(jax.jit(jax.grad(total))(jnp.zeros(1)))
