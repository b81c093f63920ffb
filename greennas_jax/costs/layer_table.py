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

from greennas_jax.costs import registered_rows, sequence_rows, window_rows
from greennas_jax.spec import layer_types, sequence_layers
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
    EMBEDDING = 17
    LAYER_NORM = 18
    ATTENTION = 19
    FEED_FORWARD = 20
    ACTIVATION = 21
    SEQUENCE_POOL = 22
    REGISTERED = 23


Padding = window_rows.Padding

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
    "Embedding": Operation.EMBEDDING,
    "LayerNorm": Operation.LAYER_NORM,
    "MultiHeadAttention": Operation.ATTENTION,
    "FeedForward": Operation.FEED_FORWARD,
    "Activation": Operation.ACTIVATION,
    "SequencePool": Operation.SEQUENCE_POOL,
}
_ACTIVATED = (Operation.ELEMENTWISE, Operation.BATCH_NORM)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTable:
    """A struct of arrays, one entry per layer; float64 unless said otherwise.

    A tensor that is not NHWC is written as such: [N, D] has height and width 1; of any other rank
    the last size is the channels and all between the first two are folded into the width, so that
    the length of a sequence [N, S, D] stands as its height. The input of an inner product is
    flattened, unless it acts on each position; that of a concatenation is the joined tensor; token
    numbers [N, S] that an embedding reads are a sequence of width 1.

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
      reads_input: 1 where a parent is a source, hence no gradient flows back [L]; of an attention
        to another sequence, where both are.
      heads: Heads of an attention; this and all that follow are 0 where they do not apply [L].
      key_value_heads: Heads of its keys and values [L].
      head_width: Width of one head [L].
      causal: 1 where a position attends to none behind it [L].
      rotary: 1 where queries and keys are rotated by their position [L].
      relative_buckets: Buckets of distances with a bias for each head [L].
      memory_length: Length of the other sequence that is attended to, 0 where there is none [L].
      memory_channels: Width of that sequence [L].
      cached: Positions whose keys and values are read, not computed [L].
      hidden: Hidden width of a feed-forward layer [L].
      gated: 1 where the hidden values are gated by another product [L].
      vocabulary: Rows of an embedding's table of tokens [L].
      positions: Rows of its table of positions [L].
      segments: Rows of its table of segments [L].
      shared: 1 where the table of tokens, or an inner product's weights, are another layer's [L].
      own_kind: Number of its kind in `kinds.KINDS`, of a registered type; the rest likewise [L].
      own_flops: Operations of its forward pass [FLOP], [L].
      own_elements: Numbers that it moves beside inputs, output and parameters [L].
      own_parameters: Its trainable parameters [L].
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
    heads: Array = None
    key_value_heads: Array = None
    head_width: Array = None
    causal: Array = None
    rotary: Array = None
    relative_buckets: Array = None
    memory_length: Array = None
    memory_channels: Array = None
    cached: Array = None
    hidden: Array = None
    gated: Array = None
    vocabulary: Array = None
    positions: Array = None
    segments: Array = None
    shared: Array = None
    own_kind: Array = None
    own_flops: Array = None
    own_elements: Array = None
    own_parameters: Array = None

    def __post_init__(self):
        for name in (*sequence_rows.Columns._fields, *registered_rows.Columns._fields):
            if getattr(self, name) is None and self.batch is not None:
                object.__setattr__(self, name, 0.0 * self.batch)

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
    def keys(self) -> Array:
        """Return the positions that an attention attends to, cached ones included [L]."""
        xp = self.namespace
        own = self.in_height * self.in_width + self.cached
        return xp.where(self.memory_length > 0, self.memory_length, own)

    @property
    def key_channels(self) -> Array:
        """Return the width of what keys and values are computed from [L]."""
        xp = self.namespace
        return xp.where(self.memory_length > 0, self.memory_channels, self.in_channels)

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

    def may_hold(self, *operations: Operation) -> bool:
        """Return whether any row may be one of some operations; traced rows may be anything."""
        if array_namespace(self.operation) is not np:
            return True
        return bool(np.any(self.is_any(*operations)))

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


def _sequence(layer: Layer, shapes: Shapes) -> tuple[Shape, tuple]:
    """Return the input's sizes and the common columns of a layer of a transformer."""
    found = sequence_rows.common(layer, shapes)
    window = (found.window, *window_rows.NONE[1:])
    return _folded(found.source), (*window, found.bias, found.activation, False, 1)


def _row(
    layer: Layer, shapes: Shapes, sources: Collection[str], compat: shape_rules.Compat
) -> tuple:
    """Return one row, in the order of LayerTable's fields."""
    operation = OPERATION_OF_TYPE.get(layer.type, Operation.UNKNOWN)
    own = registered_rows.NONE
    if compat is None and layer_types.find(layer.type) is not None:
        operation, own = Operation.REGISTERED, registered_rows.columns(layer, shapes)
    source, output = shapes.inputs[0], shapes.output
    in_sizes, out_sizes = _folded(source), _folded(output)
    if operation == Operation.CONVOLUTION:
        rest = window_rows.convolution(layer, source, output)
    elif operation == Operation.DECONVOLUTION:
        rest = window_rows.deconvolution(layer, source, output)
    elif operation == Operation.INNER_PRODUCT:
        inner = layer_views.inner_product(layer)
        if not inner.per_position:
            in_sizes = (1, 1, math.prod(source[1:]))
        rest = (*window_rows.NONE, inner.use_bias, inner.activation is not None, False, 1)
    elif operation in (Operation.POOLING, Operation.AVERAGE_POOLING):
        rest = window_rows.pool(layer, source, output, compat)
    elif layer.type in sequence_layers.TYPES:
        in_sizes, rest = _sequence(layer, shapes)
    else:
        inputs = len(shapes.inputs)
        if operation == Operation.CONCATENATE:
            in_sizes, inputs = out_sizes, 1
        activated = operation in _ACTIVATED and layer_views.activation(layer) is not None
        rest = (*window_rows.NONE, False, activated, False, inputs)
    beyond = sequence_rows.columns(layer, shapes)
    both = all if beyond.memory_length else any
    first = both(parent in sources for parent in layer.parents)
    return int(operation), output[0], *in_sizes, *out_sizes, *rest, first, *beyond, *own


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
