"""A space's cost as small tables: exact for strings, relaxed for token probabilities.

Every costed slot depends on few nodes (see `values`): a factor is that scope and a table over it,
filled once in float64 by the one cost function of every term. The exact cost of a string is a sum
of table entries. The relaxed cost contracts each table with its nodes' distributions: it is the
expectation under independent tokens, it is linear in each token's probabilities, and so the
difference of its gradient between two choices of a token is the exact change of that single edit.

Shapes: K terms, T positions, V choices at most, B strings.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.costs import layer_table
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces import packing
from greennas_jax.spaces.packing import Packed
from greennas_jax.spaces.values import Node

Array = Any  # numpy.ndarray or jax.Array


# Gathers that XLA may fuse into one loop; more are slower to compile and to run.
FUSED = 8


class Slot(NamedTuple):
    """A costed place of a space: which rows of a layer table it costs, and when.

    Attributes:
      name: The layer's name.
      node: The node whose values are the slot's geometries.
      rows: Layer table rows of all geometries.
      owner: Geometry of each row.
    """

    name: str
    node: Node
    rows: LayerTable
    owner: np.ndarray


class Priced(NamedTuple):
    """A place of a space with its costs.

    Attributes:
      name: What it is called.
      node: The node whose values are its geometries.
      costs: Of every geometry, float64 [K, values].
    """

    name: str
    node: Node
    costs: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Factors:
    """A space's cost, ready for batches.

    Node numbers: the first T are the tokens, the others follow from earlier ones.

    Attributes:
      tables: One table per factor, [K, product of its scope's sizes], last node fastest.
      maps: For each node behind the tokens its value number from its parents', flattened alike.
      constant: What every string costs [K].
      terms: Names of the terms.
      units: Their units.
      sizes: Number of values of each node; the first T are the choices per position.
      parents: Parents of each node behind the tokens.
      scopes: Nodes of each factor.
      names: Names of the slots in each factor; those of the constant last.
      packed: The same tables, stacked for the relaxed cost; made from them unless given.
    """

    tables: tuple[Array, ...]
    maps: tuple[Array, ...]
    constant: Array
    terms: tuple[str, ...]
    units: tuple[str, ...]
    sizes: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]
    scopes: tuple[tuple[int, ...], ...]
    names: tuple[tuple[str, ...], ...]
    packed: Packed | None = None

    def __post_init__(self):
        if self.packed is None:
            found = packing.pack(self.sizes, self.parents, self.maps, self.scopes, self.tables)
            object.__setattr__(self, "packed", found)

    @property
    def positions(self) -> int:
        """The number of positions, T."""
        return len(self.sizes) - len(self.parents)

    @property
    def entries(self) -> int:
        """The number of table entries of one term."""
        return sum(table.shape[1] for table in self.tables)


_DATA = ("tables", "maps", "constant", "packed")
jax.tree_util.register_dataclass(
    Factors,
    data_fields=list(_DATA),
    meta_fields=[f.name for f in dataclasses.fields(Factors) if f.name not in _DATA],
)


def concatenate(tables: Sequence[LayerTable]) -> LayerTable:
    """Return the rows of several layer tables as one."""
    names = [field.name for field in dataclasses.fields(LayerTable)]
    return LayerTable(
        **{name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    )


def fill(
    nodes: Sequence[Node],
    slots: Sequence[Slot],
    device: Device,
    terms: Sequence[Term],
    settings: CostSettings,
    *,
    cap: int = 2**18,
) -> Factors:
    """Cost every geometry of every slot once and return the factors.

    Args:
      nodes: All nodes of the space, the tokens' first.
      slots: What is costed.
      device: The device.
      terms: Additive cost terms.
      settings: Settings of the cost functions.
      cap: Largest table that factors are merged into.
    """
    rows = concatenate([slot.rows for slot in slots])
    counts = [len(slot.node.values) for slot in slots]
    starts = np.concatenate(([0], np.cumsum(counts)))
    owner = np.concatenate(
        [slot.owner + start for slot, start in zip(slots, starts[:-1], strict=True)]
    )
    per_geometry = np.stack(
        [
            np.bincount(
                owner,
                weights=np.asarray(term.function(rows, device, settings), dtype=np.float64),
                minlength=starts[-1],
            )
            for term in terms
        ]
    )
    priced = [
        Priced(slot.name, slot.node, per_geometry[:, start : start + count])
        for slot, start, count in zip(slots, starts[:-1], counts, strict=True)
    ]
    return assemble(nodes, priced, terms, cap=cap)


def assemble(
    nodes: Sequence[Node], priced: Iterable[Priced], terms: Sequence[Term], *, cap: int = 2**18
) -> Factors:
    """Return the factors of places whose geometries have been costed.

    Args:
      nodes: All nodes of the space, the tokens' first.
      priced: The places with their costs.
      terms: The terms of the costs, in order.
      cap: Largest table that factors are merged into.
    """
    factors: dict[tuple[int, ...], tuple[np.ndarray, tuple[str, ...]]] = {}
    for name, node, costs in priced:
        before, names = factors.get(node.parents, (0.0, ()))
        factors[node.parents] = before + costs[:, node.index], (*names, name)
    constant, fixed = factors.pop((), (np.zeros((len(terms),)), ()))
    return _compact(nodes, _merged(factors, cap), constant, fixed, terms)


def _merged(factors: dict, cap: int) -> dict:
    """Return the factors with each whose scope lies in another's added to that one's table."""
    kept: dict[tuple[int, ...], tuple[np.ndarray, tuple[str, ...]]] = {}
    for scope in sorted(factors, key=lambda s: -factors[s][0].size):
        table, names = factors[scope]
        host = next((other for other in kept if set(scope) <= set(other)), None)
        if host is None or kept[host][0][0].size > cap:
            kept[scope] = table, names
            continue
        shape = [table.shape[1 + scope.index(n)] if n in scope else 1 for n in host]
        added = table.reshape(len(table), *shape)
        kept[host] = kept[host][0] + added, (*kept[host][1], *names)
    return dict(sorted(kept.items(), key=lambda item: max(item[0])))


def _compact(nodes: Sequence[Node], factors: dict, constant, fixed, terms) -> Factors:
    """Return the record, with only the nodes that some factor needs."""
    positions = sum(1 for number, node in enumerate(nodes) if node.tokens == {number})
    needed: set[int] = set()
    waiting = [node for scope in factors for node in scope]
    while waiting:
        node = waiting.pop()
        if node >= positions and node not in needed:
            needed.add(node)
            waiting.extend(nodes[node].parents)
    order = [*range(positions), *sorted(needed)]
    new = {old: number for number, old in enumerate(order)}
    return Factors(
        tables=tuple(table.reshape(len(table), -1) for table, _ in factors.values()),
        maps=tuple(nodes[node].index.reshape(-1) for node in order[positions:]),
        constant=constant,
        terms=tuple(term.name for term in terms),
        units=tuple(term.unit for term in terms),
        sizes=tuple(len(nodes[node].values) for node in order),
        parents=tuple(tuple(new[p] for p in nodes[node].parents) for node in order[positions:]),
        scopes=tuple(tuple(new[node] for node in scope) for scope in factors),
        names=(*(names for _, names in factors.values()), tuple(fixed)),
    )


def _fused(numbers: Sequence[Array], scope: tuple[int, ...], sizes: tuple[int, ...]) -> Array:
    """Return the flat table index of a scope's value numbers."""
    found = numbers[scope[0]]
    for node in scope[1:]:
        found = found * sizes[node] + numbers[node]
    return found


def _looked_up(table: Array, index: Array) -> Array:
    """Return table entries along the last axis; indices are in bounds by construction."""
    if isinstance(index, np.ndarray):
        return table[..., index]
    return jnp.asarray(table).at[..., index].get(mode="promise_in_bounds")


def _computed_once(value: Array) -> Array:
    """Keep XLA from computing a value again in everything that reads it."""
    return value if isinstance(value, np.ndarray) else jax.lax.optimization_barrier(value)


def node_numbers(factors: Factors, tokens: Array) -> list[Array]:
    """Return every node's value number for each string, each int32 [B].

    Args:
      factors: The factors.
      tokens: Strings, any integer type [T, B].
    """
    numbers = [row.astype(np.int32) for row in tokens]
    for parents, table in zip(factors.parents, factors.maps, strict=True):
        index = _fused(numbers, parents, factors.sizes)
        numbers.append(_computed_once(_looked_up(table, index)))
    return numbers


def exact(factors: Factors, tokens: Array) -> Array:
    """Return the cost of each string, [K, B].

    Args:
      factors: The factors; in numpy the result is float64, in JAX of JAX's default precision.
      tokens: Strings, any integer type [T, B] (one row per position).
    """
    xp = layer_table.array_namespace(tokens)
    numbers = node_numbers(factors, tokens)
    total = xp.asarray(factors.constant)[:, None] + xp.zeros((1, tokens.shape[1]))
    for done, (scope, table) in enumerate(zip(factors.scopes, factors.tables, strict=True)):
        total = total + _looked_up(table, _fused(numbers, scope, factors.sizes))
        if done % FUSED == FUSED - 1:
            total = _computed_once(total)
    return total


def relaxed(factors: Factors, probabilities: Array) -> Array:
    """Return the expected cost under independent tokens, [K].

    It is linear in each row of the probabilities, which need not add up to 1.

    Args:
      factors: The factors.
      probabilities: Token probabilities [T, V]; entries past a position's choices are ignored.
    """
    constant = jnp.asarray(factors.constant, probabilities.dtype)
    if not factors.scopes or factors.packed is None:
        return constant
    return constant + packing.contract(factors.packed, probabilities)


def relaxed_batch(factors: Factors, probabilities: Array) -> Array:
    """Return the expected costs of a batch, [B, K], of probabilities [B, T, V]."""
    return jax.vmap(relaxed, in_axes=(None, 0))(factors, probabilities)


def select_terms(factors: Factors, terms: Sequence[str]) -> Factors:
    """Return the factors of some of their terms alone, in the given order.

    Raises:
      ValueError: If a term was not filled.
    """
    missing = [name for name in terms if name not in factors.terms]
    if missing:
        raise ValueError(f"term '{missing[0]}' was not filled; allowed: {', '.join(factors.terms)}")
    rows = np.asarray([factors.terms.index(name) for name in terms])
    return dataclasses.replace(
        factors,
        tables=tuple(table[rows] for table in factors.tables),
        constant=factors.constant[rows],
        terms=tuple(terms),
        units=tuple(factors.units[row] for row in rows),
        packed=None,
    )
