"""Shapes of the layers of transformers: [N, S, D], batch, sequence and width."""

from collections.abc import Mapping

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import sequence_layers
from greennas_jax.spec.network import Layer, SpecError

Shape = tuple[int, ...]


def _refuse(layer: Layer, what: str) -> SpecError:
    return SpecError(f"layer '{layer.name}' ({layer.type}): {what}")


def sequence(layer: Layer, shape: Shape) -> Shape:
    """Return a shape that must be [N, S, D].

    Raises:
      SpecError: If it has another rank.
    """
    if len(shape) != 3:
        raise _refuse(layer, f"input {list(shape)} is not [batch, sequence, width]")
    return shape


def _embedding(layer: Layer, shape: Shape) -> Shape:
    view = sequence_layers.embedding(layer)
    if view.vocabulary:
        if len(shape) != 2:
            raise _refuse(layer, f"input {list(shape)} is not [batch, sequence] token numbers")
    elif sequence(layer, shape)[2] != view.width:
        raise _refuse(layer, f"'width' is {view.width}, but the input {list(shape)} has {shape[2]}")
    length = shape[1] + view.class_token
    if view.positions and length > view.positions:
        raise _refuse(
            layer, f"a sequence of {length} is longer than its {view.positions} 'positions'"
        )
    return shape[0], length, view.width


def head_width(layer: Layer, width: int) -> int:
    """Return the width of one head of an attention over a sequence of some width.

    Raises:
      SpecError: If the heads do not divide the width and no width of a head is stated.
    """
    view = sequence_layers.attention(layer)
    if view.head_width:
        return view.head_width
    if width % view.heads:
        raise _refuse(
            layer,
            f"{view.heads} heads do not divide the width {width}; 'head_width' may state theirs",
        )
    return width // view.heads


def _attention(layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
    view = sequence_layers.attention(layer)
    if len(inputs) not in (1, 2):
        raise _refuse(layer, f"has {len(inputs)} parents; one or two needed")
    shape = sequence(layer, inputs[0])
    if head_width(layer, shape[2]) % 2 and view.rotary:
        raise _refuse(layer, "'rotary' needs heads of an even width")
    if len(inputs) == 2:
        if sequence(layer, inputs[1])[0] != shape[0]:
            raise _refuse(
                layer, f"inputs {list(shape)} and {list(inputs[1])} differ in the batch size"
            )
        if view.causal:
            raise _refuse(layer, "'causal' is for attention within one sequence")
    return shape


def output(layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
    """Return the output shape of a layer whose type is one of `sequence_layers.TYPES`.

    Args:
      layer: The layer.
      inputs: Shapes of its parents' outputs, in order.

    Raises:
      SpecError: If an attribute is malformed or the shapes do not fit.
    """
    if layer.type == "MultiHeadAttention":
        return _attention(layer, inputs)
    if len(inputs) != 1:
        raise _refuse(layer, f"has {len(inputs)} parents; one needed")
    shape = inputs[0]
    if layer.type == "Embedding":
        return _embedding(layer, shape)
    if layer.type == "SequencePool":
        sequence_layers.pooling_method(layer)
        return sequence(layer, shape)[0], shape[2]
    if layer.type == "FeedForward":
        sequence_layers.feed_forward(layer)
        return sequence(layer, shape)
    if layer.type == "LayerNorm":
        sequence_layers.layer_norm(layer)
    else:
        layer_views.activation(layer)
    return shape


def check_shared_weights(
    layer: Layer, shape: Shape, output_shape: Shape, layers: Mapping[str, Layer]
) -> None:
    """Check that a layer which uses an Embedding's table fits it.

    Args:
      layer: Any layer; only those with `weights_of` are checked.
      shape: Its input's shape.
      output_shape: Its output's shape.
      layers: All layers of the network by name.

    Raises:
      SpecError: If no Embedding with a table of its own has the name, or sizes differ.
    """
    if layer.type not in ("Embedding", "InnerProduct"):
        return
    name = layer_views.weights_of(layer)
    if name is None:
        return
    owner = layers.get(name)
    if owner is None or owner.type != "Embedding" or layer_views.weights_of(owner) is not None:
        raise _refuse(layer, f"'weights_of' is '{name}', which is no Embedding with its own table")
    table = sequence_layers.embedding(owner)
    if layer.type == "Embedding":
        found = sequence_layers.embedding(layer)[:2]
    else:
        found = shape[-1], output_shape[-1]
    if found != (table.width, table.vocabulary):
        raise _refuse(
            layer,
            f"wants a table of width {found[0]} and vocabulary {found[1]}; '{name}' has "
            f"{table.width} and {table.vocabulary}",
        )
