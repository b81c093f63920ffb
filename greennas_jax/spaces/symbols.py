"""Strings with one symbol per layer, and their cost in few operations each.

A layer's tokens (operation, kernel, width) are the digits of one number, its symbol. A batch of
strings is then one row of bytes per layer, and the index into a layer's table is its own symbol and
a digit of its parents': what the processor does per string is a load per layer and a gather per
table, and arithmetic with constants between them.

Shapes: T positions, S symbols, B strings, K terms.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.costs import layer_table
from greennas_jax.spaces import merging
from greennas_jax.spaces.factors import Factors

Array = Any  # numpy.ndarray or jax.Array

# Values of a byte.
MOST = 256
# 2^32 over the golden ratio, and the factors of MurmurHash3's finalizer.
GOLDEN = np.uint32(0x9E3779B9)
MIXERS = (np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35))
# Tables whose gathers are made in one loop.
FUSED = 8
# Sizes of merged tables that were fastest on AlexNet (9 tables) and Inception v3 (98).
FEW_LAYERS = 32
FEW_LAYERS_ENTRIES = 2**16
MANY_LAYERS_ENTRIES = 2**13


class Layout(NamedTuple):
    """Which positions make up which symbol.

    Attributes:
      groups: Positions of each symbol, the most significant digit first; every position once, in
        order.
      sizes: The number of choices of each position.
    """

    groups: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of values of each symbol, [S]."""
        return tuple(math.prod(self.sizes[p] for p in group) for group in self.groups)


class Digits(NamedTuple):
    """Neighbouring digits of one symbol: `symbol // divisor % count`."""

    symbol: int
    divisor: int
    count: int


def layout(sizes: Sequence[int], steps: Sequence[Sequence[int]]) -> Layout:
    """Return the layout with one symbol per step, parted where a byte is too small.

    Args:
      sizes: The number of choices of each position.
      steps: Positions of each layer, as `Space.steps`.

    Raises:
      ValueError: If a position has more choices than a byte has values.
    """
    largest = max(sizes, default=1)
    if largest > MOST:
        raise ValueError(f"a position with {largest} choices; allowed: at most {MOST}")
    owner = {position: number for number, step in enumerate(steps) for position in step}
    groups: list[list[int]] = []
    for position in range(len(sizes)):
        fits = (
            groups
            and owner[groups[-1][-1]] == owner[position]
            and math.prod(sizes[p] for p in groups[-1]) * sizes[position] <= MOST
        )
        if fits:
            groups[-1].append(position)
        else:
            groups.append([position])
    return Layout(tuple(map(tuple, groups)), tuple(int(size) for size in sizes))


def pack(layout: Layout, tokens: Array) -> Array:
    """Return the symbols of strings, uint8 [S, B].

    Args:
      layout: Which positions make up which symbol.
      tokens: Strings, any integer type [T, B].
    """
    xp = layer_table.array_namespace(tokens)
    rows = []
    for group in layout.groups:
        found = tokens[group[0]].astype(np.uint8)
        for position in group[1:]:
            found = found * np.uint8(layout.sizes[position]) + tokens[position].astype(np.uint8)
        rows.append(found)
    return xp.stack(rows)


