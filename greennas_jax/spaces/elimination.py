"""Variable elimination over a space's factors: which tables meet when, and the cheapest string.

Variables are the nodes of the factors. A node behind the tokens is tied to its parents by its map;
it takes part as a variable of its own, so that long-range effects pass through nodes of few values
(Dechter, "Bucket elimination: A unifying framework for reasoning", Artificial Intelligence 1999;
on a chain this is dynamic programming).
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Entries of the largest table, half a gigabyte; beyond it the graph is too entangled.
LARGEST_TABLE = 2**26

Scope = tuple[int, ...]


class TooEntangledError(ValueError):
    """Eliminating a variable would need too large a table."""


class Step(NamedTuple):
    """The elimination of one variable.

    Attributes:
      variable: The node eliminated.
      tables: Numbers of the tables summed up; a step's own table is numbered after all before it.
      grid: Nodes that the sum runs over; the variable comes last unless it is determined.
      determined: Nodes that follow from the grid's, parents first; the variable may be one.
      result: Nodes of the new table: the grid's and the determined ones, without the variable.
    """

    variable: int
    tables: tuple[int, ...]
    grid: Scope
    determined: Scope
    result: Scope


def _step(
    variable: int, scopes: Mapping[int, Scope], maps: Mapping[int, Scope]
) -> tuple[Step, tuple[int, ...]]:
    """Return the elimination of a variable, and the nodes whose maps it consumes."""
    tables = tuple(number for number, scope in scopes.items() if variable in scope)
    tied = tuple(node for node, above in maps.items() if variable == node or variable in above)
    involved = {variable}
    for number in tables:
        involved.update(scopes[number])
    for node in tied:
        involved.update((node, *maps[node]))
    determined = tuple(sorted(tied))
    rest = tuple(sorted(involved - {*determined, variable}))
    grid = rest if variable in determined else (*rest, variable)
    result = (*rest, *(node for node in determined if node != variable))
    return Step(variable, tables, grid, determined, result), tied


def _work(step: Step, sizes: Sequence[int]) -> int:
    grid = math.prod(sizes[node] for node in step.grid)
    return grid + math.prod(sizes[node] for node in step.result)


def plan(
    sizes: Sequence[int],
    scopes: Sequence[Scope],
    parents: Mapping[int, Scope],
    order: Sequence[int] | None = None,
) -> list[Step]:
    """Return the elimination of all variables.

    Args:
      sizes: Number of values of each node.
      scopes: Scope of each given table.
      parents: Parents of each node behind the tokens.
      order: The order of the variables; without it always one whose tables are smallest.

    Raises:
      TooEntangledError: If a table would be too large.
    """
    live = dict(enumerate(scopes))
    maps = dict(parents)
    waiting = dict.fromkeys(range(len(sizes)) if order is None else order)
    known: dict[int, tuple[Step, Scope]] = {}
    work: dict[int, tuple[int, int]] = {}
    found: list[Step] = []
    while waiting:
        for variable in waiting if order is None else (next(iter(waiting)),):
            if variable not in known:
                known[variable] = _step(variable, live, maps)
                work[variable] = _work(known[variable][0], sizes), variable
        entries, chosen = min(work.values())
        step, tied = known[chosen]
        if entries > LARGEST_TABLE:
            raise TooEntangledError(
                f"a table of {entries} entries is needed; at most {LARGEST_TABLE} are allowed"
            )
        for number in step.tables:
            del live[number]
        for node in tied:
            del maps[node]
        live[len(scopes) + len(found)] = step.result
        found.append(step)
        del waiting[chosen]
        for node in {*step.result, chosen}:
            known.pop(node, None)
            work.pop(node, None)
    return found


@functools.lru_cache(maxsize=32)
def _plan_of(
    sizes: tuple[int, ...],
    scopes: tuple[Scope, ...],
    parents: tuple[tuple[int, Scope], ...],
    largest: int,
) -> tuple[Step, ...]:
    """Return the plan without an order; every weight of a space's terms needs the same."""
    del largest  # A plan is remembered for the limit that it was made under.
    return tuple(plan(sizes, scopes, dict(parents)))


