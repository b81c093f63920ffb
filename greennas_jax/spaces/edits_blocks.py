"""Residual blocks that may be dropped, and layers that may be skipped, one beside another.

A block is a branch around an identity: Elementwise(x, f(x)). Without it its readers read x; what
normalises the sum stays.
"""

from collections.abc import Mapping
from typing import NamedTuple

from greennas_jax.spaces.edits_graph import CHANGEABLE, Graph
from greennas_jax.spec.network import Layer


class Shortcut(NamedTuple):
    """A residual block that may be dropped: Elementwise(source, f(source, beside)).

    Attributes:
      join: The Elementwise.
      source: What it reads besides the block, and what its readers read without it.
      inside: The block's layers, the Elementwise aside.
      beside: Other sequences that attentions inside attend to.
    """

    join: str
    source: str
    inside: frozenset[str]
    beside: frozenset[str] = frozenset()


def shortcuts(graph: Graph, frozen: frozenset[str]) -> dict[str, Shortcut]:
    """Return the residual blocks that may be dropped, by the name of their Elementwise."""
    found = {}
    for layer in graph.order:
        if layer.type != "Elementwise" or len(layer.parents) != 2:
            continue
        if not graph.children[layer.name] or layer.name in frozen:
            continue
        for source, end in (layer.parents, layer.parents[::-1]):
            shortcut = _branch(graph, layer.name, source, end)
            if shortcut is None or graph.layers[source].type == "Input":
                continue
            if shortcut.inside & frozen:
                continue
            if any(graph.layers[name].type in CHANGEABLE for name in shortcut.inside):
                found[layer.name] = shortcut
    return _with_readers(graph, found)


def _with_readers(graph: Graph, found: Mapping[str, Shortcut]) -> dict[str, Shortcut]:
    """Return the blocks without those around the last attention to each other sequence.

    So a sequence that only attentions in droppable blocks attend to stays read.
    """
    readers = {
        name: [layer.name for layer in graph.order if name in layer.parents][-1]
        for shortcut in found.values()
        for name in shortcut.beside
    }
    return {
        join: shortcut
        for join, shortcut in found.items()
        if not any(readers[name] in shortcut.inside for name in shortcut.beside)
    }


def _branch(graph: Graph, join: str, source: str, end: str) -> Shortcut | None:
    """Return the block between a source and a join, or None if there is none.

    What is inside reads the source alone, except for sequences that attentions attend to; a block
    that holds an input is none.
    """
    inside: set[str] = set()
    for layer in reversed(graph.order):
        readers = set(graph.children[layer.name])
        if layer.type == "Input":
            continue
        if layer.name not in (source, join) and readers and readers <= inside | {join}:
            inside.add(layer.name)
    own = {p for name in inside for p in _attending(graph.layers[name])} - inside
    outside = {p for name in inside for p in graph.layers[name].parents} - inside
    if end not in inside or own != {source}:
        return None
    return Shortcut(join, source, frozenset(inside), frozenset(outside - {source}))


def _attending(layer: Layer) -> tuple[str, ...]:
    """Return a layer's parents, of an attention without the sequence that it attends to."""
    return layer.parents[:1] if layer.type == "MultiHeadAttention" else layer.parents


def without_collisions(
    graph: Graph, skippable: set[str], droppable: Mapping[str, Shortcut]
) -> tuple[set[str], dict[str, Shortcut]]:
    """Return what may vanish such that no layer can come to read one parent twice.

    Args:
      graph: The given network.
      skippable: Layers that may be skipped.
      droppable: Residual blocks that may be dropped.
    """
    skippable, droppable = set(skippable), dict(droppable)

    def _reach(name: str) -> set[str]:
        found = {name}
        while name in skippable or name in droppable:
            name = droppable[name].source if name in droppable else graph.layers[name].parents[0]
            found.add(name)
        return found

    for layer in graph.order:
        parents = tuple(dict.fromkeys(layer.parents))
        for number, one in enumerate(parents):
            for other in parents[:number]:
                while _reach(one) & _reach(other):
                    pair = [name for name in (one, other) if name in skippable]
                    if pair:
                        skippable.discard(pair[0])
                    else:
                        droppable.pop(one if one in droppable else other)
    return skippable, droppable
