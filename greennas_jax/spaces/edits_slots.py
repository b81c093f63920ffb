"""Layer table rows of every layer of an edits space, at every size it may have.

Rows are made by columns: a layer's realisation gives the columns that never change (stride,
padding, bias and so on), the nodes' values the sizes. Attention and feed-forward layers, whose
sizes outside are fixed, are realised one by one.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import layer_table, registered_rows
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.spaces import edits_graph, edits_values, factors, values
from greennas_jax.spaces.edits_plan import Plan
from greennas_jax.spaces.edits_values import SpaceValues
from greennas_jax.spaces.factors import Slot
from greennas_jax.spec import layer_types, sequence_variants, variants
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import Layer
from greennas_jax.spec.shapes import Shapes
from greennas_jax.spec.variants import Variant

_FIELDS = tuple(field.name for field in dataclasses.fields(LayerTable))


class Piece(NamedTuple):
    """Columns of one layer of a realisation, each [m].

    Attributes:
      in_channels: Channels read.
      kernel: Window [m, 2].
      out_channels: Channels written.
      groups: Groups.
    """

    in_channels: np.ndarray
    kernel: np.ndarray
    out_channels: np.ndarray
    groups: np.ndarray


def _table(template: LayerTable, count: int, **columns: np.ndarray) -> LayerTable:
    """Return one row of a table repeated, with some columns replaced."""
    made = {}
    for name in _FIELDS:
        kind = getattr(template, name).dtype
        column = columns.get(name)
        made[name] = np.full(count, getattr(template, name)[0]) if column is None else column
        made[name] = made[name].astype(kind)
    return LayerTable(**made)


def _sizes(prefix: str, size: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
    return {
        f"{prefix}_height": size[:, 0],
        f"{prefix}_width": size[:, 1],
        f"{prefix}_channels": channels,
    }


def _pads(layer: Layer, size: np.ndarray, kernel: np.ndarray, output: np.ndarray) -> dict:
    """Return the padding columns, which depend on the sizes where it is SAME."""
    if layer_views.padding(layer) != "SAME":
        return {}
    strides = np.array(layer.attributes["strides"][1:3])
    pads = ((output - 1) * strides + kernel - size) // 2
    return {"pad_height": pads[:, 0], "pad_width": pads[:, 1]}


def _windowed(
    template: LayerTable, layer: Layer, size: np.ndarray, piece: Piece
) -> tuple[LayerTable, np.ndarray]:
    """Return the rows of a convolution or pooling, and the heights and widths it writes."""
    strides = tuple(layer.attributes["strides"][1:3])
    output = edits_values.window(size, piece.kernel, strides, layer_views.padding(layer))
    rows = _table(
        template,
        len(size),
        kernel_height=piece.kernel[:, 0],
        kernel_width=piece.kernel[:, 1],
        groups=piece.groups,
        depthwise=(piece.groups > 1) & (piece.groups == piece.in_channels),
        **_sizes("in", size, piece.in_channels),
        **_sizes("out", output, piece.out_channels),
        **_pads(layer, size, piece.kernel, output),
    )
    return rows, output


def _pieces(operation: int, geometry: np.ndarray) -> Iterator[Piece]:
    """Yield the columns of each layer that realises an operation, as `spec.variants` does."""
    kernel, size = geometry[:, 1:3], geometry[:, 3:5]
    channels, width, middle, groups = geometry[:, 5:].T
    one = np.ones_like(width)
    point = np.ones_like(kernel)
    if operation == edits_values.SEPARABLE:
        yield Piece(channels, kernel, channels, channels)
        yield Piece(channels, point, width, one)
    elif operation == edits_values.BOTTLENECK:
        yield Piece(channels, point, middle, one)
        yield Piece(middle, kernel, middle, one)
        yield Piece(middle, point, width, one)
    elif operation == edits_values.POOLED:
        yield Piece(channels, size, channels, one)
        yield Piece(channels, point, width, one)
    else:
        yield Piece(channels, kernel, width, groups)


def _weighted_rows(
    layer: Layer, batch: int, geometries: np.ndarray, sources: Sequence[str]
) -> tuple[list[LayerTable], list[np.ndarray]]:
    """Return the rows of a weighted layer's geometries, and each row's geometry."""
    tables, owners = [], []
    for operation in np.unique(geometries[:, 0]):
        if operation < 0:
            continue
        owner = np.flatnonzero(geometries[:, 0] == operation)
        geometry = geometries[owner]
        kernel, size = tuple(geometry[0, 1:3].tolist()), geometry[:, 3:5]
        height, columns, channels, width, middle, groups = geometry[0, 3:].tolist()
        variant = Variant(
            variants.OPERATIONS[operation], (kernel[0], kernel[1]), width, groups, middle
        )
        shape = (batch, height, columns, channels)
        if _at_each_position(layer):
            shape = (batch, height, channels)
        made = variants.window_shapes(layer, shape, variant)
        for (inner, read, written), piece in zip(made, _pieces(operation, geometry), strict=True):
            shapes = Shapes((read,), written)
            template = layer_table.rows([inner], [shapes], sources=sources)
            if inner.type == "InnerProduct":
                rows = _inner_product(template, inner, size, piece)
            else:
                rows, size = _windowed(template, inner, size, piece)
            tables.append(rows)
            owners.append(owner)
    return tables, owners


def _at_each_position(layer: Layer) -> bool:
    """Return whether a layer is an inner product at each position of a sequence."""
    return layer.type == "InnerProduct" and layer_views.inner_product(layer).per_position


def _inner_product(
    template: LayerTable, layer: Layer, size: np.ndarray, piece: Piece
) -> LayerTable:
    if _at_each_position(layer):
        columns = {
            **_sizes("in", size, piece.in_channels),
            **_sizes("out", size, piece.out_channels),
        }
        return _table(template, len(size), **columns)
    features = size[:, 0] * size[:, 1] * piece.in_channels
    return _table(template, len(size), in_channels=features, out_channels=piece.out_channels)


def _inner_rows(
    plan: Plan, layer: Layer, template: LayerTable, widths: np.ndarray, sources: Sequence[str]
) -> LayerTable:
    """Return the rows of an attention or feed-forward layer, one per width inside."""
    given = plan.graph.shapes[layer.name]
    batch = int(template.batch[0])
    inputs = tuple((batch, *shape[1:]) for shape in given.inputs)
    shapes = Shapes(inputs, (batch, *given.output[1:]))
    made = [sequence_variants.realise(layer, given.output[-1], int(width)) for width in widths]
    return layer_table.rows(made, [shapes] * len(made), sources=sources)


def _plain_rows(
    layer: Layer, given: Shapes, template: LayerTable, geometries: np.ndarray
) -> LayerTable:
    """Return the rows of a layer without choices: columns alive, input and output sizes."""
    if len(geometries) == 1:
        return template
    size, channels = geometries[:, 1:3], geometries[:, 3]
    output, written = geometries[:, 4:6], geometries[:, 6]
    columns = {**_sizes("in", size, channels), **_sizes("out", output, written)}
    if layer_types.find(layer.type) is not None:
        columns |= _own_columns(layer, given, int(template.batch[0]), geometries)
    if layer.type in ("Pooling", "AvgPool"):
        follows = geometries[:, 7:] == 1
        kernel = np.where(follows, size, edits_values.pool_kernel(layer_views.pool(layer), size))
        columns |= _pads(layer, size, kernel, output)
        columns |= {"kernel_height": kernel[:, 0], "kernel_width": kernel[:, 1]}
    return _table(template, len(geometries), **columns)


def _own_columns(
    layer: Layer, given: Shapes, batch: int, geometries: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what a layer of a pointwise registered type states of itself, size by size."""
    found = []
    for height, width, channels in geometries[:, 1:4].astype(int).tolist():
        places = {2: (), 3: (height,), 4: (height, width)}.get(len(given.output))
        # A tensor of another rank is never edited.
        shape = given.output[1:] if places is None else (*places, channels)
        whole = (batch, *shape)
        found.append(registered_rows.columns(layer, Shapes((whole,), whole)))
    names = registered_rows.Columns._fields
    return dict(zip(names, np.array(found, np.float64).T, strict=True))


