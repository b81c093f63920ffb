"""A network as static, hashable nodes with resolved shapes: what an executable form walks."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from greennas_jax.build import operations
from greennas_jax.spec import layer_types, sequence_layers, sequence_shapes
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network, SpecError, sinks

HEADS = ("Softmax", "Sigmoid")
WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct")


class Deconvolution(NamedTuple):
    """A transposed convolution's hyper-parameters; the kernel is [kh, kw, Cout, Cin]."""

    kernel: tuple[int, int]
    in_channels: int
    out_channels: int
    strides: tuple[int, int]
    padding: layer_views.Padding
    output_size: tuple[int, int]
    use_bias: bool
    activation: str | None


class Node(NamedTuple):
    """One layer, ready to execute.

    Attributes:
      name: The layer's name.
      type: The layer's type.
      parents: Names of the nodes it reads.
      view: The typed view of its attributes, where its type has one.
      inputs: Shapes it reads; the batch is the spec's.
      output: Shape it writes.
      activation: What is applied to its output, or None; a FeedForward's own is inside of it.
    """

    name: str
    type: str
    parents: tuple[str, ...]
    view: Any
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    activation: str | None


def _deconvolution(layer: Layer) -> Deconvolution:
    kernel = layer_views.integers(layer, "filter", 4)
    output = layer_views.integers(layer, "output_shape", 4)
    strides = layer_views.integers(layer, "strides", 4)
    return Deconvolution(
        kernel=(kernel[0], kernel[1]),
        in_channels=kernel[3],
        out_channels=kernel[2],
        strides=(strides[1], strides[2]),
        padding=layer_views.padding(layer),
        output_size=(output[1], output[2]),
        use_bias=bool(layer.attributes.get("use_bias", True)),
        activation=layer_views.activation(layer),
    )


def _check(layer: Layer, shapes: shape_rules.Shapes) -> None:
    registered = layer_types.find(layer.type)
    if registered is None and layer.type not in layer_views.KNOWN_TYPES:
        allowed = (*layer_views.KNOWN_TYPES, *layer_types.names())
        raise SpecError(
            f"layer '{layer.name}': type '{layer.type}' cannot be executed; allowed: "
            + ", ".join(allowed)
        )
    if registered is not None and registered.forward is None:
        raise SpecError(
            f"layer '{layer.name}': type '{layer.type}' is registered without a forward pass and "
            "cannot be executed"
        )
    if layer.type == "Softmax" and shapes.output[-1] != shapes.inputs[0][-1]:
        raise SpecError(
            f"layer '{layer.name}': 'num_classes' is {shapes.output[-1]}, but its input has "
            f"{shapes.inputs[0][-1]} features; the two must agree to be executed"
        )
    if layer.type == "InnerProduct" and len(shapes.inputs[0]) != 2:
        view = layer_views.inner_product(layer)
        if view.weights_of and not view.per_position:
            raise SpecError(
                f"layer '{layer.name}': with 'weights_of' and an input {list(shapes.inputs[0])} "
                "'per_position' must be true"
            )


def _view(layer: Layer, shapes: shape_rules.Shapes) -> Any:
    match layer.type:
        case "Convolution":
            view = layer_views.convolution(layer)
            return view._replace(in_channels=shapes.inputs[0][-1])
        case "Pooling" | "AvgPool":
            view = layer_views.pool(layer)
            return view._replace(kernel=shape_rules.pool_kernel(view, shapes.inputs[0]))
        case "InnerProduct":
            return layer_views.inner_product(layer)
        case "Deconvolution":
            return _deconvolution(layer)
        case "Dropout":
            return layer_views.keep_probability(layer)
        case "UpSampling2D":
            return tuple(layer_views.integers(layer, "ksize", 4)[1:3])
        case "Concatenate":
            return layer.attributes.get("dim", len(shapes.output) - 1)
        case _:
            return _sequence_view(layer, shapes)


def _sequence_view(layer: Layer, shapes: shape_rules.Shapes) -> Any:
    match layer.type:
        case "Embedding":
            return sequence_layers.embedding(layer)
        case "LayerNorm":
            return sequence_layers.layer_norm(layer)
        case "MultiHeadAttention":
            width = sequence_shapes.head_width(layer, shapes.output[-1])
            return sequence_layers.attention(layer)._replace(head_width=width)
        case "FeedForward":
            return sequence_layers.feed_forward(layer)
        case "SequencePool":
            return sequence_layers.pooling_method(layer)
        case _:
            return None


def nodes(network: Network) -> tuple[Node, ...]:
    """Return the executable nodes of a network, parents first.

    Raises:
      SpecError: If a layer's type or attributes cannot be executed.
    """
    layers = network.by_name()
    found = []
    for name, shapes in shape_rules.infer(network).items():
        layer = layers[name]
        _check(layer, shapes)
        registered = layer_types.find(layer.type)
        default = "relu" if layer.type == "ReLU" else None
        inner = layer.type == "FeedForward"
        found.append(
            Node(
                name,
                layer.type,
                layer.parents,
                _view(layer, shapes)
                if registered is None
                else layer_types.view(registered, layer, shapes.inputs, shapes.output),
                shapes.inputs,
                shapes.output,
                None if inner else layer_views.activation(layer, default),
            )
        )
    _check_tokens(network, found)
    if sum(node.type == "Input" for node in found) != 1:
        raise SpecError(f"network '{network.name}' has several inputs; one can be executed")
    return tuple(found)


def _check_tokens(network: Network, found: list[Node]) -> None:
    """Check that token numbers come from the input and are read by embeddings alone."""
    types = {node.name: node.type for node in found}
    readers = {node.name for node in found if node.type == "Embedding" and node.view.vocabulary}
    for node in found:
        if node.name in readers and types[node.parents[0]] != "Input":
            raise SpecError(
                f"layer '{node.name}': its parent '{node.parents[0]}' is of type "
                f"{types[node.parents[0]]}; only an Input gives token numbers"
            )
    for node in found:
        if node.name in readers or not readers:
            continue
        if any(types[parent] == "Input" for parent in node.parents):
            raise SpecError(
                f"layer '{node.name}' ({node.type}) of network '{network.name}' reads token "
                "numbers; only an Embedding with a 'vocabulary' can"
            )


def vocabulary(nodes: Iterable[Node]) -> int:
    """Return how many tokens a network's input may name; 0 where it reads no token numbers."""
    sizes = [node.view.vocabulary for node in nodes if node.type == "Embedding"]
    return min((size for size in sizes if size), default=0)


def output_layer(network: Network) -> str:
    """Return the name of the layer that a network is for.

    Nothing may read it. Among several such layers a Softmax or Sigmoid comes first, then the last
    one in the file (side exits and dead ends stand before the main one).
    """
    ends = sinks(network)
    heads = [layer for layer in ends if layer.type in HEADS]
    return (heads or ends)[-1].name


def logits_layer(network: Network) -> str:
    """Return the name of the layer whose output the final Softmax or Sigmoid reads, or the end."""
    layers = network.by_name()
    name = output_layer(network)
    while layers[name].type in HEADS:
        name = layers[name].parents[0]
    return name


def initial_gains(nodes: tuple[Node, ...]) -> dict[str, float]:
    """Return for each node the variance gain that its activation, or its readers', asks for."""
    followed = {
        parent: node.activation
        for node in nodes
        if node.type in ("ReLU", "Activation")
        for parent in node.parents
    }
    return {node.name: operations.gain(followed.get(node.name, node.activation)) for node in nodes}
