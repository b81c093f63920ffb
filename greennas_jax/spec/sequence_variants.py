"""Narrower attention and feed-forward layers.

An attention of fewer heads has the first of the given ones, at their given width, and of its key
and value heads those that they read: whole groups (Ainslie et al., grouped-query attention, EMNLP
2023) stay or go. A feed-forward layer of fewer hidden units has the first of the given ones. Both
write as many channels as they read, whatever is left inside (Michel, Levy and Neubig, "Are sixteen
heads really better than one?", NeurIPS 2019).
"""

from typing import Any

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import sequence_layers, sequence_shapes
from greennas_jax.spec.network import Layer, SpecError

TYPES = ("MultiHeadAttention", "FeedForward")


def inner_width(layer: Layer) -> int:
    """Return the heads of an attention, or the hidden units of a feed-forward layer.

    Raises:
      SpecError: If the layer is neither, or malformed.
    """
    if layer.type == "MultiHeadAttention":
        return sequence_layers.attention(layer).heads
    if layer.type == "FeedForward":
        return sequence_layers.feed_forward(layer).hidden
    raise SpecError(f"layer '{layer.name}' ({layer.type}): allowed: {', '.join(TYPES)}")


def realise(layer: Layer, width: int, inner: int) -> Layer:
    """Return a layer with fewer heads or hidden units; its own record where nothing changes.

    Args:
      layer: A given MultiHeadAttention or FeedForward.
      width: Width of the sequence that it reads, as in the given network.
      inner: Heads or hidden units to keep.

    Raises:
      SpecError: If there are not as many, or they are no whole groups of heads.
    """
    given = inner_width(layer)
    if not 1 <= inner <= given:
        key = "heads" if layer.type == "MultiHeadAttention" else "hidden"
        raise layer_views.fault(layer, key, inner, f"from 1 to {given}")
    if inner == given:
        return layer
    if layer.type == "FeedForward":
        return layer.with_attributes(hidden=inner)
    view = sequence_layers.attention(layer)
    group = view.heads // view.key_value_heads
    if inner % group:
        raise layer_views.fault(layer, "heads", inner, f"whole groups of {group} heads")
    changed: dict[str, Any] = {
        "heads": inner,
        "head_width": sequence_shapes.head_width(layer, width),
    }
    if layer.attributes.get("key_value_heads") is not None:
        changed["key_value_heads"] = inner // group
    return layer.with_attributes(**changed)
