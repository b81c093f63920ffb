"""Costs of many networks at once by the formulas themselves: a reference for the tables.

A network whose layers follow one another is taken, with other widths and kernels; each layer's row
of the layer table then holds one array per changed column, and the cost term is called on it.

Shapes: B networks.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.costs import layer_table
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces.edits import EditSpace
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import Layer, Network

Array = Any  # numpy.ndarray or jax.Array
Size = tuple[Array, Array]

WINDOWED = ("Convolution", "Pooling", "AvgPool")


def is_chain(network: Network) -> bool:
    """Return whether every layer follows the one before, of types whose sizes are known here."""
    known = {*WINDOWED, "Input", "InnerProduct", "Dropout", "Softmax", "LRN", "ReLU", "BatchNorm"}
    names = [layer.name for layer in network.layers]
    return all(
        layer.type in known and list(layer.parents) == names[max(number - 1, 0) : number]
        for number, layer in enumerate(network.layers)
    )


def cost(
    space: EditSpace, term: Term, device: Device, settings: CostSettings, tokens: jax.Array
) -> jax.Array:
    """Return the cost of strings that keep every operation as given, float32 [B].

    Args:
      space: The edits of a chain.
      term: What is costed.
      device: The device.
      settings: Settings of the cost functions.
      tokens: Strings, uint8 [T, B].
    """
    plan, network = space.plan, space.given
    table = layer_table.from_network(network)
    widths: dict[str, Array] = {}
    kernels: dict[str, Size] = {}
    for name, layer in plan.layers.items():
        if layer.width >= 0:
            widths[name] = _chosen(layer.widths, tokens[layer.width])
        if layer.kernel >= 0:
            heights, columns = zip(*layer.kernels, strict=True)
            kernels[name] = (
                _chosen(heights, tokens[layer.kernel]),
                _chosen(columns, tokens[layer.kernel]),
            )
    covering = frozenset(name for name, layer in plan.layers.items() if layer.fits_input)
    total = jnp.zeros(tokens.shape[1])
    size: Size = (0.0, 0.0)
    channels: Array = 0.0
    for row, layer in enumerate(network.layers):
        template = _row(table, row)
        if layer.type == "Input":
            size = (template.out_height, template.out_width)
            channels = template.out_channels
        else:
            changed = _changed(layer, template, size, channels, widths, kernels, covering)
            size = (changed["out_height"], changed["out_width"])
            channels = changed["out_channels"]
            template = template.replace(**changed)
        total = total + term.function(template, device, settings)
    return total


def _chosen(values: tuple[int, ...], token: Array) -> Array:
    """Return each string's value, float32 [B], by comparing: no table is read."""
    found = jnp.full(token.shape, float(values[0]), jnp.float32)
    for number, value in enumerate(values[1:], start=1):
        found = jnp.where(token == number, jnp.float32(value), found)
    return found


def _row(table: LayerTable, row: int) -> LayerTable:
    """Return one row as arrays [1], float32 and JAX's, but for the operation, which is known."""

    def one(column: np.ndarray) -> Array:
        value = column[row : row + 1]
        return value if value.dtype == np.int32 else jnp.asarray(value, jnp.float32)

    return LayerTable(**{name: one(column) for name, column in vars(table).items()})


def _changed(
    layer: Layer,
    template: LayerTable,
    size: Size,
    channels: Array,
    widths: Mapping[str, Array],
    kernels: Mapping[str, Size],
    covering: frozenset[str],
) -> dict[str, Array]:
    """Return the columns of a layer that follow from what it reads and from its choices."""
    if layer.type == "InnerProduct":
        read, size = size[0] * size[1] * channels, (template.out_height, template.out_width)
        found = {"in_channels": read}
        channels = widths.get(layer.name, template.out_channels)
    else:
        found = {"in_height": size[0], "in_width": size[1], "in_channels": channels}
    if layer.type in WINDOWED:
        kernel = kernels.get(layer.name, (template.kernel_height, template.kernel_width))
        if layer.name in covering:
            kernel = size
        padding = layer_views.padding(layer)
        if layer.type != "Convolution" and padding == "VALID":
            kernel = tuple(jnp.minimum(k, s) for k, s in zip(kernel, size, strict=True))
        strides = (template.stride_height, template.stride_width)
        written = [
            _window(s, k, t, padding if isinstance(padding, str) else padding[axis])
            for axis, (s, k, t) in enumerate(zip(size, kernel, strides, strict=True))
        ]
        if padding == "SAME":
            names = ("pad_height", "pad_width")
            for name, s, k, t, o in zip(names, size, kernel, strides, written, strict=True):
                found[name] = jnp.floor(((o - 1) * t + k - s) / 2)
        found |= {"kernel_height": kernel[0], "kernel_width": kernel[1]}
        size = (written[0], written[1])
    if layer.type == "Convolution":
        channels = widths.get(layer.name, template.out_channels)
    return found | {"out_height": size[0], "out_width": size[1], "out_channels": channels}


def _window(size: Array, kernel: Array, stride: Array, padding: str | int) -> Array:
    """Return the output size along an axis, by the rules of `spec.shapes.output_size`."""
    if padding == "SAME":
        return jnp.ceil(size / stride)
    pads = 0 if padding == "VALID" else 2 * int(padding)
    return jnp.floor((size + pads - kernel) / stride) + 1
