import numpy as np
import pytest

from greennas_jax.spaces import space
from greennas_jax.spec.network import SpecError

SIZES = np.array([2, 5, 3], dtype=np.int32)


def test_mask_marks_the_choices():
    np.testing.assert_array_equal(
        space.mask(SIZES), [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    )


def test_check_takes_one_string_or_many():
    assert space.check(np.array([1, 4, 2]), SIZES).shape == (1, 3)
    assert space.check(np.zeros((7, 3), np.uint8), SIZES).dtype == np.int32


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([1, 4], r"shape \[2\]; allowed: \[n, 3\]"),
        ([[1, 5, 0]], "token 5 at position 1; allowed: 0 to 4"),
        ([[0, -1, 0]], "token -1 at position 1"),
    ],
)
def test_check_refuses_what_is_no_string(tokens, message):
    with pytest.raises(SpecError, match=message):
        space.check(np.array(tokens), SIZES)


def test_draws_spread_over_all_edit_rates():
    sizes = np.full(20, 5, dtype=np.int32)
    strings = space.draw(np.random.default_rng(0), sizes, 20_000)
    edited = (strings > 0).mean(axis=1)
    # A position differs from 0 with probability 0.8 u, u uniform: mean 0.4, and each string's rate
    # is spread evenly over 0 to 0.8, hence a standard deviation of 0.8 / sqrt(12) = 0.231 plus
    # binomial noise of 20 positions, mean of p (1 - p) / 20 over p = (0.4 - 0.213) / 20 = 0.0093.
    assert edited.mean() == pytest.approx(0.4, abs=0.01)
    assert edited.std() == pytest.approx((0.231**2 + 0.0093) ** 0.5, abs=0.01)
    counts = np.bincount(strings[strings > 0], minlength=5)[1:]
    np.testing.assert_allclose(counts / counts.sum(), 0.25, atol=0.01)


def test_draws_are_repeatable():
    one, other = (space.draw(np.random.default_rng(3), SIZES, 9) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_single_edits_are_all_and_distinct():
    found = space.single_edits(np.array([1, 0, 0], np.int32), SIZES, lambda strings: strings)
    # 1 + 4 + 2 other choices.
    assert len(found) == 7
    assert ((found != [1, 0, 0]).sum(axis=1) == 1).all()
