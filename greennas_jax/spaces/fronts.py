"""Sets of undominated partial strings, carried through variable elimination.

Where `elimination` keeps one cost per table entry, this keeps every undominated vector of costs, as
flat arrays with one entry's vectors next to each other.

Shapes: K objectives, M partial strings.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import moocore
import numpy as np

from greennas_jax.spaces import elimination
from greennas_jax.spaces.elimination import Scope, Step

# Relative steps of the grid that thins out large sets.
FINEST = 1e-4
COARSEST = 0.1


class Sets(NamedTuple):
    """A table of sets of cost vectors.

    Attributes:
      scope: Nodes of the table.
      starts: Where each entry's vectors start, and the end of the last, int64 [entries + 1].
      costs: Cost vectors [M, K].
      trace: Number of the trace of the step that made the table.
      origin: Number of each vector in that trace [M].
    """

    scope: Scope
    starts: np.ndarray
    costs: np.ndarray
    trace: int
    origin: np.ndarray


class Trace(NamedTuple):
    """How the vectors of a step's table came about.

    Attributes:
      step: The step.
      cell: Entry of the step's grid [M].
      used: For each trace whose table was consumed, which of its vectors [M].
    """

    step: Step
    cell: np.ndarray
    used: dict[int, np.ndarray]


Live = dict[int, tuple[Scope, np.ndarray] | Sets]


class Graph(NamedTuple):
    """Sizes of all nodes, and parents and maps of those behind the tokens."""

    sizes: Sequence[int]
    parents: Mapping[int, Scope]
    maps: Mapping[int, np.ndarray]


def nondominated(costs: np.ndarray, entry: np.ndarray) -> np.ndarray:
    """Return which vectors no other vector of the same entry dominates or repeats, sorted by entry.

    Args:
      costs: Vectors [M, K].
      entry: The entry of each, int64 [M].
    """
    if costs.shape[1] <= 2:
        return _nondominated_pairs(costs[:, 0], costs[:, -1], entry)
    order = np.argsort(entry, kind="stable")
    bounds = np.flatnonzero(np.diff(entry[order], prepend=-1, append=-1))
    kept = []
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        members = order[start:end]
        if len(members) > 1:
            members = members[moocore.is_nondominated(costs[members], keep_weakly=False)]
        kept.append(members)
    return np.concatenate(kept) if kept else order


def _nondominated_pairs(first: np.ndarray, second: np.ndarray, entry: np.ndarray) -> np.ndarray:
    """Return the same for two objectives: a running minimum along the sorted first one."""
    order = np.lexsort((second, first, entry))
    entry, second = entry[order], second[order]
    # Ranks are shifted down from entry to entry, so that one running minimum serves them all.
    ranks = np.unique(second, return_inverse=True)[1].reshape(-1) - entry * (len(second) + 1)
    before = np.minimum.accumulate(ranks)
    kept = np.ones(len(order), dtype=bool)
    kept[1:] = ranks[1:] < before[:-1]
    return order[kept]


def _thinned(costs: np.ndarray, entry: np.ndarray, epsilon: float) -> np.ndarray:
    """Return which vectors to keep, one per cell of a grid of relative steps and entry."""
    if epsilon <= 0 or not len(costs):
        return np.arange(len(costs))
    low, high = costs.min(axis=0), costs.max(axis=0)
    positive = low > 0
    logarithm = np.log(np.where(positive, costs, 1.0)) / np.log1p(epsilon)
    linear = (costs - low) / (epsilon * np.where(high > low, high - low, 1.0))
    grid = np.floor(np.where(positive, logarithm, linear)).astype(np.int64)
    _, first = np.unique(np.column_stack((entry, grid)), axis=0, return_index=True)
    return np.sort(first)


def _expand(starts: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each vector of some entries the row it is for, and its number."""
    counts = starts[cells + 1] - starts[cells]
    row = np.repeat(np.arange(len(cells)), counts)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, starts[cells][row] + offset


def _flat(scope: Scope, found: Mapping[int, np.ndarray], sizes: Sequence[int], shape: tuple):
    """Return the flat entry of a scope on a step's grid, flattened."""
    index = np.zeros(shape, dtype=np.int64)
    for node in scope:
        index = index * sizes[node] + found[node]
    return index.reshape(-1)


def _combine(
    step: Step, sizes: Sequence[int], live: Live, found: Mapping[int, np.ndarray], objectives: int
) -> tuple[np.ndarray, np.ndarray, Trace]:
    """Return all sums of a step's tables: costs, the result's entry of each, and their trace."""
    shape = tuple(sizes[node] for node in step.grid)
    plain = np.zeros((objectives, *shape))
    for number in step.tables:
        table = live[number]
        if not isinstance(table, Sets):
            plain = plain + table[1][(slice(None), *(found[node] for node in table[0]))]
    cell = np.arange(int(np.prod(shape)))
    costs = plain.reshape(objectives, -1).T
    used: dict[int, np.ndarray] = {}
    for number in step.tables:
        table = live[number]
        if isinstance(table, Sets):
            entry = _flat(table.scope, found, sizes, shape)
            row, vector = _expand(table.starts, entry[cell])
            cell, costs = cell[row], costs[row] + table.costs[vector]
            used = {key: value[row] for key, value in used.items()}
            used[table.trace] = table.origin[vector]
    entry = _flat(step.result, found, sizes, shape)[cell]
    return costs, entry, Trace(step, cell, used)


