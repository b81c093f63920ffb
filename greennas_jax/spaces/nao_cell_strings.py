"""NAO's pairs of cells as strings: 40 whole numbers, and one string for all of one function.

A pair is a normal cell and a reduction cell; a cell has five nodes; a node is `index operation
index operation`: what it reads, twice, and how each is mapped; it adds both (Luo et al. 2018,
section 4.1, after Zoph et al. 2018). Index 0 is the output of the cell before the previous one, 1
that of the previous one, 2 + j node j. Nodes that no other reads are the cell's output.

Shapes: n strings, 40 positions; a cell has 20: 5 nodes x 2 branches x (index, operation).
"""

import functools
import itertools

import numpy as np

from greennas_jax.spec.network import SpecError, shown

OPERATIONS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "identity")
IDENTITY = OPERATIONS.index("identity")
CELLS = ("normal", "reduction")
NODES = 5
INPUTS = 2
CELL = 4 * NODES
POSITIONS = CELL * len(CELLS)
EXAMPLE = "0 0 1 4 0 1 2 2 1 3 0 4 1 0 1 4 0 4 2 0 0 0 1 4 0 1 2 2 1 3 0 4 1 0 1 4 0 4 2 0"
# A branch is one digit of base 35 (7 sources, 5 operations); ten of them fit into 63 bits.
_DIGIT = (INPUTS + NODES) * len(OPERATIONS)
_PLACES = _DIGIT ** np.arange(2 * NODES, dtype=np.int64)[::-1]


def parse(text: str) -> np.ndarray:
    """Return the tokens int32 [40] of a pair's text, as they stand.

    Raises:
      SpecError: If the text is not that of a pair of cells.
    """
    words = text.split()
    if len(words) != POSITIONS:
        raise SpecError(
            f"cells {shown(text)} have {len(words)} numbers; allowed: {POSITIONS}, as {EXAMPLE}"
        )
    for place, word in enumerate(words):
        size = int(sizes()[place])
        # int() alone would take digits of other scripts, signs and underscores.
        if not (word.isascii() and word.isdecimal() and len(word) < 9 and int(word) < size):
            what = "operation" if place % 2 else "index"
            raise SpecError(
                f"cells {shown(text)}, {CELLS[place // CELL]} cell, node {place % CELL // 4}, "
                f"{what} at place {place}: {shown(word)}; allowed: 0 to {size - 1}"
            )
    return np.asarray([int(word) for word in words], np.int32)


def text(tokens: np.ndarray) -> str:
    """Return the text of a string [40]."""
    return " ".join(str(int(token)) for token in tokens)


@functools.cache
def sizes() -> np.ndarray:
    """Return the number of choices per position, int32 [40]."""
    of_cell = [
        size for node in range(NODES) for size in 2 * (INPUTS + node, len(OPERATIONS))
    ]  # fmt: skip
    found = np.asarray(of_cell * len(CELLS), np.int32)
    found.setflags(write=False)
    return found


