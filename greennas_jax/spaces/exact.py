"""The cheapest string of a space and the exact front of its costs.

Costs are sums of small tables, so both are exact: no string of the space is better.

Shapes: K terms, T positions, F points of a front.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.spaces import elimination, fronts
from greennas_jax.spaces import factors as space_factors
from greennas_jax.spaces.factors import Factors

TINY = np.finfo(np.float64).tiny

Weights = Mapping[str, float] | Sequence[float]
Tables = list[tuple[tuple[int, ...], np.ndarray]]


class Extra(NamedTuple):
    """A further table that is added to the costs, for example a learned score.

    Attributes:
      scope: Positions.
      table: One entry per combination of their tokens, in the scope's shape; for a front with one
        more axis in front, one entry per objective.
    """

    scope: tuple[int, ...]
    table: np.ndarray


class Front(NamedTuple):
    """Strings of which none is dominated.

    Attributes:
      tokens: Strings, int32 [F, T], sorted by the first objective.
      costs: Their objectives, float64 [F, K].
      exact: Whether this is the whole front; else every point of it is nearly reached.
    """

    tokens: np.ndarray
    costs: np.ndarray
    exact: bool


def _weights(factors: Factors, weights: Weights) -> np.ndarray:
    """Return one weight per term [K]."""
    if isinstance(weights, Mapping):
        unknown = [name for name in weights if name not in factors.terms]
        if unknown:
            raise ValueError(
                f"cost term '{unknown[0]}' is not in these factors; allowed: "
                + ", ".join(factors.terms)
            )
        return np.array([float(weights.get(name, 0.0)) for name in factors.terms])
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (len(factors.terms),):
        raise ValueError(
            f"weights of shape {list(found.shape)}; allowed: one per term, {len(factors.terms)}"
        )
    return found


def _parents(factors: Factors) -> dict[int, tuple[int, ...]]:
    return dict(enumerate(factors.parents, start=factors.positions))


def _maps(factors: Factors) -> dict[int, np.ndarray]:
    return {
        node: np.asarray(table).reshape([factors.sizes[parent] for parent in factors.parents[row]])
        for row, (node, table) in enumerate(enumerate(factors.maps, start=factors.positions))
    }


def _check(factors: Factors, extra: Extra, objectives: tuple[int, ...]) -> None:
    """Require that a further table fits the space."""
    wrong = [p for p in extra.scope if not 0 <= p < factors.positions]
    if wrong or len(set(extra.scope)) < len(extra.scope):
        raise ValueError(
            f"scope {list(extra.scope)}; allowed: distinct positions below {factors.positions}"
        )
    wanted = (*objectives, *(factors.sizes[p] for p in extra.scope))
    if np.shape(extra.table) != wanted:
        raise ValueError(f"a table of shape {list(np.shape(extra.table))}; needed: {list(wanted)}")


def cheapest(
    factors: Factors, weights: Weights, *, extra: Sequence[Extra] = ()
) -> tuple[np.ndarray, float]:
    """Return the string with the least weighted cost, and that cost.

    Args:
      factors: A space's factors, numpy's.
      weights: A weight per term, by name (others count nothing) or in the order of the terms.
      extra: Further tables to add; they may be negative.

    Returns:
      The string, int32 [T], and its weighted cost with all further tables.

    Raises:
      ValueError: If a weight or a further table does not fit.
      TooEntangledError: If the space's graph needs tables that are too large.
    """
    weight = _weights(factors, weights)
    tables: Tables = [((), weight @ np.asarray(factors.constant))]
    for scope, table in zip(factors.scopes, factors.tables, strict=True):
        shape = tuple(factors.sizes[node] for node in scope)
        tables.append((scope, (weight @ np.asarray(table)).reshape(shape)))
    for one in extra:
        _check(factors, one, ())
        tables.append((tuple(one.scope), np.asarray(one.table, dtype=np.float64)))
    found = elimination.minimise(factors.sizes, tables, _parents(factors), _maps(factors))
    tokens = np.array(found[: factors.positions], dtype=np.int32)
    return tokens, float(sum(table[tuple(found[n] for n in scope)] for scope, table in tables))


def front(
    factors: Factors,
    terms: Sequence[str] | None = None,
    *,
    extra: Sequence[Extra] = (),
    epsilon: float = 0.0,
    most: int = 4_000_000,
) -> Front:
    """Return all strings that no other string beats or equals in every objective.

    Objectives are terms and, behind them, what `extra` adds to none of them. Of strings with the
    same objectives one is returned.

    Args:
      factors: A space's factors, numpy's.
      terms: One to three names of terms; all terms by default.
      extra: Further tables with one entry per objective in front. Their number of objectives may
        exceed that of the terms: those behind are objectives of their own.
      epsilon: Above 0, of partial strings that agree in every objective within this relative step
        one is kept.
      most: Partial strings at once; where there would be more, epsilon is raised.

    Raises:
      ValueError: If a term is not known, or there are more than three objectives.
      TooEntangledError: If the space's graph needs tables that are too large.
    """
    objectives, tables = _objectives(factors, terms, extra)
    graph = fronts.Graph(factors.sizes, _parents(factors), _maps(factors))
    tokens, exact = fronts.search(graph, tables, epsilon=epsilon, most=most)
    tokens = tokens[:, : factors.positions].astype(np.int32)
    return _sorted_front(tokens, _values(factors, tables, tokens), exact)


def supported_front(
    factors: Factors,
    terms: Sequence[str] | None = None,
    *,
    extra: Sequence[Extra] = (),
    divisions: int = 16,
) -> Front:
    """Return points on the convex hull of the front: the cheapest strings of weighted sums.

    It serves where `front` would need too much: every point is on the front, but not all are found.

    Args:
      factors: A space's factors, numpy's.
      terms: One to three names of terms; all terms by default.
      extra: As for `front`.
      divisions: Steps between the weights 0 and 1 of each objective.

    Raises:
      ValueError: If a term is not known, or there are more than three objectives.
      TooEntangledError: If the space's graph needs tables that are too large.
    """
    objectives, tables = _objectives(factors, terms, extra)
    ends = [_cheapest(factors, tables, np.eye(objectives)[k] + 1e-9) for k in range(objectives)]
    corners = _values(factors, tables, np.array(ends))
    span = np.ptp(corners, axis=0)
    scale = 1 / np.where(span > 0, span, 1.0)
    lattice = itertools.product(range(1, divisions), repeat=objectives)
    found = [
        _cheapest(factors, tables, np.array(weights) * scale)
        for weights in lattice
        if sum(weights) == divisions
    ]
    tokens = np.unique(np.array([*ends, *found], dtype=np.int32), axis=0)
    return _sorted_front(tokens, _values(factors, tables, tokens), False)


def _objectives(
    factors: Factors, terms: Sequence[str] | None, extra: Sequence[Extra]
) -> tuple[int, Tables]:
    """Return the number of objectives and all tables [K, ...]."""
    names = tuple(factors.terms if terms is None else terms)
    unknown = [name for name in names if name not in factors.terms]
    if unknown:
        raise ValueError(
            f"cost term '{unknown[0]}' is not in these factors; allowed: {', '.join(factors.terms)}"
        )
    objectives = max([len(names), *(len(one.table) for one in extra)])
    if not 1 <= objectives <= 3:
        raise ValueError(f"{objectives} objectives; allowed: 1 to 3")
    rows = [factors.terms.index(name) for name in names]

    def filled(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        made = np.zeros((objectives, *shape))
        made[: len(table)] = table.reshape(len(table), *shape)
        return made

    tables: Tables = [((), filled(np.asarray(factors.constant)[rows], ()))]
    for scope, table in zip(factors.scopes, factors.tables, strict=True):
        shape = tuple(factors.sizes[node] for node in scope)
        tables.append((scope, filled(np.asarray(table)[rows], shape)))
    for one in extra:
        _check(factors, one, (len(one.table),))
        tables.append((tuple(one.scope), filled(np.asarray(one.table), one.table.shape[1:])))
    return objectives, tables


def _cheapest(factors: Factors, tables: Tables, weights: np.ndarray) -> list[int]:
    """Return the string with the least weighted sum of objectives."""
    weighted = [(scope, np.tensordot(weights, table, 1)) for scope, table in tables]
    found = elimination.minimise(factors.sizes, weighted, _parents(factors), _maps(factors))
    return found[: factors.positions]


def _values(factors: Factors, tables: Tables, tokens: np.ndarray) -> np.ndarray:
    """Return the objectives of strings [F, T], float64 [F, K]."""
    numbers = space_factors.node_numbers(factors, np.asarray(tokens).T)
    total = np.zeros((len(tables[0][1]), len(tokens)))
    for scope, table in tables:
        total = total + table[(slice(None), *(numbers[node] for node in scope))].reshape(
            len(total), -1
        )
    return total.T


def _sorted_front(tokens: np.ndarray, costs: np.ndarray, exact: bool) -> Front:
    """Return the strings that no other beats or equals, sorted by their objectives."""
    # Equal strings of different order of summation differ in the last digits.
    digits = np.round(costs / np.maximum(np.abs(costs).max(axis=0), TINY), 12)
    kept = fronts.nondominated(digits, np.zeros(len(tokens), dtype=np.int64))
    kept = kept[np.lexsort(costs[kept].T[::-1])]
    return Front(tokens[kept], costs[kept], exact)
