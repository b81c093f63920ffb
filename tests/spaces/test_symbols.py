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
