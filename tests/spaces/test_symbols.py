import jax
import numpy as np
import pytest

from greennas_jax.spaces import edits, factors, symbols
from tests.spaces import examples
from tests.spaces.test_merging import filled, strings


@pytest.mark.parametrize("make", [examples.chain, examples.residual, examples.inception])
@pytest.mark.parametrize("entries", [1, 2**12])
def test_symbols_cost_what_their_tokens_cost(make, entries):
    space = edits.build(make())
    given = filled(space)
    layout = symbols.layout(space.sizes.tolist(), space.steps)
    tokens = strings(space, 300)
    packed = symbols.pack(layout, tokens)
    assert packed.dtype == np.uint8
    assert (packed.max(axis=1) < layout.counts).all()
    np.testing.assert_array_equal(symbols.unpack(layout, packed), tokens)
    costs = symbols.prepare(given, layout, entries=entries)
    found = np.asarray(symbols.exact(costs, layout, packed))
    np.testing.assert_allclose(found, factors.exact(given, tokens), rtol=2e-6)


def test_gathers_in_groups_sum_to_the_same_last_bit(monkeypatch):
    space = edits.build(examples.inception())
    layout = symbols.layout(space.sizes.tolist(), space.steps)
    costs = symbols.prepare(filled(space), layout, entries=1)
    packed = symbols.pack(layout, strings(space, 300))
    assert len(costs.scopes) > 5
    found = []
    for size in (len(costs.scopes), 2, 1):
        monkeypatch.setattr(symbols, "FUSED", size)
        found.append(np.asarray(symbols.exact(costs, layout, packed)))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_symbol_is_its_tokens_digits():
    layout = symbols.layout([3, 6, 8, 5], [(0, 1, 2), (3,)])
    assert layout.groups == ((0, 1, 2), (3,))
    assert layout.counts == (144, 5)
    # (2 x 6 + 5) x 8 + 7 = 143.
    packed = symbols.pack(layout, np.array([[2], [5], [7], [4]]))
    assert packed.tolist() == [[143], [4]]


def test_a_layer_too_rich_for_a_byte_has_two_symbols():
    layout = symbols.layout([8, 8, 8], [(0, 1, 2)])
    assert layout.groups == ((0, 1), (2,))
    with pytest.raises(ValueError, match="257 choices; allowed: at most 256"):
        symbols.layout([257], [(0,)])


def test_sampled_symbols_are_even_and_within_bounds():
    layout = symbols.layout([3, 5, 7], [(0,), (1,), (2,)])
    drawn = np.asarray(symbols.sample(jax.random.key(0), layout, 21_000))
    for row, count in zip(drawn, layout.counts, strict=True):
        shares = np.bincount(row, minlength=count) / len(row)
        assert len(shares) == count
        # Five standard deviations of a share of 21,000 draws.
        np.testing.assert_allclose(shares, 1 / count, atol=5 * (0.25 / 21_000) ** 0.5)


def chi_square(first, second, counts):
    """Return how far the pairs of two rows are from even, in standard deviations."""
    cells = counts[0] * counts[1]
    found = np.bincount(first.astype(int) * counts[1] + second, minlength=cells)
    expected = len(first) / cells
    statistic = np.sum((found - expected) ** 2 / expected)
    # Chi-square of n degrees of freedom: mean n, variance 2 n.
    return abs(statistic - (cells - 1)) / np.sqrt(2 * (cells - 1))


def test_sampled_symbols_are_independent():
    counts = (7, 16, 11, 200, 2)
    layout = symbols.layout(counts, [(number,) for number in range(len(counts))])
    drawn = np.asarray(symbols.sample(jax.random.key(3), layout, 200_000))
    for one in range(len(counts)):
        # Successive strings, and strings some way apart.
        for lag in (1, 2, 1024):
            pair = (counts[one], counts[one])
            assert chi_square(drawn[one, :-lag], drawn[one, lag:], pair) < 5
        for other in range(one):
            assert chi_square(drawn[one], drawn[other], (counts[one], counts[other])) < 5


def test_no_sampled_symbol_repeats_another_some_strings_later():
    layout = symbols.layout([256] * 4, [(number,) for number in range(4)])
    drawn = np.asarray(symbols.sample(jax.random.key(0), layout, 4096)).astype(float)
    centred = drawn - drawn.mean(axis=1, keepdims=True)
    # Circular cross-correlation of all lags at once; alike at a lag it would be near 1.
    spectra = np.fft.rfft(centred)
    for one in range(4):
        for other in range(one):
            found = np.fft.irfft(spectra[one] * spectra[other].conj())
            scale = np.linalg.norm(centred[one]) * np.linalg.norm(centred[other])
            assert np.abs(found / scale).max() < 0.1


def test_sampled_symbols_follow_the_key():
    layout = symbols.layout([50, 60], [(0,), (1,)])
    first, again, other = (
        np.asarray(symbols.sample(jax.random.key(seed), layout, 1000)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == other) < 0.05
