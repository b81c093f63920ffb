"""What a network's graph allows: shared widths, sizes that may change, layers that must stay.

Channels: an Elementwise makes its parents equally wide, so the layers behind them share one width;
a Concatenate adds up widths. What an Embedding, attention or feed-forward layer reads and writes is
a model's width, which stays; an attention's second input is another width than its first. Heights
and widths: a smaller VALID kernel leaves more rows, which is allowed where every reader can take
them.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from greennas_jax.spec import layer_types, sequence_variants, variants
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import network as networks
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network, SpecError
from greennas_jax.spec.shapes import Shapes

WEIGHTED = ("Convolution", "InnerProduct")
# Layers with a width inside, which write as many channels as they read.
INNER = sequence_variants.TYPES
CHANGEABLE = (*WEIGHTED, *INNER)


class Graph(NamedTuple):
    """A given network with what is asked of it again and again."""

    network: Network
    order: tuple[Layer, ...]
    layers: Mapping[str, Layer]
    children: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, Shapes]


class WidthClasses(NamedTuple):
    """Layers whose outputs are equally wide, whatever is edited.

    Attributes:
      of: The class of each layer's output, named by one of its layers.
      producers: Convolutions and inner products whose own width is the class's, in file order.
      frozen: Classes whose width may not change.
      tied: Classes that an Elementwise holds together.
    """

    of: Mapping[str, str]
    producers: Mapping[str, tuple[str, ...]]
    frozen: frozenset[str]
    tied: frozenset[str]


def is_follower(graph: Graph, layer: Layer) -> bool:
    """Return whether a layer is a given depthwise convolution, as wide as its input."""
    return variants.is_follower(layer) and variants.is_depthwise(
        layer, graph.shapes[layer.name].inputs[0]
    )


def is_flattening(graph: Graph, layer: Layer) -> bool:
    """Return whether a layer reshapes to [N, everything else]."""
    if layer.type != "Reshape":
        return False
    source, output = graph.shapes[layer.name].inputs[0], graph.shapes[layer.name].output
    return len(source) in (2, 4) and len(output) == 2 and output[0] == source[0]


def is_global_pooling(graph: Graph, layer: Layer) -> bool:
    """Return whether a pooling window covers its whole input, so that it may follow the input."""
    if layer.type not in ("Pooling", "AvgPool"):
        return False
    view, source = layer_views.pool(layer), graph.shapes[layer.name].inputs[0]
    covers = shape_rules.pool_kernel(view, source) == source[1:3]
    return view.padding == "VALID" and covers and source[1:3] != (1, 1)


def is_joined_by_channels(graph: Graph, layer: Layer) -> bool:
    """Return whether a layer concatenates channels (or features)."""
    if layer.type != "Concatenate":
        return False
    rank = len(graph.shapes[layer.name].output)
    return layer.attributes.get("dim", 3 if rank == 4 else 1) == rank - 1


def has_fixed_output(graph: Graph, layer: Layer) -> bool:
    """Return whether nothing about a layer's output can be edited."""
    if layer.type in ("Input", "Deconvolution", "Sigmoid", "Embedding", networks.PARALLEL_TYPE):
        return True
    if layer_types.is_fixed(layer):
        return True
    if layer.type == "Softmax":
        return layer.attributes.get("num_classes") is not None
    if layer.type == "Reshape":
        return not is_flattening(graph, layer)
    return variants.is_follower(layer) and not is_follower(graph, layer)


def frozen_names(network: Network, patterns: Sequence[str]) -> frozenset[str]:
    """Return the layers that some names or shell patterns mean.

    Raises:
      SpecError: If a pattern fits no layer.
    """
    found: set[str] = set()
    for pattern in patterns:
        fitting = [
            layer.name
            for layer in network.layers
            if layer.name == pattern or fnmatch.fnmatchcase(layer.name, pattern)
        ]
        if not fitting:
            raise SpecError(
                f"network '{network.name}': freeze '{pattern}' fits no layer; allowed: names or "
                "shell patterns of its layers"
            )
        found.update(fitting)
    return frozenset(found)


