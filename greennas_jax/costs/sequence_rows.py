"""Columns of a layer table that the layers of transformers need beside the common ones."""

from typing import NamedTuple

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import sequence_layers, sequence_shapes
from greennas_jax.spec.network import Layer
from greennas_jax.spec.shapes import Shape, Shapes


class Columns(NamedTuple):
    """One row's entries, in the order of LayerTable's last fields; zero where nothing applies."""

    heads: int = 0
    key_value_heads: int = 0
    head_width: int = 0
    causal: bool = False
    rotary: bool = False
    relative_buckets: int = 0
    memory_length: int = 0
    memory_channels: int = 0
    cached: int = 0
    hidden: int = 0
    gated: bool = False
    vocabulary: int = 0
    positions: int = 0
    segments: int = 0
    shared: bool = False


class Common(NamedTuple):
    """What the layers of transformers put into the common columns.

    Attributes:
      source: The input that is read row by row.
      window: Positions that one output depends on; 1 unless a mean is taken over them.
      bias: Whether biases are added.
      activation: Whether an activation is applied within the layer.
    """

    source: Shape
    window: int = 1
    bias: bool = False
    activation: bool = False


NONE = Columns()


def common(layer: Layer, shapes: Shapes) -> Common:
    """Return the common columns of a layer whose type is one of `sequence_layers.TYPES`.

    Raises:
      SpecError: If an attribute is malformed.
    """
    source = shapes.inputs[0]
    if layer.type == "Embedding":
        numbers = sequence_layers.embedding(layer).vocabulary > 0
        return Common((*source, 1) if numbers else source)
    if layer.type == "LayerNorm":
        return Common(source, bias=sequence_layers.layer_norm(layer).use_bias)
    if layer.type == "MultiHeadAttention":
        return Common(source, bias=sequence_layers.attention(layer).use_bias)
    if layer.type == "FeedForward":
        view = sequence_layers.feed_forward(layer)
        return Common(source, bias=view.use_bias, activation=view.activation is not None)
    if layer.type == "SequencePool" and sequence_layers.pooling_method(layer) == "mean":
        return Common(source, window=source[1])
    return Common(source)


def columns(layer: Layer, shapes: Shapes) -> Columns:
    """Return the columns of any layer.

    Raises:
      SpecError: If an attribute is malformed.
    """
    if layer.type == "MultiHeadAttention":
        return _attention(layer, shapes)
    if layer.type == "FeedForward":
        view = sequence_layers.feed_forward(layer)
        return Columns(hidden=view.hidden, gated=view.gated)
    if layer.type == "Embedding":
        view = sequence_layers.embedding(layer)
        return Columns(
            vocabulary=view.vocabulary,
            positions=view.positions,
            segments=view.segments,
            shared=view.weights_of is not None,
        )
    if layer.type == "InnerProduct":
        return Columns(shared=layer_views.weights_of(layer) is not None)
    return NONE


def _attention(layer: Layer, shapes: Shapes) -> Columns:
    view = sequence_layers.attention(layer)
    across = len(shapes.inputs) > 1
    return Columns(
        heads=view.heads,
        key_value_heads=view.key_value_heads,
        head_width=sequence_shapes.head_width(layer, shapes.inputs[0][2]),
        causal=view.causal,
        rotary=view.rotary,
        relative_buckets=view.relative_buckets,
        memory_length=shapes.inputs[1][1] if across else 0,
        memory_channels=shapes.inputs[1][2] if across else 0,
    )
