"""A search problem whose answers stand in a table: accuracy up, cost down, no training.

Each query reveals the accuracy (and, where cost is not free, the cost) of one canonical string; the
budget counts distinct ones. The reference of the hypervolume is the accuracy of a network that has
learned nothing and the largest cost.

Shapes: n strings, N networks of the space, T positions.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.accuracy import table as tables
from greennas_jax.accuracy.table import Table, TableError
from greennas_jax.search import archive as archives
from greennas_jax.spec.network import SpecError

OBJECTIVES = ("pareto", "accuracy", "constrained")
COSTS = ("free", "queried")


class Observed(NamedTuple):
    """What queries have told, in their order.

    Attributes:
      tokens: int32 [n, T], canonical.
      accuracy: float64 [n].
      cost: float64 [n].
    """

    tokens: np.ndarray
    accuracy: np.ndarray
    cost: np.ndarray

    def keys(self) -> set[archives.Key]:
        """Return the keys of what was queried."""
        return {archives.key_of(row) for row in self.tokens}


def first(observed: Observed, count: int) -> Observed:
    """Return what the first queries told."""
    return Observed(*(part[:count] for part in observed))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TableProblem:
    """One tabular search problem.

    Attributes:
      space: A space that reads and writes architectures as text (`parse`, `text`).
      tokens: int32 [N, T], the canonical strings that have a row.
      texts: The architecture of each row as the table writes it, [N].
      accuracy: float64 [N].
      costs: float64 [N].
      floor: Accuracy of a network that has learned nothing.
      objective: One of OBJECTIVES.
      cost_is_free: Whether any string's cost is known without a query.
      target: Least accuracy of the constrained objective.
    """

    space: Any
    tokens: np.ndarray
    texts: tuple[str, ...]
    accuracy: np.ndarray
    costs: np.ndarray
    floor: float
    objective: str = "pareto"
    cost_is_free: bool = True
    target: float | None = None
    _rows: dict[archives.Key, int] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective is {self.objective!r}; allowed: {', '.join(OBJECTIVES)}")
        if self.objective == "constrained" and self.target is None:
            raise ValueError("objective is 'constrained'; a least accuracy is needed")
        rows = {archives.key_of(row): number for number, row in enumerate(self.tokens)}
        object.__setattr__(self, "_rows", rows)

    def rows(self, tokens: np.ndarray) -> np.ndarray:
        """Return the row of each canonical string [n, T], int64 [n]; -1 where there is none."""
        known = self._rows
        return np.asarray([known.get(archives.key_of(row), -1) for row in tokens], int)

    def cost(self, tokens: np.ndarray) -> np.ndarray:
        """Return the cost [n] of canonical strings [n, T] that have a row."""
        return self.costs[self.rows(tokens)]

    def query(self, tokens: np.ndarray) -> Observed:
        """Return what queries of canonical strings [n, T] tell.

        Raises:
          ValueError: If the table has no row of one.
        """
        rows = self.rows(tokens)
        if (rows < 0).any():
            text = self.space.text(tokens[np.argmax(rows < 0)])
            raise ValueError(f"{text} is no canonical architecture of {self.space.name}")
        return Observed(np.asarray(tokens, np.int32), self.accuracy[rows], self.costs[rows])

    def admitted(self, tokens: np.ndarray, known: set[archives.Key]) -> np.ndarray:
        """Return the distinct canonical forms of strings [n, T] that have a row and are new."""
        seen, kept = set(known), []
        for row in self.space.canonical(tokens) if len(tokens) else tokens:
            key = archives.key_of(row)
            if key not in seen and key in self._rows:
                seen.add(key)
                kept.append(row)
        shape = (0, len(self.space.positions))
        return np.stack(kept).astype(np.int32) if kept else np.zeros(shape, np.int32)


def build(space: Any, table: Table, *, floor: float | None = None, **settings: Any) -> TableProblem:
    """Return the problem of a table.

    Args:
      space: A space with `parse`, `text`, `canonical`, `connected` and `every`.
      table: The table; of a class with several rows the first measured one counts.
      floor: Accuracy of a network that has learned nothing; by default the median of the table's
        rows without a path.
      **settings: Further fields of `TableProblem`.

    Raises:
      TableError: If an architecture is of another space, a network of the space has no row, or
        the floor is neither given nor in the table.
    """
    strings = []
    for text, line in zip(table.architectures, table.lines, strict=True):
        try:
            strings.append(space.parse(text))
        except SpecError as error:
            raise TableError(f"{table.path}, line {line}: {error}") from None
    strings = np.stack(strings)
    canonical = space.canonical(strings)
    rows: dict[archives.Key, int] = {}
    for number in np.argsort(~table.measured, kind="stable"):
        rows.setdefault(archives.key_of(canonical[number]), int(number))
    tokens = space.every()
    found = [rows.get(archives.key_of(row), -1) for row in tokens]
    _check_complete(space, table, tokens, found)
    if floor is None:
        lost = ~space.connected(strings)
        if not lost.any():
            raise TableError(f"{table.path}: no row without a path; state the floor of accuracy")
        floor = float(np.median(table.accuracy[lost]))
    return TableProblem(
        space=space,
        tokens=tokens,
        texts=tuple(table.architectures[number] for number in found),
        accuracy=table.accuracy[found],
        costs=table.cost[found],
        floor=floor,
        **settings,
    )


def _check_complete(
    space: Any, table: tables.Table, tokens: np.ndarray, found: Sequence[int]
) -> None:
    missing = [row for row, number in zip(tokens, found, strict=True) if number < 0]
    if missing:
        raise TableError(
            f"{table.path}: {len(missing)} of {len(tokens)} architectures of {space.name} have no "
            f"row, the first: {space.text(missing[0])}"
        )


def nondominated(accuracy: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Return which points [n] no other is better than in both ways, bool [n]; one of equals."""
    order = np.lexsort((-accuracy, cost))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], accuracy[order][:-1]]))
    kept = np.zeros(len(accuracy), bool)
    kept[order[accuracy[order] > best]] = True
    return kept