def kept_layers(graph: Graph) -> frozenset[str]:
    """Return the layers that stay as given, whatever is asked.

    They are convolutions that cut a picture into the patches of a sequence (their number and width
    are a Reshape's), and layers that share an Embedding's table, with that Embedding.
    """
    found: set[str] = set()
    for layer in graph.order:
        shared = None
        if layer.type in ("InnerProduct", "Embedding"):
            shared = layer_views.weights_of(layer)
        if shared is not None:
            found.update((layer.name, shared))
        elif layer.type == "Convolution" and _becomes_sequence(graph, layer.name):
            found.add(layer.name)
    return frozenset(found)


def _becomes_sequence(graph: Graph, name: str) -> bool:
    """Return whether a Reshape makes a sequence of a layer's output, weighted layers aside."""
    waiting = [name]
    while waiting:
        for reader in graph.children[waiting.pop()]:
            layer = graph.layers[reader]
            if layer.type == "Reshape" and len(graph.shapes[reader].output) == 3:
                return True
            if layer.type not in CHANGEABLE:
                waiting.append(reader)
    return False


def output_layers(graph: Graph) -> list[Layer]:
    """Return the sinks, dead-end Dropout layers aside (Caffe's in-place ones become such)."""
    found = networks.sinks(graph.network)
    return [layer for layer in found if layer.type != "Dropout"] or list(found)


def width_classes(graph: Graph, frozen: frozenset[str]) -> WidthClasses:
    """Return which layers are equally wide and which widths may change.

    Args:
      graph: The given network.
      frozen: Layers that keep their width.
    """
    root = {layer.name: layer.name for layer in graph.order}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    parts: dict[str, tuple[str, ...]] = {}
    ties: set[str] = set()
    stuck = {layer.name for layer in output_layers(graph)} | frozen & {
        layer.name for layer in graph.order if layer.type in WEIGHTED
    }
    for layer in graph.order:
        if has_fixed_output(graph, layer) or _has_fixed_input(layer):
            stuck.update((layer.name, *layer.parents))
        elif is_joined_by_channels(graph, layer) or is_flattening(graph, layer):
            parts[layer.name] = layer.parents
        elif layer.type not in WEIGHTED or is_follower(graph, layer):
            for parent in layer.parents:
                root[find(layer.name)] = find(parent)
            if len(set(layer.parents)) > 1:
                ties.add(layer.name)
    of = {name: find(name) for name in root}
    producers: dict[str, tuple[str, ...]] = {name: () for name in of.values()}
    for layer in graph.network.layers:
        if layer.type in WEIGHTED and not is_follower(graph, layer):
            producers[of[layer.name]] += (layer.name,)
    return WidthClasses(
        of,
        producers,
        _frozen_classes(of, producers, parts, stuck),
        frozenset(of[name] for name in ties),
    )


def _has_fixed_input(layer: Layer) -> bool:
    """Return whether what a layer reads, and writes, may not change its width."""
    if layer.type == "InnerProduct":
        return layer_views.weights_of(layer) is not None
    return layer.type in INNER


def _frozen_classes(
    of: Mapping[str, str],
    producers: Mapping[str, tuple[str, ...]],
    parts: Mapping[str, tuple[str, ...]],
    stuck: set[str],
) -> frozenset[str]:
    """Return the classes that cannot change: a stuck layer's, and sums tied to something else."""
    found = {of[name] for name in stuck}
    sums: dict[str, int] = {}
    for name in parts:
        sums[of[name]] = sums.get(of[name], 0) + 1
    found |= {name for name, count in sums.items() if count + len(producers[name]) > 1}
    while True:
        more = {of[p] for name, members in parts.items() if of[name] in found for p in members}
        if more <= found:
            return frozenset(found)
        found |= more


def may_resize(graph: Graph, name: str) -> bool:
    """Return whether every reader of a layer can take an output of another height and width.

    All ways forward must reach an inner product, a convolution as large as its input, or a global
    pooling, through layers with one parent.
    """
    waiting = [name]
    while waiting:
        readers = graph.children[waiting.pop()]
        if not readers:
            return False
        for reader in readers:
            layer = graph.layers[reader]
            source = graph.shapes[reader].inputs[0]
            if layer.type == "InnerProduct" or variants.is_dense_like(layer, source):
                continue
            if is_global_pooling(graph, layer):
                continue
            if len(layer.parents) > 1 or layer.type == "Softmax" or has_fixed_output(graph, layer):
                return False
            waiting.append(reader)
    return True
