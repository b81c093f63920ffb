"""Normalisation and activation put into the layer before, as Paleo's text has them.

A layer is folded where it alone reads the layer before it: batch normalisation into a convolution,
scales and offsets per channel into the batch normalisation before them, whose own they are, an
activation into whatever can state one.
An activation that cannot be folded stays a ReLU layer whose `activation_fn` says which it is.
"""

from collections.abc import Collection
from typing import Any

from greennas_jax.spec import network as networks
from greennas_jax.spec.network import Layer, Network

ACTIVATION = "ReLU"
NORMALIZATION = "BatchNorm"
SCALE = "Scale"
ACTIVATED = ("Convolution", "Deconvolution", "InnerProduct", "Elementwise", NORMALIZATION)


def fold(network: Network, *, keep: Collection[str] = ()) -> Network:
    """Return a network with what can be folded folded.

    Args:
      network: A valid network; activations are ReLU layers that state `activation_fn`.
      keep: Layers whose own output is an output of the network.
    """
    readers = networks.children_of(network)
    changed = network.by_name()
    target: dict[str, str] = {}
    for layer in networks.topological_order(network):
        if len(layer.parents) != 1 or len(readers[layer.parents[0]]) != 1:
            continue
        before = layer.parents[0]
        into = changed[target.get(before, before)]
        changes = None if before in keep else _changes(layer, into)
        if changes is None:
            continue
        changed[into.name] = into.with_attributes(**changes)
        target[layer.name] = into.name
    folded = network.replace(layers=tuple(changed.values()))
    return networks.without(folded, target)


def _changes(layer: Layer, into: Layer) -> dict[str, Any] | None:
    """Return what folding a layer changes in the one before, or None if it cannot be folded."""
    if into.attributes.get("activation_fn") is not None or into.type not in ACTIVATED:
        return None
    normalizes = into.type == NORMALIZATION or into.attributes.get("normalizer_fn") is not None
    if layer.type == NORMALIZATION and into.type == "Convolution" and not normalizes:
        return {"normalizer_fn": "batch_norm"}
    if layer.type == SCALE and normalizes:
        return {}
    if layer.type == ACTIVATION:
        return dict(layer.attributes)
    return None