def unpack(layout: Layout, symbols: Array) -> Array:
    """Return the tokens uint8 [T, B] of strings [S, B]."""
    xp = layer_table.array_namespace(symbols)
    rows = []
    for number, group in enumerate(layout.groups):
        for digit, position in enumerate(group):
            divisor = math.prod(layout.sizes[p] for p in group[digit + 1 :])
            rows.append(symbols[number] // np.uint8(divisor) % np.uint8(layout.sizes[position]))
    return xp.stack(rows)


def sample(key: jax.Array, layout: Layout, count: int) -> jax.Array:
    """Return strings with every symbol drawn evenly, uint8 [S, count].

    A string's number, times an odd constant, is mixed into random bits by the finalizer of
    MurmurHash3 (Appleby 2011; counters mixed so: Steele, Lea and Flood 2014), each symbol under two
    words of its own that the key decides: a few operations per symbol, where on a CPU `jax.random`
    takes far longer than costing does. Sixteen bits make a symbol, so that the values of one with n
    of them differ in probability by n parts in 65,536 at most.

    Args:
      key: Random key.
      layout: Which positions make up which symbol.
      count: How many strings; below 2^32.
    """
    counts = jnp.asarray(layout.counts, jnp.uint32)[:, None]
    start, change = jax.random.bits(key, (2, len(layout.groups), 1), jnp.uint32)
    numbers = jax.lax.broadcasted_iota(jnp.uint32, (len(layout.groups), count), 1)
    mixed = numbers * GOLDEN + start
    # Without a change inside the mixing a symbol would repeat another's bits some strings later.
    mixed = ((mixed ^ mixed >> 16) * MIXERS[0]) ^ change
    mixed = (mixed ^ mixed >> 13) * MIXERS[1]
    return ((mixed >> 16) * counts >> 16).astype(jnp.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymbolCosts:
    """A space's cost, ready for large batches of symbols.

    Attributes:
      tables: One table per scope, float32 [K, entries].
      maps: Of each node behind the symbols its value from what it reads, uint8 or int32 [entries].
      constant: What every string costs, float32 [K].
      reads: What each node reads, parents before children: digits, or a node's number and its
        number of values.
      scopes: What each table reads, alike.
      terms: Names of the terms.
    """

    tables: tuple[Array, ...]
    maps: tuple[Array, ...]
    constant: Array
    reads: tuple[tuple[Digits | tuple[int, int], ...], ...]
    scopes: tuple[tuple[Digits | tuple[int, int], ...], ...]
    terms: tuple[str, ...]


_DATA = ("tables", "maps", "constant")
jax.tree_util.register_dataclass(
    SymbolCosts,
    data_fields=list(_DATA),
    meta_fields=[f.name for f in dataclasses.fields(SymbolCosts) if f.name not in _DATA],
)


def entries_for(factors: Factors) -> int:
    """Return how large tables may be merged: few layers leave more of the cache to each."""
    return FEW_LAYERS_ENTRIES if len(factors.scopes) <= FEW_LAYERS else MANY_LAYERS_ENTRIES


def prepare(
    factors: Factors,
    layout: Layout,
    *,
    entries: int = merging.ENTRIES,
    all_entries: int = merging.ALL_ENTRIES,
) -> SymbolCosts:
    """Return a space's cost for symbols, in as few gathers as fit a core's cache.

    Args:
      factors: The space's factors, numpy's.
      layout: Which positions make up which symbol.
      entries: Most entries of a table that is made; see `merging.merge`.
      all_entries: Most entries of all tables together.
    """
    merged = merging.merge(factors, entries=entries, all_entries=all_entries)
    kinds = [
        np.uint8 if merged.sizes[node] <= MOST else np.int32
        for node in range(merged.positions, len(merged.sizes))
    ]
    return SymbolCosts(
        tables=tuple(np.asarray(table, np.float32) for table in merged.tables),
        maps=tuple(np.asarray(table, kind) for table, kind in zip(merged.maps, kinds, strict=True)),
        constant=np.asarray(merged.constant, np.float32),
        reads=tuple(_reads(layout, above, merged.sizes) for above in merged.parents),
        scopes=tuple(_reads(layout, scope, merged.sizes) for scope in merged.scopes),
        terms=merged.terms,
    )


def _reads(
    layout: Layout, scope: Sequence[int], sizes: Sequence[int]
) -> tuple[Digits | tuple[int, int], ...]:
    """Return what a scope reads; digits that are neighbours in scope and symbol are one."""
    where = {
        position: (number, digit)
        for number, group in enumerate(layout.groups)
        for digit, position in enumerate(group)
    }
    found: list[Digits | tuple[int, int]] = []
    last = None
    for node in scope:
        if node not in where:
            found.append((node - len(layout.sizes), sizes[node]))
            last = None
            continue
        number, digit = where[node]
        group = layout.groups[number]
        count = sizes[node]
        if last == (number, digit - 1):
            count *= found.pop()[-1]
        divisor = math.prod(layout.sizes[p] for p in group[digit + 1 :])
        found.append(Digits(number, divisor, count))
        last = number, digit
    return tuple(found)


def _index(
    reads: Sequence[Digits | tuple[int, int]], symbols: Array, nodes: Sequence[Array], counts
) -> Array:
    """Return the flat index int32 [B] of what a table reads."""
    total = None
    for read in reads:
        if isinstance(read, Digits):
            value = symbols[read.symbol]
            if read.divisor > 1:
                value = value // np.uint8(read.divisor)
            if read.divisor * read.count < counts[read.symbol]:
                value = value % np.uint8(read.count)
        else:
            value = nodes[read[0]]
        value = value.astype(np.int32)
        total = value if total is None else total * np.int32(read[-1]) + value
    return total


def exact(costs: SymbolCosts, layout: Layout, symbols: Array) -> Array:
    """Return the cost of each string, float32 [K, B].

    Args:
      costs: From `prepare`.
      layout: The layout that the costs were prepared for.
      symbols: Strings, uint8 [S, B].
    """
    counts = layout.counts
    nodes: list[Array] = []
    for reads, table in zip(costs.reads, costs.maps, strict=True):
        index = _index(reads, symbols, nodes, counts)
        value = jnp.asarray(table).at[index].get(mode="promise_in_bounds")
        # Else it would be computed again in everything that reads it.
        nodes.append(jax.lax.optimization_barrier(value))
    total = jnp.broadcast_to(
        jnp.asarray(costs.constant)[:, None], (len(costs.constant), symbols.shape[1])
    )
    tables = list(zip(costs.scopes, costs.tables, strict=True))

    def adding(part: Sequence[Any]) -> Callable[[Array], Array]:
        def added(total: Array) -> Array:
            for scope, table in part:
                index = _index(scope, symbols, nodes, counts)
                total = total + jnp.asarray(table).at[:, index].get(mode="promise_in_bounds")
            return total

        return added

    parts = [adding(tables[start : start + FUSED]) for start in range(0, len(tables), FUSED)]
    if len(parts) < 2:
        return parts[0](total) if parts else total
    # Compiled as one, all gathers would become a single loop, whose tables no cache holds.
    return jax.lax.fori_loop(
        0, len(parts), lambda number, total: jax.lax.switch(number, parts, total), total
    )
