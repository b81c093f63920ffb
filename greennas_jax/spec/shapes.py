"""Shape inference: what each layer reads and writes, NHWC.

Rules are Paleo's (section C of its formulas): VALID o = ceil((n - k + 1) / s), SAME
o = ceil(n / s), list padding o = (n + 2p - k) // s + 1. Unknown layer types pass their first input
through. Two of its rules are put right unless `compat="paleo"` asks for them: a pooling window
larger than its input covers the input (Paleo's output has no size there; networks converted from
Caffe, which rounds pooled sizes up, have such windows), and a Reshape may leave the batch and one
more size open (Paleo leaves that one at -1).
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from greennas_jax.spec import layer_types, limits, sequence_layers, sequence_shapes
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import (
    PARALLEL_TYPE,
    SOURCE_TYPE,
    Layer,
    Network,
    SpecError,
    shown,
    topological_order,
)

Shape = tuple[int, ...]
Compat = Literal["paleo"] | None
LARGEST_OUTPUT = limits.LARGEST_OUTPUT


class Shapes(NamedTuple):
    """Shapes of one layer: one per parent (for an Input its own), and its output."""

    inputs: tuple[Shape, ...]
    output: Shape


def output_size(size: int, kernel: int, stride: int, padding: layer_views.Padding | int) -> int:
    """Return the output size of a convolution or pooling along one dimension.

    Args:
      size: Input size.
      kernel: Kernel size.
      stride: Stride.
      padding: "VALID", "SAME", or the padding per side.

    Examples:
      >>> output_size(28, 5, 1, "VALID"), output_size(28, 5, 2, "SAME"), output_size(28, 5, 2, 2)
      (24, 14, 14)
    """
    if padding == "VALID":
        return -((kernel - size - 1) // stride)
    if padding == "SAME":
        return -(-size // stride)
    return (size + 2 * int(padding) - kernel) // stride + 1  # pyright: ignore[reportArgumentType] -- a pair never reaches here


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zero padding (before, after) of SAME along one dimension."""
    total = max((output_size(size, kernel, stride, "SAME") - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_amounts(
    padding: layer_views.Padding, size: tuple[int, int], kernel: tuple[int, int], strides: tuple
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) zero padding for a spatial window."""
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding == "SAME":
        return (
            same_padding(size[0], kernel[0], strides[0]),
            same_padding(size[1], kernel[1], strides[1]),
        )
    return (padding[0], padding[0]), (padding[1], padding[1])


def window_output(
    layer: Layer,
    shape: Shape,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: layer_views.Padding,
    *,
    compat: Compat = None,
) -> tuple[int, int]:
    """Return the output height and width of a window sliding over an NHWC input.

    Raises:
      SpecError: If the input is not NHWC or, unless `compat` is "paleo", the output has no size.
    """
    if len(shape) != 4:
        raise SpecError(f"layer '{layer.name}' ({layer.type}): input {list(shape)} is not NHWC")
    sizes = []
    for axis in (0, 1):
        mode = padding if isinstance(padding, str) else padding[axis]
        sizes.append(output_size(shape[1 + axis], kernel[axis], strides[axis], mode))
    if min(sizes) < 1 and compat is None:
        pads = padding if isinstance(padding, tuple) else (0, 0)
        largest = [shape[1 + axis] + 2 * pads[axis] for axis in (0, 1)]
        raise SpecError(
            f"layer '{layer.name}': kernel {list(kernel)} is larger than its input {list(shape)}; "
            f"at most the padded input {largest} is allowed"
        )
    return sizes[0], sizes[1]


def pool_kernel(view: layer_views.Pool, shape: Shape) -> tuple[int, int]:
    """Return a pooling layer's window, clipped to its (padded) NHWC input."""
    if view.padding == "SAME" or len(shape) != 4:
        return view.kernel
    pad = (0, 0) if view.padding == "VALID" else view.padding
    return (
        min(view.kernel[0], shape[1] + 2 * int(pad[0])),
        min(view.kernel[1], shape[2] + 2 * int(pad[1])),
    )


def _pool(layer: Layer, shape: Shape, compat: Compat) -> Shape:
    view = layer_views.pool(layer)
    kernel = view.kernel if compat == "paleo" else pool_kernel(view, shape)
    size = window_output(layer, shape, kernel, view.strides, view.padding, compat=compat)
    return shape[0], *size, shape[3]


def _convolution(layer: Layer, shape: Shape, compat: Compat) -> Shape:
    view = layer_views.convolution(layer)
    height, width = window_output(
        layer, shape, view.kernel, view.strides, view.padding, compat=compat
    )
    if view.in_channels not in (-1, shape[3]):
        raise SpecError(
            f"layer '{layer.name}': filter {list(layer.attributes['filter'])} wants "
            f"{view.in_channels} input channels; its input from '{layer.parents[0]}' "
            f"{list(shape)} has {shape[3]}"
        )
    if shape[3] % view.groups:
        raise SpecError(
            f"layer '{layer.name}': {view.groups} groups do not divide {shape[3]} input channels"
        )
    return shape[0], height, width, view.out_channels


def _deconvolution(layer: Layer, shape: Shape) -> Shape:
    """Return the output of a deconvolution: the input of the convolution it transposes."""
    height, width, out_channels, in_channels = layer_views.integers(layer, "filter", 4)
    output = tuple(layer_views.integers(layer, "output_shape", 4))
    _, *strides, _ = layer_views.integers(layer, "strides", 4)
    padding = layer_views.padding(layer)
    size = window_output(layer, output, (height, width), (strides[0], strides[1]), padding)
    if output[3] != out_channels or shape[1:] != (*size, in_channels):
        raise SpecError(
            f"layer '{layer.name}': filter {[height, width, out_channels, in_channels]} and "
            f"'output_shape' {list(output)} want an input of {[*size, in_channels]}; its input "
            f"from '{layer.parents[0]}' is {list(shape)}"
        )
    return output


def _reshape(layer: Layer, shape: Shape, compat: Compat) -> Shape:
    target = layer.attributes.get("output_shape")
    allowed = "a list of sizes, -1 for the batch in front and for one unknown size"
    if not isinstance(target, (list, tuple)) or not target:
        raise SpecError(
            f"layer '{layer.name}': 'output_shape' is {shown(target)}; allowed: {allowed}"
        )
    if not all(layer_views.is_integer(t) and (t == -1 or t >= 1) for t in target):
        raise SpecError(
            f"layer '{layer.name}': 'output_shape' is {shown(target)}; allowed: {allowed}"
        )
    sizes = list(target)
    if compat == "paleo":
        if sizes[0] == -1:
            sizes[0] = shape[0]
        elif sizes[-1] == -1:
            sizes[-1] = math.prod(shape) // sizes[0]
        return tuple(sizes)
    if sizes[0] == -1:
        sizes[0] = shape[0]
    if sizes.count(-1) > 1:
        raise SpecError(
            f"layer '{layer.name}': 'output_shape' is {shown(target)}; allowed: {allowed}"
        )
    known = math.prod(s for s in sizes if s != -1)
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = math.prod(shape) // known
    if math.prod(sizes) != math.prod(shape):
        raise SpecError(
            f"layer '{layer.name}': {list(shape)} from '{layer.parents[0]}' cannot become "
            f"{list(target)}"
        )
    return tuple(sizes)


def _concatenate(layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
    rank = len(inputs[0])
    axis = layer.attributes.get("dim", 3 if rank == 4 else 1)
    if len(inputs) < 2:
        raise SpecError(f"layer '{layer.name}': Concatenate has one parent; two or more needed")
    if not layer_views.is_integer(axis) or not 0 <= axis < rank:
        raise SpecError(f"layer '{layer.name}': 'dim' is {shown(axis)}; allowed: 0 to {rank - 1}")
    for parent, shape in zip(layer.parents, inputs, strict=True):
        rest = shape[:axis] + shape[axis + 1 :]
        if len(shape) != rank or rest != inputs[0][:axis] + inputs[0][axis + 1 :]:
            raise SpecError(
                f"layer '{layer.name}': '{layer.parents[0]}' {list(inputs[0])} and '{parent}' "
                f"{list(shape)} cannot be concatenated along {axis}"
            )
    return inputs[0][:axis] + (sum(shape[axis] for shape in inputs),) + inputs[0][axis + 1 :]


def _elementwise(layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
    for parent, shape in zip(layer.parents, inputs, strict=True):
        if shape != inputs[0]:
            raise SpecError(
                f"layer '{layer.name}': '{layer.parents[0]}' {list(inputs[0])} and '{parent}' "
                f"{list(shape)} differ; Elementwise needs equal shapes"
            )
    return inputs[0]


def _softmax(layer: Layer, shape: Shape, compat: Compat) -> Shape:
    classes = layer.attributes.get("num_classes")
    if classes is None:
        return shape if len(shape) == 3 and compat is None else (shape[0], shape[-1])
    if not layer_views.is_integer(classes) or classes < 1:
        raise SpecError(f"layer '{layer.name}': 'num_classes' is {shown(classes)}; allowed: from 1")
    return shape[0], classes


def _input(layer: Layer) -> Shape:
    tensor = layer.attributes.get("tensor")
    length = len(tensor) if isinstance(tensor, (list, tuple)) and 2 <= len(tensor) <= 8 else 4
    return tuple(layer_views.integers(layer, "tensor", length))


def _upsampling(layer: Layer, shape: Shape) -> Shape:
    _, height, width, _ = layer_views.integers(layer, "ksize", 4)
    if len(shape) != 4:
        raise SpecError(f"layer '{layer.name}' ({layer.type}): input {list(shape)} is not NHWC")
    return shape[0], shape[1] * height, shape[2] * width, shape[3]


def layer_output(layer: Layer, inputs: tuple[Shape, ...], *, compat: Compat = None) -> Shape:
    """Return the output shape of one layer.

    Args:
      layer: The layer.
      inputs: Shapes of its parents' outputs, in order; empty for an Input.
      compat: "paleo" for Paleo's own sizes where they make no sense (zero, negative or open).

    Raises:
      SpecError: If an attribute is malformed or the shapes do not fit.
    """
    kind = layer.type
    if kind == SOURCE_TYPE:
        return _input(layer)
    if kind == PARALLEL_TYPE:
        raise SpecError(
            f"layer '{layer.name}' is a ModelParallel, which stands for layers on several "
            "devices; profile.py and scale.py cost it, elsewhere write its layers out"
        )
    if kind == "Concatenate":
        return _concatenate(layer, inputs)
    if kind == "Elementwise":
        layer_views.activation(layer)
        return _elementwise(layer, inputs)
    if kind in sequence_layers.TYPES:
        return sequence_shapes.output(layer, inputs)
    registered = layer_types.find(kind)
    if registered is not None:
        return layer_types.output(registered, layer, inputs)
    if len(inputs) != 1:
        raise SpecError(f"layer '{layer.name}' ({kind}) has {len(inputs)} parents; one needed")
    shape = inputs[0]
    if kind == "Convolution":
        return _convolution(layer, shape, compat)
    if kind == "Deconvolution":
        return _deconvolution(layer, shape)
    if kind in ("Pooling", "AvgPool"):
        return _pool(layer, shape, compat)
    if kind == "InnerProduct":
        view = layer_views.inner_product(layer)
        rest = sequence_shapes.sequence(layer, shape)[:2] if view.per_position else shape[:1]
        return *rest, view.out_features
    if kind == "Reshape":
        return _reshape(layer, shape, compat)
    if kind == "Softmax":
        return _softmax(layer, shape, compat)
    if kind == "Sigmoid":
        return shape[0], 1
    if kind == "UpSampling2D":
        return _upsampling(layer, shape)
    if kind == "Dropout":
        layer_views.keep_probability(layer)
    return shape


def infer(
    network: Network, batch_size: int | None = None, *, compat: Compat = None
) -> dict[str, Shapes]:
    """Return the shapes of every layer, in topological order.

    Args:
      network: A network whose graph is valid.
      batch_size: Replaces the batch size of every input where given.
      compat: "paleo" for Paleo's own sizes where they make no sense (zero, negative or open).

    Raises:
      SpecError: If shapes or channels disagree (the layers and both shapes are named), or the
        network holds a ModelParallel.
    """
    for layer in network.layers:
        if layer.type == PARALLEL_TYPE:
            layer_output(layer, ())
    found: dict[str, Shapes] = {}
    order = topological_order(network)
    by_name = {layer.name: layer for layer in order}
    if batch_size is not None:
        batches = given_batches(order)
        order = tuple(with_batch(layer, batches, batch_size) for layer in order)
    for layer in order:
        inputs = tuple(found[parent].output for parent in layer.parents)
        output = layer_output(layer, inputs, compat=compat)
        if math.prod(output) > LARGEST_OUTPUT:
            raise SpecError(
                f"layer '{layer.name}': output {list(output)} is too large; at most "
                f"{LARGEST_OUTPUT} elements are allowed"
            )
        if inputs:
            sequence_shapes.check_shared_weights(layer, inputs[0], output, by_name)
        found[layer.name] = Shapes(inputs or (output,), output)
    return found


def given_batches(layers: Iterable[Layer]) -> frozenset[int]:
    """Return the batch sizes that the inputs among some layers name."""
    tensors = (layer.attributes.get("tensor") for layer in layers if layer.type == SOURCE_TYPE)
    return frozenset(t[0] for t in tensors if isinstance(t, (list, tuple)) and t)


def with_batch(layer: Layer, given: Collection[int], batch_size: int) -> Layer:
    """Return a layer whose own text names the batch, for another batch size.

    Args:
      layer: The layer.
      given: Batch sizes that the network's inputs name; a Reshape to another first size is kept.
      batch_size: The batch size that replaces them.
    """
    key = {SOURCE_TYPE: "tensor", "Deconvolution": "output_shape", "Reshape": "output_shape"}.get(
        layer.type
    )
    value = layer.attributes.get(key) if key else None
    if key is None or not isinstance(value, (list, tuple)) or not value:
        return layer
    if layer.type == "Reshape" and value[0] not in given:
        return layer
    return layer.with_attributes(**{key: [batch_size, *value[1:]]})


def batch_size(shapes: Mapping[str, Shapes]) -> int:
    """Return the batch size of the first input."""
    return next(iter(shapes.values())).output[0]