def _count(step: Step, sizes: Sequence[int], live: Live, found: Mapping[int, np.ndarray]) -> int:
    """Return how many sums `_combine` would make."""
    shape = tuple(sizes[node] for node in step.grid)
    counts = np.ones(int(np.prod(shape)))
    for number in step.tables:
        table = live[number]
        if isinstance(table, Sets):
            counts *= np.diff(table.starts)[_flat(table.scope, found, sizes, shape)]
    return int(counts.sum())


def _thinner(table: Sets, epsilon: float) -> Sets:
    """Return a table with fewer vectors."""
    entry = np.repeat(np.arange(len(table.starts) - 1), np.diff(table.starts))
    kept = _thinned(table.costs, entry, epsilon)
    starts = np.searchsorted(entry[kept], np.arange(len(table.starts)))
    return Sets(table.scope, starts, table.costs[kept], table.trace, table.origin[kept])


def _within(
    step: Step,
    sizes: Sequence[int],
    live: Live,
    found: Mapping[int, np.ndarray],
    epsilon: float,
    most: int,
) -> float:
    """Thin the live sets until a step makes at most so many sums; return the epsilon it took."""
    while (count := _count(step, sizes, live, found)) > most:
        if epsilon >= COARSEST:
            raise elimination.TooEntangledError(
                f"the front needs {count} partial strings at once; at most {most} are allowed"
            )
        epsilon = max(2 * epsilon, FINEST)
        for number in step.tables:
            table = live[number]
            if isinstance(table, Sets):
                live[number] = _thinner(table, epsilon)
    return epsilon


def _crowded(steps: Sequence[Step], given: int) -> set[int]:
    """Return the tables of sets that would meet more than one other at once."""
    found: set[int] = set()
    for step in steps:
        sets = [number for number in step.tables if number >= given]
        if len(sets) > 2:
            found.update(sets)
    return found


def _contained(live: Live, newest: int) -> tuple[int, int] | None:
    """Return two tables of sets, one scope within the other, of which one is the newest."""
    fresh = live[newest]
    for number, table in live.items():
        if number == newest or not isinstance(table, Sets) or not isinstance(fresh, Sets):
            continue
        if set(fresh.scope) <= set(table.scope):
            return newest, number
        if set(table.scope) <= set(fresh.scope):
            return number, newest
    return None


def search(
    graph: Graph, tables: Sequence[tuple[Scope, np.ndarray]], *, epsilon: float, most: int
) -> tuple[np.ndarray, bool]:
    """Return value numbers of the tokens for every point of the front, and whether it is whole.

    Where many tables of sets would meet at once, one whose scope lies within another's is added to
    it early: along a chain of residual blocks the front so far meets one block at a time.

    Args:
      graph: The nodes.
      tables: Scopes, each with its table [K, ...].
      epsilon: Relative step within which vectors count as one.
      most: Sums at once; where there would be more, epsilon is raised.

    Returns:
      Value numbers, int64 [F, nodes] (0 for nodes behind the tokens), and whether nothing was left
      out.

    Raises:
      TooEntangledError: If a table or a set would be too large.
    """
    sizes, objectives = graph.sizes, len(tables[0][1])
    scopes = [scope for scope, _ in tables]
    order = elimination.forward_order(sizes, scopes, graph.parents)
    steps = elimination.plan(sizes, scopes, graph.parents, order)
    live: Live = dict(enumerate(tables))
    traces: list[Trace] = []
    coarseness, whole = epsilon, True

    def _make(step: Step, number: int) -> None:
        nonlocal coarseness, whole
        found = elimination.numbers(step, sizes, graph.maps, graph.parents)
        coarseness = _within(step, sizes, live, found, coarseness, most)
        costs, entry, trace = _combine(step, sizes, live, found, objectives)
        kept = nondominated(costs, entry)
        thin = kept[_thinned(costs[kept], entry[kept], coarseness)]
        whole = whole and len(thin) == len(kept)
        entries = int(np.prod([sizes[node] for node in step.result], dtype=np.int64))
        starts = np.searchsorted(entry[thin], np.arange(entries + 1))
        for used in step.tables:
            del live[used]
        live[number] = Sets(step.result, starts, costs[thin], len(traces), np.arange(len(thin)))
        used = {key: vector[thin] for key, vector in trace.used.items()}
        traces.append(Trace(step, trace.cell[thin], used))

    crowded = _crowded(steps, len(tables))
    for row, step in enumerate(steps):
        number = len(tables) + row
        _make(step._replace(tables=tuple(n for n in step.tables if n in live)), number)
        while number in crowded and (pair := _contained(live, number)) is not None:
            scope = live[pair[1]][0]
            _make(Step(-1, pair, scope, (), scope), pair[1])
            number = pair[1]
    _make(Step(-1, tuple(live), (), (), ()), -1)
    return _followed(sizes, traces), whole and coarseness == epsilon


def _followed(sizes: Sequence[int], traces: Sequence[Trace]) -> np.ndarray:
    """Return the value numbers behind each vector of the last table."""
    points = len(traces[-1].cell)
    values = np.zeros((points, len(sizes)), dtype=np.int64)
    vectors = {len(traces) - 1: np.arange(points)}
    for number in range(len(traces) - 1, -1, -1):
        step, cell, used = traces[number]
        vector = vectors[number]
        if step.variable >= 0 and step.variable not in step.determined:
            values[:, step.variable] = cell[vector] % sizes[step.variable]
        for key, chosen in used.items():
            vectors[key] = chosen[vector]
    return values