def make(plan: Plan, found: SpaceValues, table: LayerTable) -> tuple[Slot, ...]:
    """Return the costed slots of a plan.

    Args:
      plan: The plan.
      found: Its nodes; nodes needed by slots alone are not appended.
      table: The given network's table, in topological order, of the batch size to cost.

    Raises:
      TooWideError: If a layer's cost depends on too many tokens at once.
    """
    sources = tuple(layer.name for layer in plan.graph.order if layer.type == "Input")
    nodes = found.nodes
    always = values.constant(nodes, 1)
    slots = []
    for row, layer in enumerate(plan.graph.order):
        template = LayerTable(**{name: getattr(table, name)[row : row + 1] for name in _FIELDS})
        alive = found.alive.get(layer.name, always)
        if layer.name in plan.layers and plan.layers[layer.name].inner:
            node = _inner_node(plan, found, layer, alive)
            owners = [np.flatnonzero(node.values[:, 0] >= 0)]
            tables = [_inner_rows(plan, layer, template, node.values[owners[0], 0], sources)]
        elif layer.name in plan.layers:
            source, choice = found.outputs[layer.parents[0]], found.realised[layer.name]
            node = values.tabulate(
                nodes,
                edits_values.geometry_columns(plan, layer),
                (
                    choice.operation,
                    choice.kernel,
                    source.size,
                    source.channels,
                    choice.width,
                    alive,
                ),
                plan.config.scope_cap,
            )
            batch = int(template.batch[0])
            tables, owners = _weighted_rows(layer, batch, node.values, sources)
        else:
            node = _plain_node(plan, found, layer, alive)
            owners = [np.flatnonzero(node.values[:, 0] == 1)]
            given = plan.graph.shapes[layer.name]
            tables = [_plain_rows(layer, given, template, node.values[owners[0]])]
        slots.append(Slot(layer.name, node, factors.concatenate(tables), np.concatenate(owners)))
    return tuple(slots)


def _inner_node(plan: Plan, found: SpaceValues, layer: Layer, alive: int) -> values.Node:
    """Return the node of the width inside a layer, -1 where the layer is not there."""

    def _width(width: np.ndarray, alive: np.ndarray) -> np.ndarray:
        return np.where(alive == 0, -1, width)

    arguments = (found.realised[layer.name].width, alive)
    return values.tabulate(found.nodes, _width, arguments, plan.config.scope_cap)


def _plain_node(plan: Plan, found: SpaceValues, layer: Layer, alive: int) -> values.Node:
    """Return the node of the sizes of a layer without choices."""
    output = found.outputs[layer.name]
    source = found.outputs[layer.parents[0]] if layer.parents else output
    if layer.type == "Concatenate":
        source = output
    follows = edits_graph.is_global_pooling(plan.graph, layer)

    def _columns(alive, size, channels, written_size, written):
        row = np.column_stack(
            (alive, size, channels, written_size, written, np.full(len(alive), follows))
        )
        return np.where(alive == 0, 0, row)

    arguments = (alive, source.size, source.channels, output.size, output.channels)
    return values.tabulate(found.nodes, _columns, arguments, plan.config.scope_cap)
