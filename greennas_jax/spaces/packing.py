"""Tables of one shape contracted together: the relaxed cost in few operations.

A space has about one table per layer, of many shapes. Sizes are rounded up to powers of two, axes
sorted, and tables stacked: those of one shape, and further ones while padding costs little, for
compiling costs more than multiplying zeros. All distributions live in one vector that begins with
0, which padding reads, and 1, which an axis without a node reads.

Shapes: K terms, G tables in a stack, P entries of the vector of distributions.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = Any  # numpy.ndarray or jax.Array
Axes = tuple[int, ...]

# Entry of the vector of distributions that is 1; entry 0 is 0.
ONE = 1
# Entries that padding may always add up to.
ALLOWED = 2**15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stack:
    """Tables of one shape.

    Attributes:
      reads: Entries of the vector of distributions, int32, one [G, size] block per axis, flattened.
      axes: Sizes of the axes.
      table: For costs [K, G, left, right], where the first `split` axes make up left; for nodes
        the entry of their values that each combination leads to, int32 [G * entries].
      split: Number of axes in front of the split.
      count: Number of tables, G.
      size: Number of values of each node; 0 for costs.
    """

    reads: Array
    table: Array
    axes: tuple[int, ...]
    split: int
    count: int
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packed:
    """All tables of a space, stacked.

    Attributes:
      tokens: Where each entry of the vector of token probabilities is in [T * V], int32.
      nodes: Stacks of nodes, parents before children.
      costs: Stacks of costs.
    """

    tokens: Array
    nodes: tuple[Stack, ...]
    costs: tuple[Stack, ...]


jax.tree_util.register_dataclass(
    Stack, data_fields=["reads", "table"], meta_fields=["axes", "split", "count", "size"]
)
jax.tree_util.register_dataclass(Packed, data_fields=["tokens", "nodes", "costs"], meta_fields=[])


def _rounded(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _signature(scope: Sequence[int], sizes: Sequence[int]) -> Axes:
    return tuple(_rounded(sizes[node]) for node in scope)


def _levels(tokens: int, parents: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return the nodes behind the tokens by their distance from them."""
    level = dict.fromkeys(range(tokens), 0)
    found: list[list[int]] = []
    for number, above in enumerate(parents, start=tokens):
        level[number] = 1 + max(level[parent] for parent in above)
        while len(found) < level[number]:
            found.append([])
        found[level[number] - 1].append(number)
    return found


def _padded(table: np.ndarray, axes: Axes) -> np.ndarray:
    """Return a table [K, ...] with further axes of one and filled up with zeros."""
    table = table.reshape(*table.shape, *(1,) * (len(axes) + 1 - table.ndim))
    added = [(0, wanted - size) for wanted, size in zip(axes, table.shape[1:], strict=True)]
    return np.pad(table, [(0, 0), *added])


def _sorted(
    table: np.ndarray, scope: Sequence[int], sizes: Sequence[int]
) -> tuple[tuple[int, ...], np.ndarray]:
    """Return a scope and its table [K, entries] with the largest axes first, [K, ...]."""
    order = sorted(range(len(scope)), key=lambda axis: -sizes[scope[axis]])
    shaped = table.reshape(len(table), *(sizes[node] for node in scope))
    return tuple(scope[axis] for axis in order), shaped.transpose(0, *(1 + a for a in order))


def _shapes(wanted: Sequence[Axes]) -> dict[Axes, Axes]:
    """Return for each shape the one it is padded to, at most ALLOWED or twice the entries.

    The two shapes that cost least are merged again and again.
    """
    counts = {axes: list(wanted).count(axes) for axes in wanted}
    allowed = max(ALLOWED, 2 * sum(math.prod(axes) for axes in wanted))
    target = {axes: axes for axes in counts}

    def union(one: Axes, other: Axes) -> Axes:
        return tuple(max(pair) for pair in itertools.zip_longest(one, other, fillvalue=1))

    def growth(pair: tuple[Axes, Axes]) -> int:
        size = math.prod(union(*pair))
        return sum((size - math.prod(axes)) * counts[axes] for axes in pair)

    entries = sum(math.prod(axes) * count for axes, count in counts.items())
    while len(counts) > 1:
        pair = min(itertools.combinations(counts, 2), key=growth)
        entries += growth(pair)
        if entries > allowed:
            break
        merged = union(*pair)
        counts[merged] = counts.pop(pair[0]) + counts.pop(pair[1]) + counts.get(merged, 0)
        target = {axes: merged if found in pair else found for axes, found in target.items()}
    return target


def _reads(
    scopes: Sequence[Sequence[int]], axes: Axes, starts: dict[int, int], sizes: Sequence[int]
) -> np.ndarray:
    """Return where each axis of each table reads its distribution, flattened axis by axis."""
    blocks = []
    for axis, wanted in enumerate(axes):
        for scope in scopes:
            found = np.zeros(wanted, dtype=np.int32)
            if axis < len(scope):
                node = scope[axis]
                found[: sizes[node]] = starts[node] + np.arange(sizes[node])
            else:
                found[0] = ONE
            blocks.append(found)
    return np.concatenate(blocks)


