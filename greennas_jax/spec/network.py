"""Frozen records of a network, its topological order and its validation.

A `Network` is a flat tuple of layers in file order. A layer that was written inside a block keeps
the block's path, so that the block structure survives reading and writing; its name and parents
are the resolved ones (`block/layer`).
"""

import collections
import dataclasses
import types
from collections.abc import Iterable, Mapping
from typing import Any

from greennas_jax.spec import limits

SOURCE_TYPE = "Input"
PARALLEL_TYPE = "ModelParallel"


class SpecError(ValueError):
    """A network's text or graph is not valid; the message says what, where and what is allowed."""


def shown(value: Any) -> str:
    """Return a value as a short text of one line, for messages."""
    text = repr(value)
    most = limits.LONGEST_SHOWN
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _frozen(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return types.MappingProxyType(dict(attributes))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer: its resolved name and parents, its type, and every attribute as it was read.

    Attributes:
      name: Unique name in the network; layers of a block are named `block/layer`.
      type: Paleo's type name, for example `Convolution`.
      parents: Names of the layers (never of blocks) whose outputs this layer reads, in order.
      attributes: Everything else in the layer's text, understood or not (JSON values).
      block: Path of the block this layer was written in, or the empty string.
      spelling: The parents as the text spells them, where a block's name stands for its endpoint;
        it counts only as long as it means `parents`.
    """

    name: str
    type: str
    parents: tuple[str, ...]
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    block: str = ""
    spelling: tuple[str, ...] | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "attributes", _frozen(self.attributes))
        object.__setattr__(self, "parents", tuple(self.parents))

    def replace(self, **changes: Any) -> "Layer":
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def with_attributes(self, **changes: Any) -> "Layer":
        """Return a copy with some attributes changed or added."""
        return dataclasses.replace(self, attributes={**self.attributes, **changes})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """The text of a block without its layers: parents and endpoint as written, and the rest."""

    path: str
    parents: tuple[str, ...]
    endpoint: str | None
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "attributes", _frozen(self.attributes))
        object.__setattr__(self, "parents", tuple(self.parents))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A directed acyclic graph of layers.

    Attributes:
      name: The network's name as written.
      layers: Layers in file order.
      blocks: Blocks in file order; layers point to them by path.
      attributes: Further top-level text, kept as read.
    """

    name: str
    layers: tuple[Layer, ...]
    blocks: tuple[Block, ...] = ()
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        object.__setattr__(self, "attributes", _frozen(self.attributes))

    def replace(self, **changes: Any) -> "Network":
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def by_name(self) -> dict[str, Layer]:
        """Return the layers by name, in file order."""
        return {layer.name: layer for layer in self.layers}


def children_of(network: Network) -> dict[str, tuple[str, ...]]:
    """Return for each layer the names of the layers that read it, in file order."""
    children: dict[str, list[str]] = {layer.name: [] for layer in network.layers}
    for layer in network.layers:
        for parent in dict.fromkeys(layer.parents):
            if parent in children:
                children[parent].append(layer.name)
    return {name: tuple(names) for name, names in children.items()}


def check_graph(network: Network) -> None:
    """Check names, parents, sources and cycles.

    Raises:
      SpecError: If a name repeats, a parent is missing, no input exists, a layer without parents is
        not an input, or the graph has a cycle.
    """
    counts = collections.Counter(layer.name for layer in network.layers)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise SpecError(f"network '{network.name}': layer name '{repeated[0]}' is used twice")
    known = set(counts)
    splits = parallel_splits(network)
    if not any(layer.type == SOURCE_TYPE for layer in network.layers):
        raise SpecError(f"network '{network.name}': no layer of type 'Input'; one is needed")
    for layer in network.layers:
        for parent in layer.parents:
            if parent not in known and not _is_split(parent, splits):
                raise SpecError(
                    f"layer '{layer.name}': parent '{parent}' is not a layer of this network"
                )
        if not layer.parents and layer.type != SOURCE_TYPE:
            raise SpecError(
                f"layer '{layer.name}' of type '{layer.type}' has no parents; only 'Input' may"
            )
        if layer.parents and layer.type == SOURCE_TYPE:
            raise SpecError(f"layer '{layer.name}' of type 'Input' has parents; it may have none")
    topological_order(network)


def parallel_splits(network: Network) -> dict[str, int]:
    """Return the layers inside ModelParallel blocks, as `block/layer`, with their splits."""
    return {
        f"{layer.name}/{inner}": layer.attributes.get("splits", 1)
        for layer in network.layers
        if layer.type == PARALLEL_TYPE
        for inner in layer.attributes.get("layers", ())
    }


def _is_split(parent: str, splits: Mapping[str, int]) -> bool:
    """Return whether a parent is `block/layer@all` or `block/layer@i` of a ModelParallel."""
    inner, _, which = parent.rpartition("@")
    if inner not in splits:
        return False
    return which == "all" or (which.isdecimal() and int(which[:9]) < splits[inner])


def topological_order(network: Network) -> tuple[Layer, ...]:
    """Return the layers parents-first; among those ready, file order decides.

    Every layer is visited, whatever the graph (Paleo's own walk drops layers of graphs that are
    not series-parallel).

    Raises:
      SpecError: If the graph has a cycle; the layers on it are named.
    """
    layers = network.by_name()
    children = children_of(network)
    waiting = {n: len(set(layer.parents) & layers.keys()) for n, layer in layers.items()}
    order: list[Layer] = []
    ready = [name for name in layers if waiting[name] == 0]
    position = {name: index for index, name in enumerate(layers)}
    # Depth-first from each ready layer keeps branches together, as Paleo's walk does.
    stack = sorted(ready, key=position.__getitem__, reverse=True)
    while stack:
        name = stack.pop()
        order.append(layers[name])
        freed = []
        for child in children[name]:
            waiting[child] -= 1
            if waiting[child] == 0:
                freed.append(child)
        stack.extend(sorted(freed, key=position.__getitem__, reverse=True))
    if len(order) < len(layers):
        stuck = _a_cycle(layers, {layer.name for layer in order})
        raise SpecError(f"network '{network.name}': cycle through layers {', '.join(stuck)}")
    return tuple(order)


def _a_cycle(layers: Mapping[str, Layer], done: set[str]) -> list[str]:
    """Return the layers of one cycle among those not done."""
    name = next(n for n in layers if n not in done)
    step: dict[str, int] = {}
    while name not in step:
        step[name] = len(step)
        name = next(p for p in layers[name].parents if p in layers and p not in done)
    cycle = [f"'{n}'" for n in reversed(list(step)[step[name] :])]
    return cycle if len(cycle) <= 8 else [*cycle[:8], f"... ({len(cycle)} in all)"]


def sinks(network: Network) -> tuple[Layer, ...]:
    """Return the layers that nothing reads, in file order."""
    children = children_of(network)
    return tuple(layer for layer in network.layers if not children[layer.name])


def without(network: Network, names: Iterable[str]) -> Network:
    """Return the network with single-parent layers removed and their readers re-parented.

    Args:
      network: The network.
      names: Layers to remove; each must have exactly one parent.

    Raises:
      SpecError: If a layer to remove is missing or does not have exactly one parent.
    """
    layers = network.by_name()
    gone = dict.fromkeys(names)
    for name in gone:
        if name not in layers:
            raise SpecError(f"network '{network.name}': no layer '{name}' to remove")
        if len(layers[name].parents) != 1:
            raise SpecError(f"layer '{name}' has {len(layers[name].parents)} parents; one needed")

    def resolve(name: str) -> str:
        while name in gone:
            name = layers[name].parents[0]
        return name

    kept = tuple(
        layer.replace(parents=tuple(resolve(p) for p in layer.parents))
        for layer in network.layers
        if layer.name not in gone
    )
    return network.replace(layers=kept)
