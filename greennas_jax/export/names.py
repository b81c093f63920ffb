"""Names of layers as identifiers of Python, each its own, and which layers are written at all."""

import keyword
import re
from collections.abc import Iterable
from typing import NamedTuple

from greennas_jax.build import graph

# Attributes and variables that generated code uses itself, or that belong to every Flax module.
RESERVED: frozenset[str] = frozenset(
    "self x he training rngs local_response jax jnp nnx sum "
    "eval train sow perturb set_attributes iter_children iter_modules".split()
)
LONGEST = 42


class Names(NamedTuple):
    """Identifiers of a network.

    Attributes:
      layers: By layer, the attribute of its module.
      extras: By layer, the attribute of its normalisation, or of a bias that stands alone.
    """

    layers: dict[str, str]
    extras: dict[str, str]


def live(nodes: Iterable[graph.Node], logits: str) -> tuple[graph.Node, ...]:
    """Return the nodes on which the logits depend, parents first.

    Args:
      nodes: All nodes, parents first.
      logits: Name of the node whose output are the logits.
    """
    nodes = tuple(nodes)
    wanted = {logits}
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.parents)
            owner = owner_of(node)
            if owner is not None:
                wanted.add(owner)
    return tuple(node for node in nodes if node.name in wanted)


def owner_of(node: graph.Node) -> str | None:
    """Return the name of the Embedding whose table a node uses, or None."""
    if node.type in ("Embedding", "InnerProduct"):
        return node.view.weights_of
    return None


def identifier(name: str) -> str:
    """Return a layer's name as an identifier, perhaps not the only one of its kind."""
    found = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:LONGEST] or "layer"
    if found[0].isdigit():
        found = f"layer_{found}"[:LONGEST]
    return f"{found}_" if keyword.iskeyword(found) or found in RESERVED else found


def unique(wanted: str, taken: set[str]) -> str:
    """Return an identifier that is not taken, and take it."""
    found, number = wanted, 1
    while found in taken:
        number += 1
        found = f"{wanted}_{number}"
    taken.add(found)
    return found


def of(nodes: Iterable[graph.Node]) -> Names:
    """Return the identifiers of nodes; they depend on names and their order alone."""
    nodes = tuple(nodes)
    taken: set[str] = set()
    layers = {node.name: unique(identifier(node.name), taken) for node in nodes}
    extras = {}
    for node in nodes:
        ending = extra_of(node)
        if ending is not None:
            extras[node.name] = unique(f"{layers[node.name]}_{ending}", taken)
    return Names(layers, extras)


def extra_of(node: graph.Node) -> str | None:
    """Return "norm" or "bias" where a layer has one that its own Flax module does not hold."""
    if node.type == "Convolution" and node.view.normalizer is not None:
        return "norm"
    if node.type == "InnerProduct" and node.view.weights_of and node.view.use_bias:
        return "bias"
    if node.type == "LayerNorm" and node.view.rms and node.view.use_bias:
        return "bias"
    return None
