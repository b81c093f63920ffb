"""Every layer's size as a function of few tokens.

What a layer reads and writes is a height and width (one node, for they change together) and a
number of channels (one node). A tensor that is not NHWC has height and width as the layer table
folds it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.spaces import edits_choices, edits_graph, values
from greennas_jax.spaces.edits_plan import LayerPlan, Plan
from greennas_jax.spaces.values import Node
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import variants
from greennas_jax.spec.network import Layer

SKIP = variants.OPERATIONS.index("skip")
GIVEN = variants.OPERATIONS.index("given")
SEPARABLE = variants.OPERATIONS.index("separable")
GROUPED = variants.OPERATIONS.index("grouped")
BOTTLENECK = variants.OPERATIONS.index("bottleneck")
POOLED = variants.OPERATIONS.index("pooled")


class Tensor(NamedTuple):
    """A layer's output: nodes of (height, width) and of channels."""

    size: int
    channels: int


class Realised(NamedTuple):
    """Nodes of how a layer with choices is realised; `width` may be inside it."""

    operation: int
    kernel: int
    width: int


class SpaceValues(NamedTuple):
    """The nodes of a plan.

    Attributes:
      nodes: All nodes; the first T are the tokens'.
      outputs: Every layer's output.
      realised: Every weighted layer's choices.
      alive: Node of whether a layer is there (1 or 0), for layers of droppable blocks.
    """

    nodes: list[Node]
    outputs: Mapping[str, Tensor]
    realised: Mapping[str, Realised]
    alive: Mapping[str, int]


def _token_values(plan: Plan) -> list[list[tuple[int, ...]]]:
    """Return what each choice of each position stands for."""
    found: list[list[tuple[int, ...]]] = [[(1,), (0,)] for _ in plan.positions]
    for layer in plan.layers.values():
        if layer.operation >= 0:
            codes = [(variants.OPERATIONS.index(name),) for name in layer.operations]
            found[layer.operation] = codes
        if layer.kernel >= 0:
            found[layer.kernel] = list(layer.kernels)
        if layer.width >= 0:
            found[layer.width] = [(width,) for width in layer.widths]
    return found


