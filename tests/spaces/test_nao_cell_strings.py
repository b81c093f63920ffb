import itertools

import numpy as np
import pytest

from greennas_jax.spaces import nao_cell_strings as strings
from greennas_jax.spec.network import SpecError

SIZES = strings.sizes()[: strings.CELL]


def cell(*nodes: tuple[int, int, int, int]) -> np.ndarray:
    """Return a cell whose last nodes, where not given, add both inputs as they are."""
    missing = strings.NODES - len(nodes)
    return np.asarray([*nodes, *[(0, 4, 1, 4)] * missing], np.int32).reshape(-1)


def written(tokens: np.ndarray) -> str:
    """Return what a cell computes as nested sums of a text, each sum's terms in order."""
    branches = strings.branches(tokens)
    read = [index for both in branches for index, _ in both]
    terms: list[list[str]] = []
    for both in branches:
        own = []
        for index, operation in both:
            inner = index - strings.INPUTS
            if inner >= 0 and operation == strings.IDENTITY and read.count(index) == 1:
                own.extend(terms[inner])
            else:
                source = f"({'+'.join(terms[inner])})" if inner >= 0 else f"input{index}"
                own.append(f"{operation}{source}")
        terms.append(sorted(own))
    return ", ".join(sorted("+".join(terms[node]) for node in strings.loose_ends(tokens)))


def test_texts_are_read_and_written():
    for row in np.random.default_rng(0).integers(0, strings.sizes(), (20, 40)):
        np.testing.assert_array_equal(strings.parse(strings.text(row)), row)
    assert strings.text(strings.parse(f" {strings.EXAMPLE}\n")) == strings.EXAMPLE


@pytest.mark.parametrize(
    ("place", "word", "message"),
    [
        (0, "2", "normal cell, node 0, index at place 0: '2'; allowed: 0 to 1"),
        (21, "5", "reduction cell, node 0, operation at place 21: '5'; allowed: 0 to 4"),
        (38, "6", "reduction cell, node 4, index at place 38: '6'; allowed: 0 to 5"),
        (4, "-1", "normal cell, node 1, index at place 4: '-1'; allowed: 0 to 2"),
        (4, "1.0", "'1.0'"),
        (4, "1_0", "'1_0'"),
        (4, "\u0661", "allowed: 0 to 2"),
        (4, "9" * 5000, "allowed: 0 to 2"),
        (39, "", "have 39 numbers; allowed: 40"),
        (39, "0 0", "have 41 numbers; allowed: 40"),
    ],
)
def test_texts_of_other_spaces_are_refused(place, word, message):
    words = strings.EXAMPLE.split()
    with pytest.raises(SpecError, match=message):
        strings.parse(" ".join([*words[:place], word, *words[place + 1 :]]))


def test_choices_grow_with_the_node():
    assert SIZES.tolist() == [n for size in (2, 3, 4, 5, 6) for n in (size, 5, size, 5)]


def test_loose_ends_and_readings():
    chain = cell((0, 4, 0, 4), (2, 4, 0, 4), (3, 4, 0, 4), (4, 4, 0, 4), (5, 4, 0, 4))
    assert strings.loose_ends(chain) == (4,) and strings.reads(chain) == (True, False)
    assert strings.loose_ends(cell()) == (0, 1, 2, 3, 4)


def test_numbers_order_cells_as_their_tokens_do():
    rows = np.random.default_rng(1).integers(0, SIZES, (50, strings.CELL))
    np.testing.assert_array_equal(strings.from_codes(strings.codes(rows)), rows)
    by_number = rows[np.argsort(strings.codes(rows))].tolist()
    assert by_number == sorted(rows.tolist())


def test_inputs_in_either_order_and_nodes_in_any_order():
    one = cell((0, 0, 1, 2), (1, 1, 1, 3), (2, 0, 3, 1), (0, 4, 2, 3))
    # Nodes 0 and 1 change places, and branches change sides.
    other = cell((1, 3, 1, 1), (1, 2, 0, 0), (2, 1, 3, 0), (3, 3, 0, 4))
    both = strings.canonical(np.stack([one, other]))
    np.testing.assert_array_equal(both[0], both[1])


def test_sums_in_any_nesting():
    # (sep 3x3 of 0 + average of 1) + maximum of 0, against the other two nestings.
    nestings = [
        cell((a[0], a[1], b[0], b[1]), (2, 4, c[0], c[1]), (3, 0, 3, 1))
        for a, b, c in itertools.permutations([(0, 0), (1, 2), (0, 3)])
    ]
    found = np.unique(strings.canonical(np.stack(nestings)), axis=0)
    assert len(found) == 1
    # A sum that another node reads as well is not taken apart.
    shared = [row.copy() for row in nestings]
    for row in shared:
        row[12:] = (2, 1, 0, 4, 0, 4, 1, 4)
    assert len(np.unique(strings.canonical(np.stack(shared)), axis=0)) == 3
    # Nor one that is mapped.
    mapped = [row.copy() for row in nestings]
    for row in mapped:
        row[5] = 2
    assert len(np.unique(strings.canonical(np.stack(mapped)), axis=0)) == 3


def test_sums_of_four_terms_in_any_nesting():
    terms = [(0, 0), (1, 1), (0, 2), (1, 3)]
    rows = []
    for a, b, c, d in itertools.permutations(terms):
        rows.append(cell((*a, *b), (2, 4, *c), (3, 4, *d), (4, 0, 4, 1)))
        rows.append(cell((*a, *b), (*c, *d), (2, 4, 3, 4), (4, 0, 4, 1)))
    assert len(np.unique(strings.canonical(np.stack(rows)), axis=0)) == 1


def test_canonical_cells_compute_the_same():
    rows = np.random.default_rng(2).integers(0, SIZES, (150, strings.CELL))
    rows[:, 1::2] = np.where(rows[:, 1::2] == 0, strings.IDENTITY, rows[:, 1::2])
    found = strings.canonical(rows)
    np.testing.assert_array_equal(strings.canonical(found), found)
    assert [written(row) for row in rows] == [written(row) for row in found]
    assert (strings.codes(found) <= strings.codes(rows)).all() and (found != rows).any()
    assert (found < SIZES).all()
