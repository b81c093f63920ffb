import itertools

import numpy as np
import pytest

from greennas_jax.spaces import values


def three_tokens():
    nodes = []
    for size in (2, 3, 4):
        values.token(nodes, [(10 * v,) for v in range(size)])
    return nodes


def test_apply_tabulates_a_function_of_tokens():
    nodes = three_tokens()
    total = values.apply(nodes, np.add, (0, 2), 100)
    # 0 or 10 plus 0, 10, 20 or 30: five distinct sums of eight combinations.
    np.testing.assert_array_equal(nodes[total].values[:, 0], [0, 10, 20, 30, 40])
    assert nodes[total].parents == (0, 2)
    assert nodes[total].tokens == {0, 2}


def test_apply_leaves_out_what_does_not_matter():
    nodes = three_tokens()
    same = values.apply(nodes, lambda a, b: a * (b >= 0), (1, 2), 100)
    assert same == 1
    constant = values.apply(nodes, lambda a: a * 0 + 7, (1,), 100)
    assert nodes[constant].parents == ()
    np.testing.assert_array_equal(nodes[constant].values, [[7]])


def test_renamed_values_share_their_numbers():
    nodes = three_tokens()
    renamed = values.apply(nodes, lambda a: 100 - a, (2,), 100)
    assert nodes[renamed].base == 2
    np.testing.assert_array_equal(nodes[renamed].values[:, 0], [100, 90, 80, 70])
    assert values.scope_of(nodes, (2, renamed)) == (2,)


def test_scopes_share_no_token():
    nodes = three_tokens()
    left = values.apply(nodes, np.add, (0, 1), 100)
    right = values.apply(nodes, np.add, (1, 2), 100)
    assert values.scope_of(nodes, (left, 2)) == (2, left)
    # Both read token 1, so the later one is opened, and then the earlier one.
    assert values.scope_of(nodes, (left, right)) == (0, 1, 2)


def test_evaluate_agrees_with_the_functions():
    nodes = three_tokens()
    left = values.apply(nodes, np.maximum, (0, 1), 100)
    both = values.apply(nodes, np.add, (left, 2), 100)
    opened = values.apply(nodes, np.multiply, (both, 1), 1000)
    strings = np.array(list(itertools.product(range(2), range(3), range(4))))
    found = values.evaluate(nodes, strings)
    a, b, c = 10 * strings.T
    np.testing.assert_array_equal(values.value(nodes, found, both)[:, 0], np.maximum(a, b) + c)
    np.testing.assert_array_equal(
        values.value(nodes, found, opened)[:, 0], (np.maximum(a, b) + c) * b
    )


def test_too_wide_names_the_tokens():
    nodes = three_tokens()
    with pytest.raises(values.TooWideError, match="24 entries.*at most 23") as caught:
        values.apply(nodes, lambda a, b, c: a + b + c, (0, 1, 2), 23)
    assert caught.value.tokens == {0, 1, 2}


def test_huge_values_are_told_apart():
    nodes = []
    values.token(nodes, [(2**40, 0), (2**40, 2**40), (0, 2**40)])
    found = values.apply(nodes, lambda a: a[:, ::-1] * (2**20), (0,), 10)
    np.testing.assert_array_equal(nodes[found].values, [[0, 2**60], [2**60, 2**60], [2**60, 0]])
