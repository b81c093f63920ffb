"""All strings of a space, block after block: the test of what is claimed to be exact.

Strings are numbered: the symbols are digits, the last one fastest. A block is all combinations of
the last symbols, whose digits are made once; the others are the same all over a block. So memory is
bounded by a block, whatever the space.

Shapes: S symbols, K terms, P strings of a block, W weights, F points of a front.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import moocore
import numpy as np

from greennas_jax.spaces import factors as space_factors
from greennas_jax.spaces import symbols
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.symbols import Layout, SymbolCosts

Progress = Callable[[int, int], None]

BLOCK = 2**18
# Points of the front so far that a block is compared with before it leaves the device.
COMPARED = 32
# Float32 sums of a hundred layers differ by less; what is closer is compared in float64.
CLOSE = 1e-5


class Found(NamedTuple):
    """Strings of a space that were asked for.

    Attributes:
      tokens: Strings, int32 [F, T].
      costs: What they cost, float64 [F, K].
      strings: How many strings were looked at.
    """

    tokens: np.ndarray
    costs: np.ndarray
    strings: int


def count(layout: Layout) -> int:
    """Return the number of strings of a space."""
    return math.prod(layout.counts)


def decode(layout: Layout, numbers: np.ndarray) -> np.ndarray:
    """Return the symbols uint8 [S, n] of numbered strings, int64 [n]."""
    rest = np.asarray(numbers, np.int64)
    rows = []
    for size in reversed(layout.counts):
        rest, digit = np.divmod(rest, size)
        rows.append(digit.astype(np.uint8))
    return np.stack(rows[::-1])


def _blocks(layout: Layout, most: int | None, size: int) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Return the last symbols of every block [m, P], and the first ones of each, [S - m]."""
    counts = layout.counts
    inner = len(counts)
    while inner > 0 and math.prod(counts[inner - 1 :]) <= size:
        inner -= 1
    tail = Layout(tuple((n,) for n in range(len(counts) - inner)), counts[inner:])
    length = math.prod(counts[inner:])
    last = decode(tail, np.arange(length)) if inner < len(counts) else np.zeros((0, 1), np.uint8)
    blocks = math.prod(counts[:inner])
    if most is not None:
        blocks = min(blocks, -(-most // length))
    head = Layout(tuple((n,) for n in range(inner)), counts[:inner])

    def first() -> Iterator[np.ndarray]:
        for number in range(blocks):
            yield decode(head, np.array([number]))[:, 0] if inner else np.zeros(0, np.uint8)

    return last, first()


@functools.partial(jax.jit, static_argnames=("layout",))
def _costs(costs: SymbolCosts, first: jax.Array, last: jax.Array, layout: Layout) -> jax.Array:
    """Return what each string of a block costs, float32 [K, P]."""
    wide = jnp.broadcast_to(first[:, None], (len(first), last.shape[1]))
    return symbols.exact(costs, layout, jnp.concatenate([wide, last]))


@functools.partial(jax.jit, static_argnames=("layout",))
def _least(costs: SymbolCosts, first, last, layout: Layout) -> jax.Array:
    """Return the least of a block in every term, [K]."""
    return jnp.min(_costs(costs, first, last, layout), axis=1)


@functools.partial(jax.jit, static_argnames=("layout",))
def _where(costs: SymbolCosts, first, last, layout: Layout) -> jax.Array:
    """Return which string of a block has the least of each term, [K]."""
    return jnp.argmin(_costs(costs, first, last, layout), axis=1)


def _weighted(costs: SymbolCosts, weights: np.ndarray) -> SymbolCosts:
    """Return costs whose terms are weighted sums of the given ones, [W] of [K]."""
    return dataclasses.replace(
        costs,
        tables=tuple(np.asarray(weights @ table, np.float32) for table in costs.tables),
        constant=np.asarray(weights @ costs.constant, np.float32),
        terms=tuple(f"weighted {number}" for number in range(len(weights))),
    )


@functools.partial(jax.jit, static_argnames=("layout",))
def _undominated(costs, first, last, compared, layout: Layout) -> jax.Array:
    """Return which strings of a block no compared point [F, K] clearly dominates, bool [P]."""
    found = _costs(costs, first, last, layout)
    kept = jnp.ones(found.shape[1], bool)
    for point in range(COMPARED):
        worse = jnp.ones(found.shape[1], bool)
        for term in range(found.shape[0]):
            worse &= compared[point, term] * (1 + CLOSE) < found[term]
        kept &= ~worse
    return kept


def cheapest(
    factors: Factors,
    layout: Layout,
    weights: np.ndarray,
    *,
    most: int | None = None,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> Found:
    """Return the string with the least weighted cost for each of some weights, by looking at all.

    Args:
      factors: The space's factors, numpy's.
      layout: Which positions make up which symbol.
      weights: One row per question, [W, K].
      most: Strings to look at, rounded up to whole blocks; all by default.
      block: Most strings of a block.
      progress: Called with strings done and in all, where given.
    """
    costs = symbols.prepare(factors, layout, entries=symbols.entries_for(factors))
    costs = jax.device_put(_weighted(costs, np.asarray(weights)))
    last, heads = _blocks(layout, most, block)
    best = np.full(len(weights), np.inf)
    place = np.zeros((len(layout.counts), len(weights)), np.uint8)
    done = 0
    there = jnp.asarray(last)
    for first in heads:
        value = np.asarray(_least(costs, first, there, layout))
        better = value < best
        if better.any():
            best[better] = value[better]
            # Finding the place takes longer than finding the value, and is rarely needed.
            where = np.asarray(_where(costs, first, there, layout))
            place[: len(first), better] = first[:, None]
            place[len(first) :, better] = last[:, where[better]]
        done += last.shape[1]
        if progress is not None:
            progress(done, count(layout) if most is None else most)
    tokens = symbols.unpack(layout, place).astype(np.int32)
    return Found(tokens.T, np.asarray(space_factors.exact(factors, tokens)).T, done)


def front(
    factors: Factors,
    layout: Layout,
    *,
    most: int | None = None,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> Found:
    """Return the strings that no other beats or equals in every term, by looking at all.

    What is not clearly dominated in float32 is compared again in float64.

    Args:
      factors: The space's factors, numpy's.
      layout: Which positions make up which symbol.
      most: Strings to look at, rounded up to whole blocks; all by default.
      block: Most strings of a block.
      progress: Called with strings done and in all, where given.
    """
    costs = symbols.prepare(factors, layout, entries=symbols.entries_for(factors))
    costs = jax.device_put(costs)
    last, heads = _blocks(layout, most, block)
    tokens = np.zeros((len(layout.sizes), 0), np.uint8)
    values = np.zeros((0, len(factors.terms)))
    done = 0
    there = jnp.asarray(last)
    for first in heads:
        kept = _undominated(costs, first, there, _compared(values), layout)
        where = np.flatnonzero(np.asarray(kept))
        wide = np.repeat(first[:, None], len(where), axis=1)
        new = symbols.unpack(layout, np.concatenate([wide, last[:, where]]))
        tokens = np.concatenate([tokens, new], axis=1)
        values = np.concatenate([values, np.asarray(space_factors.exact(factors, new)).T])
        inside = moocore.is_nondominated(values, keep_weakly=False)
        tokens, values = tokens[:, inside], values[inside]
        done += last.shape[1]
        if progress is not None:
            progress(done, count(layout) if most is None else most)
    order = np.lexsort(values.T[::-1])
    return Found(tokens[:, order].T.astype(np.int32), values[order], done)


def _compared(values: np.ndarray) -> np.ndarray:
    """Return some points of a front spread along its first term, float32 [COMPARED, K]."""
    found = np.full((COMPARED, values.shape[1]), np.inf, np.float32)
    if len(values):
        order = np.argsort(values[:, 0])
        chosen = order[np.linspace(0, len(order) - 1, COMPARED).astype(int)]
        found[:] = values[chosen]
    return found