def forward_order(
    sizes: Sequence[int], scopes: Sequence[Scope], parents: Mapping[int, Scope]
) -> list[int]:
    """Return an order that sweeps once through the tables, as dynamic programming does.

    A variable goes as soon as all tables and maps with it were passed. Tokens are numbered along
    the network, so a table is passed when the highest token that it depends on is.
    """
    time = {node: node for node in range(len(sizes))}
    for node, above in parents.items():
        time[node] = max(time[parent] for parent in above)
    passed: dict[int, list[int]] = {node: [] for node in time}
    for scope in (*scopes, *((*above, node) for node, above in parents.items())):
        for node in scope:
            passed[node].append(max(time[other] for other in scope))
    return sorted(passed, key=lambda n: (max(passed[n], default=0), -min(passed[n], default=0), n))


def numbers(
    step: Step, sizes: Sequence[int], maps: Mapping[int, np.ndarray], parents: Mapping[int, Scope]
) -> dict[int, np.ndarray]:
    """Return every involved node's value number on the open grid of a step."""
    found: dict[int, np.ndarray] = {}
    for axis, node in enumerate(step.grid):
        shape = [1] * len(step.grid)
        shape[axis] = sizes[node]
        found[node] = np.arange(sizes[node]).reshape(shape)
    for node in step.determined:
        found[node] = maps[node][tuple(found[parent] for parent in parents[node])]
    return found


def _on_grid(
    scope: Scope, table: np.ndarray, step: Step, found: Mapping[int, np.ndarray]
) -> np.ndarray:
    """Return a table's entries on the open grid of a step."""
    if any(node in step.determined for node in scope):
        return table[tuple(found[node] for node in scope)]
    axes = [step.grid.index(node) for node in scope]
    shape = [1] * len(step.grid)
    for axis, size in zip(axes, table.shape, strict=True):
        shape[axis] = size
    return table.transpose(np.argsort(axes)).reshape(shape)


def _reduced(
    step: Step, sizes: Sequence[int], total: np.ndarray, found: Mapping[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least sum per entry of the result, and the variable's value that gives it."""
    free = step.variable not in step.determined
    kept = [node for node in step.determined if node != step.variable]
    if not kept:
        if not free:
            return total, np.zeros(total.shape, dtype=np.int32)
        # numpy's minimum along a short last axis is five times slower.
        best = total.argmin(axis=-1)
        return np.take_along_axis(total, best[..., None], -1)[..., 0], best.astype(np.int32)
    shape = tuple(sizes[node] for node in step.result)
    least, best = np.full(math.prod(shape), np.inf), np.zeros(math.prod(shape), dtype=np.int32)
    rest = total.shape[:-1] if free else total.shape
    # The result's nodes are the grid's rest and then the determined ones.
    start = np.arange(math.prod(rest)).reshape(rest)
    for value in range(sizes[step.variable] if free else 1):
        entry = start
        for node in kept:
            tied = found[node]
            if free:
                tied = tied[..., min(value, tied.shape[-1] - 1)]
            entry = entry * sizes[node] + tied
        candidate = total[..., value] if free else total
        # Entries of the result are distinct for a fixed value of the variable.
        better = candidate < least[entry]
        reached = entry[better]
        least[reached] = candidate[better]
        best[reached] = value
    return least.reshape(shape), best.reshape(shape)


def minimise(
    sizes: Sequence[int],
    tables: Sequence[tuple[Scope, np.ndarray]],
    parents: Mapping[int, Scope],
    maps: Mapping[int, np.ndarray],
) -> list[int]:
    """Return the value numbers of all nodes with the least sum of tables.

    Args:
      sizes: Number of values of each node.
      tables: Scopes, each with its table in the scope's shape.
      parents: Parents of each node behind the tokens.
      maps: Such a node's value number from its parents', in their shape.

    Raises:
      TooEntangledError: If a table would be too large.
    """
    scopes = tuple(scope for scope, _ in tables)
    steps = _plan_of(tuple(sizes), scopes, tuple(parents.items()), LARGEST_TABLE)
    live = dict(enumerate(tables))
    choices = []
    for step in steps:
        found = numbers(step, sizes, maps, parents)
        total = np.zeros(tuple(sizes[node] for node in step.grid))
        for number in step.tables:
            total += _on_grid(*live.pop(number), step, found)
        least, best = _reduced(step, sizes, total, found)
        live[len(tables) + len(choices)] = (step.result, least)
        choices.append(best)
    values = [0] * len(sizes)
    for step, best in zip(reversed(steps), reversed(choices), strict=True):
        if step.variable in step.determined:
            above = tuple(values[parent] for parent in parents[step.variable])
            values[step.variable] = int(maps[step.variable][above])
        else:
            values[step.variable] = int(best[tuple(values[node] for node in step.result)])
    return values
