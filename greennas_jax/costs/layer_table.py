"""LayerTable: the one bridge from a network's text to arrays.

Shapes: L layers. One row per layer; every cost is a pure function of a table and a device. The
arrays are numpy's (float64, no compilation) or JAX's (traced, differentiable): the functions ask
the arrays for their namespace.
"""

import dataclasses
import enum
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network
from greennas_jax.spec.shapes import Shape, Shapes

Array = Any  # numpy.ndarray or jax.Array: whatever has `__array_namespace__`.

BYTES_PER_ELEMENT = 4


class Operation(enum.IntEnum):
    """What a row computes."""

    INPUT = 0
    CONVOLUTION = 1
    DECONVOLUTION = 2
    INNER_PRODUCT = 3
    POOLING = 4
    AVERAGE_POOLING = 5
    DROPOUT = 6
    CONCATENATE = 7
    ELEMENTWISE = 8
    RESHAPE = 9
    SOFTMAX = 10
    SIGMOID = 11
    UPSAMPLING = 12
    BATCH_NORM = 13
    LRN = 14
    RELU = 15
    UNKNOWN = 16


class Padding(enum.IntEnum):
    """How a window's padding was written."""

    VALID = 0
    SAME = 1
    LISTED = 2


OPERATION_OF_TYPE = {
    "Input": Operation.INPUT,
    "Convolution": Operation.CONVOLUTION,
    "Deconvolution": Operation.DECONVOLUTION,
    "InnerProduct": Operation.INNER_PRODUCT,
    "Pooling": Operation.POOLING,
    "AvgPool": Operation.AVERAGE_POOLING,
    "Dropout": Operation.DROPOUT,
    "Concatenate": Operation.CONCATENATE,
    "Elementwise": Operation.ELEMENTWISE,
    "Reshape": Operation.RESHAPE,
    "Softmax": Operation.SOFTMAX,
    "Sigmoid": Operation.SIGMOID,
    "UpSampling2D": Operation.UPSAMPLING,
    "BatchNorm": Operation.BATCH_NORM,
    "LRN": Operation.LRN,
    "ReLU": Operation.RELU,
}
_ACTIVATED = (Operation.ELEMENTWISE, Operation.BATCH_NORM)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTable:
    """A struct of arrays, one entry per layer; float64 unless said otherwise.

    A tensor that is not NHWC is written as such: [N, D] has height and width 1; of any other rank
    the last size is the channels and all between the first two are folded into the width. The
    input of an inner product is flattened; that of a concatenation is the joined tensor.

    Attributes:
      operation: Operation codes, int32 [L].
      batch: Batch size [L].
      in_height: Input height [L].
      in_width: Input width [L].
      in_channels: Input channels [L].
      out_height: Output height [L].
      out_width: Output width [L].
      out_channels: Output channels [L].
      kernel_height: Window height, 1 where there is none [L].
      kernel_width: Window width [L].
      stride_height: Vertical stride [L].
      stride_width: Horizontal stride [L].
      pad_height: Rows of zeros per side as Paleo counts them: an odd remainder is dropped and
        the value is -1 where the stride exceeds the kernel [L].
      pad_width: Columns of zeros per side [L].
      padding: Padding codes [L].
      groups: Groups of a convolution, 1 elsewhere [L].
      depthwise: 1 where each filter reads one channel [L].
      bias: 1 where a bias is added [L].
      activation: 1 where an activation follows in the same layer [L].
      normalizer: 1 where batch normalisation follows in the same layer [L].
      inputs: Number of tensors of the input's shape that are read [L].
      reads_input: 1 where a parent is a source, hence no gradient flows back [L].
    """

    operation: Array
    batch: Array
    in_height: Array
    in_width: Array
    in_channels: Array
    out_height: Array
    out_width: Array
    out_channels: Array
    kernel_height: Array
    kernel_width: Array
    stride_height: Array
    stride_width: Array
    pad_height: Array
    pad_width: Array
    padding: Array
    groups: Array
    depthwise: Array
    bias: Array
    activation: Array
    normalizer: Array
    inputs: Array
    reads_input: Array

    @property
    def namespace(self) -> Any:
        """Return jax.numpy where any column is a JAX array, else numpy."""
        return array_namespace(*(getattr(self, name) for name in _FIELDS))

    @property
    def input_elements(self) -> Array:
        """Return the elements of all tensors read, without weights [L]."""
        return self.inputs * self.batch * self.in_height * self.in_width * self.in_channels

    @property
    def output_elements(self) -> Array:
        """Return the elements of the output [L]."""
        return self.batch * self.out_height * self.out_width * self.out_channels

    @property
    def filter_channels(self) -> Array:
        """Return the input channels that each filter reads [L].

        A depthwise filter reads one; written as a choice, because channels / groups is 0 / 0 where
        a width reaches zero. For the same reason groups below one count as one.
        """
        xp = self.namespace
        per_group = self.in_channels / xp.maximum(self.groups, 1.0)
        return xp.where(self.depthwise > 0, xp.ones_like(per_group), per_group)

    def is_any(self, *operations: Operation) -> Array:
        """Return whether each row is one of some operations, bool [L]."""
        found = self.operation == int(operations[0])
        for operation in operations[1:]:
            found = found | (self.operation == int(operation))
        return found

    def replace(self, **changes: Array) -> "LayerTable":
        """Return a copy with some arrays changed."""
        return dataclasses.replace(self, **changes)

    def __len__(self) -> int:
        return int(self.batch.shape[-1])