def _split(axes: tuple[int, ...]) -> int:
    """Return how many axes to keep in front such that both sides are about as large."""
    total = math.prod(axes)
    sides = [max(math.prod(axes[:cut]), total // math.prod(axes[:cut])) for cut in range(len(axes))]
    return sides.index(min(sides))


def pack(
    sizes: Sequence[int],
    parents: Sequence[tuple[int, ...]],
    maps: Sequence[np.ndarray],
    scopes: Sequence[tuple[int, ...]],
    tables: Sequence[np.ndarray],
) -> Packed:
    """Return the stacks of a space's nodes and costs.

    Args:
      sizes: Number of values of each node, tokens first.
      parents: Parents of each node behind the tokens.
      maps: Each such node's value number for every combination of its parents', flattened.
      scopes: Nodes of each cost table.
      tables: Cost tables [K, entries].
    """
    tokens = len(sizes) - len(parents)
    choices = max(sizes[:tokens], default=1)
    entries = [t * choices + v for t in range(tokens) for v in range(sizes[t])]
    starts = {t: ONE + 1 + sum(sizes[:t]) for t in range(tokens)}
    end = ONE + 1 + len(entries)
    nodes: list[Stack] = []
    for level in _levels(tokens, parents):
        found = [
            _sorted(maps[node - tokens][None], parents[node - tokens], sizes) for node in level
        ]
        for axes, members in _grouped([scope for scope, _ in found], sizes).items():
            size = _rounded(max(sizes[level[row]] for row in members))
            flat = [
                (_padded(found[row][1], axes) + number * size).reshape(-1)
                for number, row in enumerate(members)
            ]
            nodes.append(
                Stack(
                    reads=_reads([found[row][0] for row in members], axes, starts, sizes),
                    table=np.concatenate(flat).astype(np.int32),
                    axes=axes,
                    split=len(axes),
                    count=len(members),
                    size=size,
                )
            )
            for number, row in enumerate(members):
                starts[level[row]] = end + number * size
            end += size * len(members)
    return Packed(
        tokens=np.array(entries, dtype=np.int32),
        nodes=tuple(nodes),
        costs=_cost_stacks(sizes, scopes, tables, starts),
    )


def _grouped(scopes: Sequence[Sequence[int]], sizes: Sequence[int]) -> dict[Axes, list[int]]:
    """Return which scopes are stacked in which shape."""
    wanted = [_signature(scope, sizes) for scope in scopes]
    target = _shapes(wanted)
    found: dict[Axes, list[int]] = {}
    for row, axes in enumerate(wanted):
        found.setdefault(target[axes], []).append(row)
    return found


def _cost_stacks(
    sizes: Sequence[int],
    scopes: Sequence[tuple[int, ...]],
    tables: Sequence[np.ndarray],
    starts: dict[int, int],
) -> tuple[Stack, ...]:
    members = [_sorted(table, scope, sizes) for scope, table in zip(scopes, tables, strict=True)]
    found = []
    for axes, rows in _grouped([scope for scope, _ in members], sizes).items():
        split = _split(axes)
        left = math.prod(axes[:split])
        stacked = np.stack([_padded(members[row][1], axes) for row in rows], axis=1)
        found.append(
            Stack(
                reads=_reads([members[row][0] for row in rows], axes, starts, sizes),
                table=stacked.reshape(*stacked.shape[:2], left, -1),
                axes=axes,
                split=split,
                count=len(rows),
                size=0,
            )
        )
    return tuple(found)


def _joint(stack: Stack, blocks: list[Array], first: int, last: int) -> Array:
    """Return the joint distribution of some axes, [G, product of their sizes]."""
    joint = jnp.ones((stack.count, 1), blocks[0].dtype)
    for block in blocks[first:last]:
        joint = (joint[:, :, None] * block[:, None, :]).reshape(stack.count, -1)
    return joint


def _blocks(stack: Stack, distributions: Array) -> list[Array]:
    """Return each axis' distributions, [G, size]."""
    found = distributions.at[stack.reads].get(mode="promise_in_bounds")
    ends = np.cumsum([stack.count * size for size in stack.axes])
    return [
        part.reshape(stack.count, size)
        for part, size in zip(jnp.split(found, ends[:-1]), stack.axes, strict=True)
    ]


def contract(packed: Packed, probabilities: Array) -> Array | float:
    """Return the expected cost under independent tokens, the constant aside, [K].

    Args:
      packed: The stacks.
      probabilities: Token probabilities [T, V].
    """
    chosen = probabilities.reshape(-1).at[packed.tokens].get(mode="promise_in_bounds")
    distributions = jnp.concatenate((jnp.arange(ONE + 1, dtype=chosen.dtype), chosen))
    for stack in packed.nodes:
        joint = _joint(stack, _blocks(stack, distributions), 0, len(stack.axes)).reshape(-1)
        pushed = (
            jnp.zeros(stack.count * stack.size, joint.dtype)
            .at[stack.table]
            .add(joint, mode="promise_in_bounds")
        )
        distributions = jnp.concatenate((distributions, pushed))
    total: Array | float = 0.0
    for stack in packed.costs:
        blocks = _blocks(stack, distributions)
        left = _joint(stack, blocks, 0, stack.split)
        right = _joint(stack, blocks, stack.split, len(blocks))
        table = jnp.asarray(stack.table, chosen.dtype)
        half = jnp.einsum("kglr,gr->kgl", table, right)
        total = total + jnp.einsum("kgl,gl->k", half, left)
    return total
