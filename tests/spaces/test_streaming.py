import itertools

import numpy as np
import pytest

from greennas_jax.spaces import edits, exact, factors, streaming, symbols
from greennas_jax.spaces.edits_choices import EditsConfig
from tests.spaces import examples
from tests.spaces.test_merging import filled


@pytest.fixture(scope="module")
def small():
    config = EditsConfig(width_ratios=(1, 0.5), operations=("given", "separable"))
    space = edits.build(examples.chain(), config=config)
    return filled(space), symbols.layout(space.sizes.tolist(), space.steps)


def every(layout):
    return np.array(list(itertools.product(*map(range, layout.sizes))), np.uint8).T


def test_numbers_run_through_all_strings_once(small):
    _, layout = small
    total = streaming.count(layout)
    assert 100 < total < 200_000
    decoded = symbols.unpack(layout, streaming.decode(layout, np.arange(total)))
    # The last position is the fastest in both orders.
    np.testing.assert_array_equal(decoded, every(layout))


@pytest.mark.parametrize("block", [64, 2**18])
def test_cheapest_is_that_of_all_strings_and_of_elimination(small, block):
    costs, layout = small
    unit = 1 / factors.exact(costs, np.zeros((len(layout.sizes), 1), np.uint8))[:, 0]
    weights = np.array([[1, 0], [0, 1], [0.5, 0.5]]) * unit
    seen = []
    found = streaming.cheapest(
        costs, layout, weights, block=block, progress=lambda done, total: seen.append((done, total))
    )
    by_hand = (weights @ factors.exact(costs, every(layout))).min(axis=1)
    np.testing.assert_allclose(np.sum(weights * found.costs, axis=1), by_hand, rtol=1e-6)
    for row, weight in zip(found.costs, weights, strict=True):
        _, least = exact.cheapest(costs, weight)
        assert row @ weight == pytest.approx(least, rel=1e-6)
    total = streaming.count(layout)
    assert found.strings == total
    assert seen[-1] == (total, total)
    assert (len(seen) > 1) == (block == 64)


@pytest.mark.parametrize("block", [128, 2**18])
def test_front_is_that_of_all_strings_and_of_elimination(small, block):
    costs, layout = small
    found = streaming.front(costs, layout, block=block)
    values = factors.exact(costs, every(layout)).T
    beaten = [
        ((values <= row).all(axis=1) & (values < row).any(axis=1)).any() for row in found.costs
    ]
    assert not any(beaten)
    expected = exact.front(costs)
    assert expected.exact
    np.testing.assert_allclose(found.costs, expected.costs, rtol=1e-12)
    np.testing.assert_allclose(factors.exact(costs, found.tokens.T).T, found.costs, rtol=1e-12)


def test_some_strings_are_whole_blocks(small):
    costs, layout = small
    found = streaming.cheapest(costs, layout, np.array([[1.0, 0.0]]), most=65, block=64)
    assert 65 <= found.strings < 65 + 64