def array_namespace(*values: Any) -> Any:
    """Return jax.numpy where any value is a JAX array, else numpy."""
    for value in values:
        if hasattr(value, "__array_namespace__"):
            namespace = value.__array_namespace__()
            if namespace is not np:
                return namespace
    return np


def _folded(shape: Shape) -> tuple[int, int, int]:
    """Return a shape's (height, width, channels), the batch aside."""
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    if len(shape) < 3:
        return 1, 1, shape[-1] if len(shape) == 2 else 1
    return shape[1], math.prod(shape[2:-1]), shape[-1]


def _padding(
    padding: layer_views.Padding, kernel: Shape, strides: Shape, inner: Shape, outer: Shape
) -> tuple[int, int, int]:
    """Return (pad_height, pad_width, code) by Paleo's rules.

    Args:
      padding: As the layer states it.
      kernel: Kernel height and width.
      strides: Vertical and horizontal stride.
      inner: NHWC tensor that the window slides over.
      outer: NHWC tensor of the windows' results.
    """
    if padding == "VALID":
        return 0, 0, int(Padding.VALID)
    if padding == "SAME":
        pads = [
            ((outer[1 + axis] - 1) * strides[axis] + kernel[axis] - inner[1 + axis]) // 2
            for axis in (0, 1)
        ]
        return pads[0], pads[1], int(Padding.SAME)
    return int(padding[0]), int(padding[1]), int(Padding.LISTED)


def _convolution(layer: Layer, source: Shape, output: Shape) -> tuple:
    view = layer_views.convolution(layer)
    pads = _padding(view.padding, view.kernel, view.strides, source, output)
    depthwise = view.groups > 1 and view.groups == source[3]
    return (
        *(*view.kernel, *view.strides, *pads, view.groups, depthwise, view.use_bias),
        *(view.activation is not None, view.normalizer is not None, 1),
    )


def _deconvolution(layer: Layer, source: Shape, output: Shape) -> tuple:
    """Return a transposed convolution's columns; its filter is [kh, kw, Cout, Cin]."""
    filters = tuple(layer_views.integers(layer, "filter", 4))
    strides = tuple(layer_views.integers(layer, "strides", 4)[1:3])
    pads = _padding(layer_views.padding(layer), filters[:2], strides, output, source)
    normalizer = layer_views.normalizer(layer) is not None
    bias = layer.attributes.get("use_bias", True) is not False
    activation = layer_views.activation(layer) is not None
    return *filters[:2], *strides, *pads, 1, False, bias, activation, normalizer, 1


