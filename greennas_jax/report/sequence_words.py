"""What the layers of transformers are, and what became of them, as a few words."""

from typing import Literal

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import sequence_layers, sequence_shapes, sequence_variants
from greennas_jax.spec.network import Layer
from greennas_jax.spec.shapes import Shapes

INNER = sequence_variants.TYPES


def describe(layer: Layer, shapes: Shapes) -> str:
    """Return a layer whose type is one of `sequence_layers.TYPES` as a few words.

    Examples:
      "attention 12 heads of 64", "feed-forward 768->3072->768", "embedding 30522->768".

    Raises:
      SpecError: If an attribute is malformed.
    """
    width = shapes.output[-1]
    if layer.type == "MultiHeadAttention":
        return _attention(layer, shapes)
    if layer.type == "FeedForward":
        view = sequence_layers.feed_forward(layer)
        kind = "gated feed-forward" if view.gated else "feed-forward"
        return f"{kind} {width}->{view.hidden}->{width}"
    if layer.type == "Embedding":
        vocabulary = sequence_layers.embedding(layer).vocabulary
        return f"embedding {vocabulary}->{width}" if vocabulary else f"embedding {width}"
    if layer.type == "LayerNorm":
        return "rms norm" if sequence_layers.layer_norm(layer).rms else "layer norm"
    if layer.type == "SequencePool":
        first = sequence_layers.pooling_method(layer) == "first"
        return "first position" if first else "mean over positions"
    return layer_views.activation(layer) or "identity"


def _attention(layer: Layer, shapes: Shapes) -> str:
    view = sequence_layers.attention(layer)
    width = sequence_shapes.head_width(layer, shapes.inputs[0][-1])
    words = f"attention {view.heads} head{'s'[: view.heads > 1]} of {width}"
    if view.key_value_heads != view.heads:
        words += f", {view.key_value_heads} of keys"
    return words


def change(
    layer: Layer, found: Layer, was: Shapes, now: Shapes
) -> Literal["fewer heads", "narrowed", "replaced"] | None:
    """Return the change of an attention or feed-forward layer, or None where it is as given.

    Args:
      layer: The given layer.
      found: The layer of its name and type in the found network.
      was: The given layer's shapes.
      now: The found layer's shapes.

    Raises:
      SpecError: If an attribute is malformed.
    """
    before, after = (sequence_variants.inner_width(one) for one in (layer, found))
    if _beside_inner(layer, was) != _beside_inner(found, now) or after > before:
        return "replaced"
    if after == before:
        return None
    return "fewer heads" if layer.type == "MultiHeadAttention" else "narrowed"


def _beside_inner(layer: Layer, shapes: Shapes) -> tuple:
    """Return all about a layer that fewer heads or hidden units leave as it is."""
    if layer.type == "FeedForward":
        return sequence_layers.feed_forward(layer)._replace(hidden=0)
    view = sequence_layers.attention(layer)
    group = view.heads // view.key_value_heads
    width = sequence_shapes.head_width(layer, shapes.inputs[0][-1])
    return view._replace(heads=0, key_value_heads=group, head_width=width)
