"""Small integer functions of tokens as tables: widths, sizes, and whether a layer is there.

A node is a quantity with few values. A token's node has one value per choice; any other node has
parents and an index table that says which of its values follows from theirs. Nodes keep scopes
small: what a layer reads is one node however many tokens decide it.

Tables over several nodes are only laid over nodes that share no token. Under independent tokens
such nodes are independent too, so contracting a table with the nodes' distributions gives an exact
expectation.

Shapes: n values of a node, d numbers in a value, B strings, T positions.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Node(NamedTuple):
    """A quantity with few values.

    Attributes:
      base: Number of the node whose value numbers this one shares; its own number as a rule.
      parents: Numbers of the base nodes that decide it; empty for a token or a constant.
      index: Value number for each combination of the parents' value numbers, int32.
      values: The values, int64 [n, d].
      tokens: Positions that it depends on.
    """

    base: int
    parents: tuple[int, ...]
    index: np.ndarray
    values: np.ndarray
    tokens: frozenset[int]


class TooWideError(ValueError):
    """A table over some nodes would have too many entries.

    Attributes:
      tokens: The positions involved.
    """

    def __init__(self, entries: int, cap: int, tokens: Iterable[int]):
        super().__init__(f"a table of {entries} entries is needed; at most {cap} are allowed")
        self.tokens = frozenset(tokens)


def token(nodes: list[Node], values: Sequence[Sequence[int]]) -> int:
    """Append a token's node (tokens come first, so its number is its position)."""
    number = len(nodes)
    table = np.asarray(values, dtype=np.int64)
    nodes.append(Node(number, (), np.zeros((), np.int32), table, frozenset((number,))))
    return number


def constant(nodes: list[Node], *value: int) -> int:
    """Append a node with one value."""
    number = len(nodes)
    table = np.asarray([value], dtype=np.int64)
    nodes.append(Node(number, (), np.zeros((), np.int32), table, frozenset()))
    return number


def scope_of(nodes: Sequence[Node], arguments: Iterable[int]) -> tuple[int, ...]:
    """Return nodes that share no token and decide all arguments, in ascending order.

    Where two share a token, the later one is replaced by its parents.
    """
    scope = {nodes[a].base for a in arguments if nodes[a].tokens}
    while True:
        clashing = [
            max(a, b) for a in scope for b in scope if a < b and nodes[a].tokens & nodes[b].tokens
        ]
        if not clashing:
            return tuple(sorted(scope))
        worst = max(clashing)
        scope.remove(worst)
        scope.update(nodes[worst].parents)


def _numbers(nodes: Sequence[Node], scope: tuple[int, ...], wanted: int, found: dict) -> np.ndarray:
    """Return a node's value number on the open grid of a scope."""
    wanted = nodes[wanted].base
    if wanted in found:
        return found[wanted]
    if wanted in scope:
        axis = scope.index(wanted)
        shape = [1] * len(scope)
        shape[axis] = len(nodes[wanted].values)
        found[wanted] = np.arange(shape[axis], dtype=np.int32).reshape(shape)
    elif not nodes[wanted].parents:
        found[wanted] = np.zeros((1,) * len(scope), np.int32)
    else:
        parents = tuple(_numbers(nodes, scope, p, found) for p in nodes[wanted].parents)
        found[wanted] = nodes[wanted].index[parents]
    return found[wanted]


def _first_of_each(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of [m, d] integers, and the number of each row's own."""
    low = columns.min(axis=0)
    spans = [int(s) for s in columns.max(axis=0) - low + 1]
    if math.prod(spans) >= 2**62:
        rows, inverse = np.unique(columns, axis=0, return_inverse=True)
        return rows, inverse.reshape(-1)
    strides = np.append(np.cumprod(spans[:0:-1], dtype=np.int64)[::-1], 1)
    keys = (columns - low) @ strides
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return columns[first], inverse.reshape(-1)


def _without_idle_axes(
    scope: tuple[int, ...], index: np.ndarray
) -> tuple[tuple[int, ...], np.ndarray]:
    """Drop the axes along which an index table does not change."""
    kept = []
    for axis, node in reversed(list(enumerate(scope))):
        first = np.take(index, [0], axis=axis)
        if (index == first).all():
            index = np.take(first, 0, axis=axis)
        else:
            kept.append(node)
    return tuple(reversed(kept)), index


def tabulate(
    nodes: Sequence[Node],
    function: Callable[..., np.ndarray],
    arguments: Sequence[int],
    cap: int,
) -> Node:
    """Return the node of a function of other nodes, without appending it.

    Args:
      nodes: The nodes so far.
      function: Takes one int64 array [m, d] per argument and returns int64 [m, d].
      arguments: Numbers of the nodes it takes.
      cap: Largest number of table entries allowed.

    Raises:
      TooWideError: If more entries are needed.
    """
    scope = scope_of(nodes, arguments)
    shape = tuple(len(nodes[node].values) for node in scope)
    tokens = frozenset().union(*(nodes[node].tokens for node in scope))
    if math.prod(shape) > cap:
        raise TooWideError(math.prod(shape), cap, tokens)
    found: dict[int, np.ndarray] = {}
    columns = []
    for argument in arguments:
        numbers = np.broadcast_to(_numbers(nodes, scope, argument, found), shape)
        columns.append(nodes[argument].values[numbers.reshape(-1)])
    values, inverse = _first_of_each(np.asarray(function(*columns), dtype=np.int64))
    scope, index = _without_idle_axes(scope, inverse.reshape(shape).astype(np.int32))
    tokens = frozenset().union(*(nodes[node].tokens for node in scope))
    return Node(len(nodes), scope, index, values, tokens)


def apply(
    nodes: list[Node],
    function: Callable[..., np.ndarray],
    arguments: Sequence[int],
    cap: int,
) -> int:
    """Append the node of a function of other nodes, and return its number.

    A function that tells all values of one node apart shares that node's value numbers; one that
    changes nothing is the node itself. See `tabulate`.
    """
    node = tabulate(nodes, function, arguments, cap)
    if len(node.parents) == 1 and len(node.values) == len(nodes[node.parents[0]].values):
        parent = node.parents[0]
        values = node.values[node.index]
        for same in {parent, *arguments}:
            if nodes[same].base == parent and np.array_equal(nodes[same].values, values):
                return same
        numbers = np.arange(len(values), dtype=np.int32)
        node = Node(parent, node.parents, numbers, values, node.tokens)
    nodes.append(node)
    return len(nodes) - 1


def evaluate(nodes: Sequence[Node], tokens: np.ndarray) -> list[np.ndarray]:
    """Return every node's value number for each string.

    Args:
      nodes: The nodes; the first T are the tokens'.
      tokens: Strings, integers [B, T].

    Returns:
      One array [B] per node.
    """
    found: list[np.ndarray] = []
    for number, node in enumerate(nodes):
        if node.base != number:
            found.append(found[node.base])
        elif node.parents:
            found.append(node.index[tuple(found[parent] for parent in node.parents)])
        elif node.tokens:
            found.append(tokens[:, number].astype(np.int32))
        else:
            found.append(np.zeros(len(tokens), np.int32))
    return found


def value(nodes: Sequence[Node], found: Sequence[np.ndarray], number: int) -> np.ndarray:
    """Return a node's value for each string, int64 [B, d], from what `evaluate` found."""
    return nodes[number].values[found[number]]