_NO_WINDOW = (1, 1, 1, 1, 0, 0, 0, 1, False)


def _pool(layer: Layer, source: Shape, output: Shape, compat: str | None) -> tuple:
    view = layer_views.pool(layer)
    kernel = view.kernel if compat == "paleo" else shape_rules.pool_kernel(view, source)
    pads = _padding(view.padding, kernel, view.strides, source, output)
    return *kernel, *view.strides, *pads, 1, False, False, False, False, 1


def _row(
    layer: Layer, shapes: Shapes, sources: Collection[str], compat: shape_rules.Compat
) -> tuple:
    """Return one row, in the order of LayerTable's fields."""
    operation = OPERATION_OF_TYPE.get(layer.type, Operation.UNKNOWN)
    source, output = shapes.inputs[0], shapes.output
    in_sizes, out_sizes = _folded(source), _folded(output)
    if operation == Operation.CONVOLUTION:
        rest = _convolution(layer, source, output)
    elif operation == Operation.DECONVOLUTION:
        rest = _deconvolution(layer, source, output)
    elif operation == Operation.INNER_PRODUCT:
        inner = layer_views.inner_product(layer)
        in_sizes = (1, 1, math.prod(source[1:]))
        rest = (*_NO_WINDOW, inner.use_bias, inner.activation is not None, False, 1)
    elif operation in (Operation.POOLING, Operation.AVERAGE_POOLING):
        rest = _pool(layer, source, output, compat)
    else:
        inputs = len(shapes.inputs)
        if operation == Operation.CONCATENATE:
            in_sizes, inputs = out_sizes, 1
        activated = operation in _ACTIVATED and layer_views.activation(layer) is not None
        rest = (*_NO_WINDOW, False, activated, False, inputs)
    first = any(parent in sources for parent in layer.parents)
    return int(operation), output[0], *in_sizes, *out_sizes, *rest, first


_FIELDS = tuple(field.name for field in dataclasses.fields(LayerTable))


def rows(
    layers: Sequence[Layer],
    shapes: Iterable[Shapes],
    *,
    sources: Collection[str] = ("data",),
    compat: shape_rules.Compat = None,
) -> LayerTable:
    """Return the table of any layers, each with its own shapes.

    Args:
      layers: Layers, in the order of the rows; they need not belong to one network.
      shapes: What each layer reads and writes.
      sources: Names that no gradient flows back to.
      compat: "paleo" keeps pooling windows that are larger than their input.

    Raises:
      SpecError: If a layer's attributes are malformed.
    """
    values = [
        _row(layer, shape, sources, compat) for layer, shape in zip(layers, shapes, strict=True)
    ]
    columns = np.array(values, dtype=np.float64).reshape(len(values), len(_FIELDS)).T
    table = dict(zip(_FIELDS, np.ascontiguousarray(columns), strict=True))
    table["operation"] = table["operation"].astype(np.int32)
    return LayerTable(**table)


def from_network(
    network: Network, *, batch_size: int | None = None, compat: shape_rules.Compat = None
) -> LayerTable:
    """Return the table of a network, rows in topological order.

    Args:
      network: The network.
      batch_size: Replaces the batch size of every input where given.
      compat: "paleo" for the original's shapes where they make no sense.

    Raises:
      SpecError: If shapes disagree or an attribute is malformed.
    """
    found = shape_rules.infer(network, batch_size, compat=compat)
    layers = network.by_name()
    sources = frozenset(layer.name for layer in network.layers if layer.type == "Input")
    return rows([layers[name] for name in found], found.values(), sources=sources, compat=compat)