def branches(cell: np.ndarray) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return both (index, operation) of every node of a cell [20]."""
    found = np.asarray(cell).reshape(NODES, 2, 2).tolist()
    return [((a[0], a[1]), (b[0], b[1])) for a, b in found]


def loose_ends(cell: np.ndarray) -> tuple[int, ...]:
    """Return the nodes of a cell [20] that no other reads, at least the last."""
    read = set(np.asarray(cell)[::2].tolist())
    return tuple(node for node in range(NODES) if INPUTS + node not in read)


def reads(cell: np.ndarray) -> tuple[bool, bool]:
    """Return whether a cell [20] reads the cell before the previous one, and the previous one."""
    read = set(np.asarray(cell)[::2].tolist())
    return 0 in read, 1 in read


def codes(cells: np.ndarray) -> np.ndarray:
    """Return one number per cell [n, 20], int64 [n], ordered as the cells are."""
    pairs = cells.reshape(-1, 2 * NODES, 2).astype(np.int64)
    return (pairs[..., 0] * len(OPERATIONS) + pairs[..., 1]) @ _PLACES


def from_codes(numbers: np.ndarray) -> np.ndarray:
    """Return the cells int32 [n, 20] of numbers [n]."""
    digits = numbers[:, None] // _PLACES % _DIGIT
    found = np.stack([digits // len(OPERATIONS), digits % len(OPERATIONS)], axis=-1)
    return found.reshape(-1, CELL).astype(np.int32)


def _least_order(cells: np.ndarray) -> np.ndarray:
    """Return the least numbers int64 [n] of cells [n, 20] over all orders of nodes and branches."""
    pairs = cells.reshape(-1, NODES, 2, 2)
    index, operation = pairs[..., 0], pairs[..., 1]
    rows, best = np.arange(INPUTS + NODES), np.full(len(cells), np.iinfo(np.int64).max)
    for order in itertools.permutations(range(NODES)):
        # Node order[i] becomes node i; every index is renamed alike.
        new = rows.copy()
        new[INPUTS + np.asarray(order)] = INPUTS + np.arange(NODES)
        renamed = new[index[:, order]]
        possible = (renamed < INPUTS + np.arange(NODES)[:, None]).all((1, 2))
        if not possible.any():
            continue
        digits = np.sort(renamed * len(OPERATIONS) + operation[:, order], axis=2)[possible]
        found = digits.reshape(-1, 2 * NODES).astype(np.int64) @ _PLACES
        best[possible] = np.minimum(best[possible], found)
    return best


def _regrouped(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells [m, 20] that add the same in another nesting, and whose they are [m].

    A node that another alone reads, once and as it is, hands on its two addends: any two of the
    three may be added first. Its number may then be too small for what it reads, so nodes that are
    read too early are numbered anew.
    """
    index = cells[:, ::2].reshape(-1, NODES, 2)
    pairs = cells.reshape(-1, NODES, 2, 2)
    found, owners = [], []
    for inner, outer in itertools.combinations(range(NODES), 2):
        alone = (index == INPUTS + inner).sum((1, 2)) == 1
        for side in (0, 1):
            handed = (pairs[:, outer, side] == (INPUTS + inner, IDENTITY)).all(1)
            rows = np.flatnonzero(alone & handed)
            for kept in (0, 1):
                moved = pairs[rows].copy()
                moved[:, inner, 1 - kept] = pairs[rows, outer, 1 - side]
                moved[:, outer, 1 - side] = pairs[rows, inner, 1 - kept]
                found.append(_shifted(moved, inner, outer))
                owners.append(rows)
    return np.concatenate(found).reshape(-1, CELL), np.concatenate(owners)


def _shifted(pairs: np.ndarray, inner: int, outer: int) -> np.ndarray:
    """Return cells [m, 5, 2, 2] whose node `inner` comes right in front of node `outer`."""
    order = [*range(inner), *range(inner + 1, outer), inner, *range(outer, NODES)]
    new = np.arange(INPUTS + NODES)
    new[INPUTS + np.asarray(order)] = INPUTS + np.arange(NODES)
    moved = pairs[:, order].copy()
    moved[..., 0] = new[moved[..., 0]]
    return moved


def canonical(cells: np.ndarray) -> np.ndarray:
    """Return for each cell [n, 20] the least that computes the same, int32 [n, 20].

    The same are: a node's branches in either order; nodes in any order in which each comes behind
    what it reads; and sums of sums, where the inner one is read by the outer alone and as it is, in
    any nesting. Least is the first in the order of the 20 numbers.
    """
    numbers = _least_order(cells)
    pending, owner = from_codes(numbers), np.arange(len(cells))
    best = numbers.copy()
    seen = np.stack([owner, numbers], axis=1)
    while len(pending):
        found, source = _regrouped(pending)
        if not len(found):
            break
        both = np.unique(np.stack([owner[source], _least_order(found)], axis=1), axis=0)
        both = _unseen(both, seen)
        seen = np.concatenate([seen, both])
        owner = both[:, 0]
        np.minimum.at(best, owner, both[:, 1])
        pending = from_codes(both[:, 1])
    return from_codes(best)


def _unseen(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the rows [m, 2] that are not among others [k, 2]."""
    kind = np.dtype([("owner", np.int64), ("number", np.int64)])
    one, other = (np.ascontiguousarray(part).view(kind)[:, 0] for part in (rows, seen))
    return rows[~np.isin(one, other)]
