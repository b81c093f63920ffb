"""Fewer, larger tables: the same cost in as few gathers as fit into a core's cache.

A string's cost is a sum of table entries, one gather for each table and one for each node behind
the tokens. Two tables over few nodes are one table over all of them, and a table over a node is one
over the node's parents; both save a gather and are worth it while the table stays small.

Shapes: K terms.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from greennas_jax.spaces.factors import Factors

# Entries of one table and of all: the first stays in a first-level cache, the second in a second.
ENTRIES = 2**12
ALL_ENTRIES = 2**17

Scope = tuple[int, ...]
Table = tuple[Scope, np.ndarray, tuple[str, ...]]


def merge(factors: Factors, *, entries: int = ENTRIES, all_entries: int = ALL_ENTRIES) -> Factors:
    """Return factors of the same costs with fewer tables and nodes.

    The relaxed cost of the result is contracted from the tables as they were.

    Args:
      factors: A space's factors, numpy's.
      entries: Most entries of a table that is made.
      all_entries: Most entries of all tables together.
    """
    state = _State(factors, entries, all_entries)
    while (move := state.cheapest()) is not None:
        state.take(move)
    return state.made()


class _State:
    """Tables and nodes on the way; every move saves one gather."""

    def __init__(self, factors: Factors, entries: int, all_entries: int):
        self.factors, self.entries, self.all_entries = factors, entries, all_entries
        self.sizes = factors.sizes
        self.parents = dict(enumerate(factors.parents, start=factors.positions))
        self.maps = {
            node: np.asarray(factors.maps[row]).reshape([self.sizes[p] for p in above])
            for row, (node, above) in enumerate(self.parents.items())
        }
        self.tables: list[Table] = []
        for scope, table, names in zip(factors.scopes, factors.tables, factors.names, strict=False):
            self.tables.append((scope, self._shaped(np.asarray(table), scope), names))

    def _shaped(self, table: np.ndarray, scope: Scope) -> np.ndarray:
        return table.reshape(len(table), *(self.sizes[node] for node in scope))

    def _size(self, scope: Iterable[int]) -> int:
        return math.prod(self.sizes[node] for node in scope)

    def _without(self, scope: Scope, node: int) -> Scope:
        """Return a scope with a node's parents in its place."""
        return tuple(sorted({*scope, *self.parents[node]} - {node}))

    def cheapest(self) -> tuple[int, ...] | None:
        """Return the move that adds the fewest entries: two tables, or a node; None if none fits.

        A node may be replaced by its parents where it is in tables alone.
        """
        room = self.all_entries - sum(self._size(scope) for scope, _, _ in self.tables)
        moves: list[tuple[int, tuple[int, ...]]] = []
        for one, other in itertools.combinations(range(len(self.tables)), 2):
            first, second = self.tables[one][0], self.tables[other][0]
            whole = self._size({*first, *second})
            if whole <= self.entries:
                moves.append((whole - self._size(first) - self._size(second), (one, other)))
        inner = {parent for above in self.parents.values() for parent in above}
        for node in self.parents.keys() - inner:
            pairs = [(s, self._without(s, node)) for s, _, _ in self.tables if node in s]
            grown = [self._size(after) for _, after in pairs]
            if max(grown, default=0) <= self.entries:
                moves.append((sum(grown) - sum(self._size(s) for s, _ in pairs), (node,)))
        added, move = min(moves, default=(room + 1, None))
        return move if added <= room else None

    def take(self, move: tuple[int, ...]) -> None:
        """Merge two tables, or replace a node by its parents."""
        if len(move) == 1:
            self.tables = [self._replaced(table, move[0]) for table in self.tables]
            del self.parents[move[0]]
            return
        first, second = (self.tables[number] for number in move)
        scope = tuple(sorted({*first[0], *second[0]}))
        total = self._spread(first, scope) + self._spread(second, scope)
        kept = [table for number, table in enumerate(self.tables) if number not in move]
        self.tables = [*kept, (scope, total, (*first[2], *second[2]))]

    def _spread(self, table: Table, scope: Scope) -> np.ndarray:
        """Return a table laid over a larger scope that is in ascending order."""
        own, values, _ = table
        order = np.argsort(own)
        values = values.transpose(0, *(1 + order))
        return values.reshape(
            len(values), *(self.sizes[node] if node in own else 1 for node in scope)
        )

    def _replaced(self, table: Table, node: int) -> Table:
        own, values, names = table
        if node not in own:
            return table
        scope = self._without(own, node)
        grid = dict(
            zip(scope, np.indices([self.sizes[n] for n in scope], sparse=True), strict=True)
        )
        grid[node] = self.maps[node][tuple(grid[parent] for parent in self.parents[node])]
        return scope, values[(slice(None), *(grid[n] for n in own))], names

    def made(self) -> Factors:
        """Return the factors."""
        positions = self.factors.positions
        kept = [*range(positions), *sorted(self.parents)]
        new = {old: number for number, old in enumerate(kept)}
        tables = sorted(self.tables, key=lambda table: max(table[0], default=0))
        return dataclasses.replace(
            self.factors,
            tables=tuple(values.reshape(len(values), -1) for _, values, _ in tables),
            maps=tuple(self.maps[node].reshape(-1) for node in kept[positions:]),
            sizes=tuple(self.sizes[node] for node in kept),
            parents=tuple(_renumbered(self.parents[node], new) for node in kept[positions:]),
            scopes=tuple(_renumbered(scope, new) for scope, _, _ in tables),
            names=(*(names for _, _, names in tables), self.factors.names[-1]),
        )


def _renumbered(scope: Sequence[int], new: dict[int, int]) -> Scope:
    return tuple(new[node] for node in scope)