def window(
    size: np.ndarray, kernel: np.ndarray, strides: tuple[int, int], padding: layer_views.Padding
) -> np.ndarray:
    """Return the output height and width of a sliding window, int64 [m, 2].

    The rules are those of `spec.shapes.output_size`, for arrays.
    """
    stride = np.asarray(strides, dtype=np.int64)
    if padding == "VALID":
        return -((kernel - size - 1) // stride)
    if padding == "SAME":
        return -(-size // stride)
    return (size + 2 * np.asarray(padding, dtype=np.int64) - kernel) // stride + 1


def pool_kernel(view: layer_views.Pool, size: np.ndarray) -> np.ndarray:
    """Return a pooling window, clipped to its padded input, int64 [m, 2]."""
    kernel = np.broadcast_to(np.asarray(view.kernel, dtype=np.int64), size.shape)
    if view.padding == "SAME":
        return kernel
    pads = 0 if view.padding == "VALID" else np.asarray(view.padding, dtype=np.int64)
    return np.minimum(kernel, size + 2 * pads)


def _ones(size: np.ndarray) -> np.ndarray:
    return np.ones((len(size), 2), dtype=np.int64)


def find(plan: Plan, table: LayerTable) -> SpaceValues:
    """Return every layer's size as nodes.

    Args:
      plan: The plan.
      table: The given network's table, in topological order.

    Raises:
      TooWideError: If a size depends on too many tokens at once.
    """
    nodes: list[Node] = []
    for choices in _token_values(plan):
        values.token(nodes, choices)
    outputs: dict[str, Tensor] = {}
    realised: dict[str, Realised] = {}
    for row, layer in enumerate(plan.graph.order):
        if layer.name in plan.layers:
            source = outputs[layer.parents[0]]
            choice = _realised(nodes, plan.layers[layer.name], source)
            realised[layer.name] = choice
            outputs[layer.name] = _weighted_output(nodes, plan, layer, source, choice)
        elif layer.name in plan.shortcuts:
            outputs[layer.name] = outputs[plan.shortcuts[layer.name].source]
        else:
            outputs[layer.name] = _plain_output(nodes, plan, layer, outputs, table, row)
    return SpaceValues(nodes, outputs, realised, _alive(nodes, plan))


def _alive(nodes: list[Node], plan: Plan) -> dict[str, int]:
    """Return the node of whether each layer of a droppable block is there."""
    keeps = dict(plan.keeps)
    for join, position in plan.drops.items():
        keeps[join] = (*keeps.get(join, ()), position)
    found = {}
    for name, positions in keeps.items():
        found[name] = values.apply(nodes, _all_kept, positions, plan.config.scope_cap)
    return found


def _all_kept(*kept: np.ndarray) -> np.ndarray:
    return np.prod(kept, axis=0)


def _realised(nodes: list[Node], layer: LayerPlan, source: Tensor) -> Realised:
    operation, kernel, width = layer.operation, layer.kernel, layer.width
    if operation < 0:
        operation = values.constant(nodes, variants.OPERATIONS.index(layer.operations[0]))
    if layer.fits_input:
        kernel = source.size
    elif kernel < 0:
        kernel = values.constant(nodes, *layer.kernels[0])
    if layer.follows:
        width = source.channels
    elif width < 0:
        width = values.constant(nodes, layer.widths[0])
    return Realised(operation, kernel, width)


def _weighted_output(
    nodes: list[Node], plan: Plan, layer: Layer, source: Tensor, choice: Realised
) -> Tensor:
    cap = plan.config.scope_cap
    if plan.layers[layer.name].inner:
        return source
    size = channels = -1
    if "skip" in plan.layers[layer.name].operations:

        def width_or_input(operation: np.ndarray, read: np.ndarray, own: np.ndarray):
            return np.where(operation == SKIP, read, own)

        arguments = (choice.operation, source.channels, choice.width)
        channels = values.apply(nodes, width_or_input, arguments, cap)
    else:
        channels = choice.width
    if layer.type == "InnerProduct":
        if layer_views.inner_product(layer).per_position:
            return Tensor(source.size, channels)
        return Tensor(values.apply(nodes, _ones, (source.size,), cap), channels)
    view = layer_views.convolution(layer)

    def resize(operation: np.ndarray, kernel: np.ndarray, read: np.ndarray) -> np.ndarray:
        return np.where(operation == SKIP, read, window(read, kernel, view.strides, view.padding))

    size = values.apply(nodes, resize, (choice.operation, choice.kernel, source.size), cap)
    return Tensor(size, channels)


def _plain_output(
    nodes: list[Node],
    plan: Plan,
    layer: Layer,
    outputs: Mapping[str, Tensor],
    table: LayerTable,
    row: int,
) -> Tensor:
    """Return the output of a layer without choices."""
    graph, cap = plan.graph, plan.config.scope_cap
    given = Tensor(
        values.constant(nodes, int(table.out_height[row]), int(table.out_width[row])),
        values.constant(nodes, int(table.out_channels[row])),
    )
    if edits_graph.has_fixed_output(graph, layer):
        return given
    source = outputs[layer.parents[0]]
    if layer.type == "Concatenate":
        channels = source.channels
        if edits_graph.is_joined_by_channels(graph, layer):
            for parent in layer.parents[1:]:
                parts = (channels, outputs[parent].channels)
                channels = values.apply(nodes, np.add, parts, cap)
        return Tensor(given.size, channels)
    if layer.type in ("Pooling", "AvgPool"):
        view = layer_views.pool(layer)
        if edits_graph.is_global_pooling(graph, layer):
            return Tensor(given.size, source.channels)

        def resize(read: np.ndarray) -> np.ndarray:
            return window(read, pool_kernel(view, read), view.strides, view.padding)

        return Tensor(values.apply(nodes, resize, (source.size,), cap), source.channels)
    if layer.type == "UpSampling2D":
        factors = np.array(layer_views.integers(layer, "ksize", 4)[1:3])
        grown = values.apply(nodes, lambda read: read * factors, (source.size,), cap)
        return Tensor(grown, source.channels)
    if layer.type in ("Softmax", "SequencePool"):
        return Tensor(given.size, source.channels)
    if edits_graph.is_flattening(graph, layer):

        def flatten(size: np.ndarray, channels: np.ndarray) -> np.ndarray:
            return size[:, :1] * size[:, 1:] * channels

        return Tensor(given.size, values.apply(nodes, flatten, (source.size, source.channels), cap))
    return source


def geometry_columns(plan: Plan, layer: Layer):
    """Return the function that brings a weighted layer's nodes into one canonical row.

    Columns: operation, kernel height and width, input height, width and channels, output channels,
    channels inside a bottleneck, groups. An absent layer is a row of -1; choices that decode to the
    same layers have the same row.
    """
    fits = plan.layers[layer.name].fits_input
    given_groups = layer_views.convolution(layer).groups if layer.type == "Convolution" else 1

    def _columns(operation, kernel, size, channels, width, alive) -> np.ndarray:
        operation = operation[:, 0].copy()
        channels, width = channels[:, 0], width[:, 0]
        wanted = np.where(operation == GROUPED, plan.config.groups, given_groups)
        if plan.layers[layer.name].follows:
            wanted = channels
        groups = np.gcd(np.gcd(wanted, channels), width)
        groups = np.where((operation == GROUPED) | (operation == GIVEN), groups, 1)
        operation[(operation == GROUPED) & (groups == 1)] = GIVEN
        if not fits:
            pointwise = (kernel == 1).all(axis=1)
            operation[(operation == SEPARABLE) & pointwise] = GIVEN
        kernel = np.where((operation == POOLED)[:, None], 1, kernel)
        middle = edits_choices.middle(plan.config, channels, width)
        middle = np.where(operation == BOTTLENECK, middle, 0)
        row = np.column_stack((operation, kernel, size, channels, width, middle, groups))
        absent = (operation == SKIP) | (alive[:, 0] == 0)
        return np.where(absent[:, None], -1, row)

    return _columns
