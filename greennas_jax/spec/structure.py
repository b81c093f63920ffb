"""Exact descriptors of a network's live graph: counts, paths, depths, widths.

The live graph is what lies on a path from an input to an output. Outputs are the Softmax and
Sigmoid layers that nothing reads or, where there are none, all layers that nothing reads; a dead
end such as a Dropout whose output is never used is no part of it. Paths are counted edge by edge:
an Elementwise that reads one layer twice doubles them. A layer is weighted if it multiplies by
weights (Convolution, Deconvolution, InnerProduct, MultiHeadAttention, FeedForward; a table that is
looked up and a normalisation multiply nothing); depth is the number of weighted layers on a path.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from greennas_jax.spec import layer_types, sequence_layers, sequence_shapes
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import (
    SOURCE_TYPE,
    Layer,
    Network,
    children_of,
    topological_order,
)

WEIGHTED_TYPES = (
    "Convolution",
    "Deconvolution",
    "InnerProduct",
    "MultiHeadAttention",
    "FeedForward",
)
OUTPUT_TYPES = ("Softmax", "Sigmoid")
CONVOLUTION_CLASSES = ("dense", "pointwise", "grouped", "depthwise")
MOST_PATHS = 2**1023


class Paths(NamedTuple):
    """Paths from the inputs to one layer or to the outputs, exactly.

    Attributes:
      count: Number of paths.
      total_depth: Sum of their depths.
      shortest: Least depth of a path.
      longest: Greatest depth of a path.
    """

    count: int
    total_depth: int
    shortest: int
    longest: int


def live_layers(network: Network) -> tuple[Layer, ...]:
    """Return the layers on a path from an input to an output, in topological order."""
    order = topological_order(network)
    children = children_of(network)
    unread = [layer for layer in order if not children[layer.name]]
    heads = [layer.name for layer in unread if layer.type in OUTPUT_TYPES]
    reached = set(heads or (layer.name for layer in unread if layer.type != SOURCE_TYPE))
    for layer in reversed(order):
        if layer.name in reached:
            reached.update(layer.parents)
    return tuple(layer for layer in order if layer.name in reached)


def is_weighted(layer: Layer) -> bool:
    """Return whether a layer multiplies by weights."""
    return layer.type in WEIGHTED_TYPES


def paths(network: Network, counted: Callable[[Layer], bool] = is_weighted) -> Paths:
    """Return the paths from the inputs to the outputs of the live graph, by dynamic programming.

    The numbers are exact whole numbers of any size; a network without live layers has no paths.

    Args:
      network: The network.
      counted: Which layers make a path deeper.
    """
    return paths_through(live_layers(network), counted)


def paths_through(live: Sequence[Layer], counted: Callable[[Layer], bool] = is_weighted) -> Paths:
    """Return the paths through layers in topological order; see `paths`."""
    found: dict[str, Paths] = {}
    for layer in live:
        incoming = [found[parent] for parent in layer.parents]
        weight = int(counted(layer))
        found[layer.name] = _joined(incoming or [Paths(1, 0, 0, 0)], weight)
    read = {parent for layer in live for parent in layer.parents}
    ends = [found[layer.name] for layer in live if layer.name not in read]
    return _joined(ends, 0) if ends else Paths(0, 0, 0, 0)


def _joined(incoming: list[Paths], weight: int) -> Paths:
    """Return the union of paths, each `weight` deeper."""
    count = sum(one.count for one in incoming)
    return Paths(
        count,
        sum(one.total_depth for one in incoming) + weight * count,
        min(one.shortest for one in incoming) + weight,
        max(one.longest for one in incoming) + weight,
    )


def parameter_count(network: Network) -> int:
    """Return the number of weights and biases, dead branches included, as Paleo counts them.

    A convolution has kh * kw * (Cin / groups) * Cout weights and Cout biases unless `use_bias` is
    false, an inner product D * M weights and M biases; batch normalisation counts nothing
    (Paleo's formulas; groups and `use_bias` are ours). The layers of transformers count in full,
    their normalisation included, and a table that several use once.
    """
    found = shape_rules.infer(network)
    return sum(layer_parameters(layer, found[layer.name]) for layer in network.layers)


def layer_parameters(layer: Layer, shapes: shape_rules.Shapes) -> int:
    """Return the weights and biases of one layer; see `parameter_count`."""
    if layer.type == "Convolution":
        view = layer_views.convolution(layer)
        per_output = math.prod(view.kernel) * (shapes.inputs[0][3] // view.groups)
        return (per_output + view.use_bias) * view.out_channels
    if layer.type == "Deconvolution":
        filters = layer_views.integers(layer, "filter", 4)
        return math.prod(filters) + filters[3]
    if layer.type == "InnerProduct":
        view = layer_views.inner_product(layer)
        features = shapes.inputs[0][-1] if view.per_position else math.prod(shapes.inputs[0][1:])
        own = features * (view.weights_of is None)
        return (own + view.use_bias) * view.out_features
    registered = layer_types.find(layer.type)
    if registered is not None:
        held = registered.parameters(layer, shapes.inputs, shapes.output)
        return sum(math.prod(parameter.shape) for parameter in held.values())
    return _sequence_parameters(layer, shapes)


def _sequence_parameters(layer: Layer, shapes: shape_rules.Shapes) -> int:
    """Return the parameters of a layer of a transformer, 0 for any other."""
    width = shapes.output[-1]
    if layer.type == "LayerNorm":
        return width * (1 + sequence_layers.layer_norm(layer).use_bias)
    if layer.type == "FeedForward":
        view = sequence_layers.feed_forward(layer)
        inner = view.hidden * (1 + view.gated)
        return inner * width + view.hidden * width + view.use_bias * (inner + width)
    if layer.type == "Embedding":
        view = sequence_layers.embedding(layer)
        rows = view.vocabulary * (view.weights_of is None) + view.positions + view.segments
        return (rows + view.class_token) * width
    if layer.type == "MultiHeadAttention":
        view = sequence_layers.attention(layer)
        head = sequence_shapes.head_width(layer, width)
        queries, keys = view.heads * head, 2 * view.key_value_heads * head
        weights = 2 * queries * width + keys * shapes.inputs[-1][-1]
        biases = view.use_bias * (queries + keys + width)
        return weights + biases + view.relative_buckets * view.heads
    return 0


def convolution_class(layer: Layer, shapes: shape_rules.Shapes) -> str:
    """Return the kind of a convolution: one of CONVOLUTION_CLASSES."""
    view = layer_views.convolution(layer)
    channels = shapes.inputs[0][3]
    if view.groups > 1:
        return "depthwise" if view.groups == channels else "grouped"
    return "pointwise" if view.kernel == (1, 1) else "dense"


def descriptors(network: Network) -> dict[str, float]:
    """Return exact descriptors of the live graph, the same names in the same order for any network.

    Sizes are per example. `paths` stops at 2^1023, the largest power of two in a float;
    `log2_paths` is good for any number. Logarithms of quantities that may be zero are
    log2(1 + x).

    Raises:
      SpecError: If the network's graph or shapes are not valid.
    """
    found = shape_rules.infer(network)
    live = live_layers(network)
    counted = paths(network)
    result = {
        "layers": len(live),
        "dead_layers": len(network.layers) - len(live),
        **_type_counts(live, found),
        "joins": sum(len(layer.parents) > 1 for layer in live),
        "joined_inputs": sum(len(layer.parents) for layer in live if len(layer.parents) > 1),
        "paths": min(counted.count, MOST_PATHS),
        "log2_paths": math.log2(max(counted.count, 1)),
        "longest_depth": counted.longest,
        "shortest_depth": counted.shortest,
        "mean_depth": counted.total_depth / max(counted.count, 1),
        **_sizes(live, found),
    }
    return {name: float(value) for name, value in result.items()}


def _type_counts(
    live: tuple[Layer, ...], found: Mapping[str, shape_rules.Shapes]
) -> dict[str, int]:
    """Return live counts per layer type and per class of convolution."""
    counts = dict.fromkeys((f"count.{kind}" for kind in layer_views.KNOWN_TYPES), 0)
    counts["count.other"] = 0
    counts |= dict.fromkeys((f"convolutions.{kind}" for kind in CONVOLUTION_CLASSES), 0)
    for layer in live:
        key = f"count.{layer.type}"
        counts[key if key in counts else "count.other"] += 1
        if layer.type == "Convolution":
            counts[f"convolutions.{convolution_class(layer, found[layer.name])}"] += 1
    return counts


def _sequence_sizes(
    live: tuple[Layer, ...], found: Mapping[str, shape_rules.Shapes]
) -> dict[str, int]:
    """Return the heads, hidden widths and sequences of the live layers of a transformer."""
    heads = [
        sequence_layers.attention(layer).heads
        for layer in live
        if layer.type == "MultiHeadAttention"
    ]
    hidden = [
        sequence_layers.feed_forward(layer).hidden for layer in live if layer.type == "FeedForward"
    ]
    lengths = [found[layer.name].output[1] for layer in live if layer.type == "MultiHeadAttention"]
    return {
        "attention_heads": sum(heads),
        "feed_forward_hidden": sum(hidden),
        "longest_sequence": max(lengths, default=0),
    }


def _sizes(live: tuple[Layer, ...], found: Mapping[str, shape_rules.Shapes]) -> dict[str, float]:
    """Return widths, kernels, activations and parameters of the live layers."""
    widths = [found[layer.name].output[-1] for layer in live if layer.type in WEIGHTED_TYPES]
    kernels = [
        math.prod(layer_views.integers(layer, "filter", 4, least=-1)[:2])
        for layer in live
        if layer.type in ("Convolution", "Deconvolution")
    ]
    strided = sum(
        found[layer.name].output[1:3] != found[layer.name].inputs[0][1:3]
        for layer in live
        if layer.type in ("Convolution", "Pooling", "AvgPool")
    )
    activations = sum(math.prod(found[layer.name].output[1:]) for layer in live)
    parameters = sum(layer_parameters(layer, found[layer.name]) for layer in live)
    return {
        "weighted_layers": len(widths),
        "widest_channels": max(widths, default=0),
        "narrowest_channels": min(widths, default=0),
        "largest_kernel_area": max(kernels, default=0),
        **_sequence_sizes(live, found),
        "resizing_layers": strided,
        "log2_activations": math.log2(1 + activations),
        "log2_parameters": math.log2(1 + parameters),
    }
