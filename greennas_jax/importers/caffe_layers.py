"""Caffe's layers as layers of the specification.

What each field means is stated in Caffe's `caffe.proto` and in the layers' sources (Jia et al.,
"Caffe: Convolutional architecture for fast feature embedding", ACM MM 2014). Convolution rounds its
output down, pooling rounds up (`PoolingLayer::Reshape`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from greennas_jax.importers import draft as drafts
from greennas_jax.importers import fields, folding, windows
from greennas_jax.importers.draft import Draft
from greennas_jax.importers.text_format import Message, Place, error_at
from greennas_jax.importers.windows import Pair

_FILLERS = ("weight_filler", "bias_filler")
_CONVOLUTION = (
    *("num_output", "bias_term", "pad", "pad_h", "pad_w", "kernel_size", "kernel_h", "kernel_w"),
    *("stride", "stride_h", "stride_w", "dilation", "group", "engine", "axis", "force_nd_im2col"),
    *_FILLERS,
)
_POOLING = (
    *("pool", "pad", "pad_h", "pad_w", "kernel_size", "kernel_h", "kernel_w", "stride", "stride_h"),
    *("stride_w", "engine", "global_pooling", "round_mode", "ceil_mode"),
)
_INNER_PRODUCT = ("num_output", "bias_term", "axis", "transpose", *_FILLERS)
# Layers that change their input's shape in ways the specification has no layer for.
RESHAPING = (
    *("Slice", "Crop", "ArgMax", "Reduction", "Tile", "SPP", "Im2col", "Embed", "LSTM", "RNN"),
    *("Recurrent", "BatchReindex", "Filter", "Permute", "Interp", "Upsample", "ROIPooling"),
    *("PriorBox", "DetectionOutput", "Parameter", "Unpooling", "PSROIPooling", "Proposal"),
)


class LayerText(NamedTuple):
    """One layer as its text states it."""

    name: str
    type: str
    message: Message

    @property
    def place(self) -> Place:
        """Where the layer stands."""
        return self.message.place


Parents = tuple[str, ...]
Converter = Callable[[Draft, LayerText, Parents], str]


def parameters(draft: Draft, layer: LayerText, name: str, known: tuple[str, ...]) -> Message:
    """Return a layer's parameter message; fields that are not known are noted."""
    message = fields.part(layer.message, name)
    for field in message.fields:
        if field.name not in known:
            draft.notes.append(
                f"line {field.place.line}: '{field.name}' of {name} is not known and not read"
            )
    return message


def _pair(message: Message, both: str, stem: str, default: int | None, least: int) -> Pair:
    """Return (height, width), written as one field for both, a list of two, or one field each."""
    height, width = f"{stem}_h", f"{stem}_w"
    sizes = fields.integers(message, both, least)
    if fields.has(message, height, width):
        if sizes:
            raise error_at(message.place, f"'{both}' and '{height}', '{width}'; one way is allowed")
        if default is None:
            return (
                fields.needed_integer(message, height, least),
                fields.needed_integer(message, width, least),
            )
        return (
            fields.integer(message, height, default, least),
            fields.integer(message, width, default, least),
        )
    if len(sizes) > 2:
        raise error_at(message.place, f"'{both}' has {len(sizes)} sizes; 1 or 2 are allowed")
    if not sizes:
        if default is None:
            raise error_at(message.place, f"'{both}' is missing; a whole number is needed")
        sizes = [default]
    return sizes[0], sizes[-1]


def _image(draft: Draft, layer: LayerText, parent: str) -> tuple[int, int, int, int]:
    """Return a parent's NHWC shape."""
    shape = draft.shapes[parent]
    if len(shape) != 4:
        raise error_at(layer.place, f"input {list(shape)} is no image of four sizes")
    return shape[0], shape[1], shape[2], shape[3]


def _shifted(draft: Draft, layer: LayerText, fit: windows.Fit) -> Any:
    if not fit.exact:
        draft.notes.append(
            f"layer '{layer.name}': its windows are shifted, as padding {fit.padding} is the "
            "nearest with this output size; shapes and costs are the same"
        )
    return fit.padding


def _convolution_fields(draft: Draft, layer: LayerText) -> tuple[Message, Pair, Pair, Pair]:
    """Return a convolution's message, kernel, strides and padding."""
    message = parameters(draft, layer, "convolution_param", _CONVOLUTION)
    for field in fields.all_of(message, "dilation"):
        if fields.as_integer(field, 1) != 1:
            raise error_at(field.place, "dilated convolution is not supported; 'dilation' 1 is")
    if fields.integer(message, "axis", 1) != 1:
        raise error_at(message.place, "'axis' of a convolution must be 1, its channels")
    kernel = _pair(message, "kernel_size", "kernel", None, 1)
    strides = _pair(message, "stride", "stride", 1, 1)
    return message, kernel, strides, _pair(message, "pad", "pad", 0, 0)


def _with_bias(message: Message) -> dict[str, Any]:
    return {} if fields.flag(message, "bias_term", True) else {"use_bias": False}


def _convolution(draft: Draft, layer: LayerText, parents: Parents) -> str:
    _, height, width, channels = _image(draft, layer, parents[0])
    message, kernel, strides, pads = _convolution_fields(draft, layer)
    outputs = fields.needed_integer(message, "num_output")
    depthwise = layer.type in ("DepthwiseConvolution", "ConvolutionDepthwise")
    groups = fields.integer(message, "group", channels if depthwise else 1, 1)
    size = (
        windows.floor_size(height, kernel[0], strides[0], 2 * pads[0]),
        windows.floor_size(width, kernel[1], strides[1], 2 * pads[1]),
    )
    fit = windows.fit((height, width), kernel, strides, pads, size)
    attributes = {
        "filter": [*kernel, channels, outputs],
        "strides": [1, *strides, 1],
        "padding": _shifted(draft, layer, fit),
        **({"groups": groups} if groups != 1 else {}),
        **_with_bias(message),
        "activation_fn": None,
    }
    return drafts.add(draft, layer.name, "Convolution", parents, attributes)


def _deconvolution(draft: Draft, layer: LayerText, parents: Parents) -> str:
    batch, height, width, channels = _image(draft, layer, parents[0])
    message, kernel, strides, pads = _convolution_fields(draft, layer)
    outputs = fields.needed_integer(message, "num_output")
    if fields.integer(message, "group", 1, 1) != 1:
        raise error_at(message.place, "a Deconvolution with groups is not supported; 'group' 1 is")
    size = (
        strides[0] * (height - 1) + kernel[0] - 2 * pads[0],
        strides[1] * (width - 1) + kernel[1] - 2 * pads[1],
    )
    fit = windows.fit(size, kernel, strides, pads, (height, width))
    attributes = {
        "filter": [*kernel, outputs, channels],
        "strides": [1, *strides, 1],
        "padding": fit.padding,
        "output_shape": [batch, *size, outputs],
        **_with_bias(message),
        "activation_fn": None,
    }
    return drafts.add(draft, layer.name, "Deconvolution", parents, attributes)


def _pooling(draft: Draft, layer: LayerText, parents: Parents) -> str:
    _, *sizes, _ = _image(draft, layer, parents[0])
    size = (sizes[0], sizes[1])
    message = parameters(draft, layer, "pooling_param", _POOLING)
    method = fields.choice(message, "pool", ("MAX", "AVE", "STOCHASTIC"), "MAX")
    if method == "STOCHASTIC":
        draft.notes.append(f"layer '{layer.name}': stochastic pooling is read as an average")
    kind = "Pooling" if method == "MAX" else "AvgPool"
    if fields.flag(message, "global_pooling", False):
        if fields.has(message, "kernel_size", "kernel_h", "kernel_w"):
            raise error_at(message.place, "global pooling with a kernel; one of them is allowed")
        attributes = {"ksize": [1, *size, 1], "strides": [1, 1, 1, 1], "padding": "VALID"}
        return drafts.add(draft, layer.name, kind, parents, attributes)
    kernel = _pair(message, "kernel_size", "kernel", None, 1)
    strides = _pair(message, "stride", "stride", 1, 1)
    pads = _pair(message, "pad", "pad", 0, 0)
    rounding = fields.choice(message, "round_mode", ("CEIL", "FLOOR"), "CEIL")
    up = fields.flag(message, "ceil_mode", rounding == "CEIL")
    output = tuple(
        windows.ceil_size(n, k, s, p, p) if up else windows.floor_size(n, k, s, 2 * p)
        for n, k, s, p in zip(size, kernel, strides, pads, strict=True)
    )
    if min(output) < 1:
        raise error_at(message.place, f"window {list(kernel)} is larger than its input {sizes}")
    out = (output[0], output[1])
    kernel, pads = windows.covering(size, kernel, pads, out)
    fit = windows.fit(size, kernel, strides, pads, out)
    attributes = {
        "ksize": [1, *kernel, 1],
        "strides": [1, *strides, 1],
        "padding": _shifted(draft, layer, fit),
    }
    return drafts.add(draft, layer.name, kind, parents, attributes)


def _inner_product(draft: Draft, layer: LayerText, parents: Parents) -> str:
    message = parameters(draft, layer, "inner_product_param", _INNER_PRODUCT)
    if fields.integer(message, "axis", 1) != 1:
        raise error_at(message.place, "'axis' of an InnerProduct must be 1")
    attributes = {
        "num_outputs": fields.needed_integer(message, "num_output"),
        **_with_bias(message),
        "activation_fn": None,
    }
    return drafts.add(draft, layer.name, "InnerProduct", parents, attributes)


def _activation(draft: Draft, layer: LayerText, parents: Parents) -> str:
    """Add an activation as a layer of its own, which folding may put into the one before."""
    kinds = {"ReLU": "relu", "ReLU6": "relu6", "Sigmoid": "sigmoid", "TanH": "tanh"}
    shape = draft.shapes[parents[0]]
    if layer.type == "Sigmoid" and len(shape) == 2 and shape[1] == 1:
        return drafts.add(draft, layer.name, "Sigmoid", parents)
    attributes: dict[str, Any] = {"activation_fn": kinds[layer.type]}
    if layer.type == "ReLU":
        message = parameters(draft, layer, "relu_param", ("negative_slope", "engine"))
        slope = fields.number(message, "negative_slope", 0.0)
        if slope:
            attributes["negative_slope"] = slope
            draft.notes.append(
                f"layer '{layer.name}': a leaky ReLU costs what a ReLU does and is read as one"
            )
    return drafts.add(draft, layer.name, folding.ACTIVATION, parents, attributes)


def _lrn(draft: Draft, layer: LayerText, parents: Parents) -> str:
    known = ("local_size", "alpha", "beta", "norm_region", "k", "engine")
    message = parameters(draft, layer, "lrn_param", known)
    attributes = {
        "local_size": fields.integer(message, "local_size", 5, 1),
        "alpha": fields.number(message, "alpha", 1.0),
        "beta": fields.number(message, "beta", 0.75),
        "norm_region": fields.choice(
            message, "norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL"), "ACROSS_CHANNELS"
        ),
    }
    return drafts.add(draft, layer.name, "LRN", parents, attributes)


def _dropout(draft: Draft, layer: LayerText, parents: Parents) -> str:
    message = parameters(draft, layer, "dropout_param", ("dropout_ratio", "scale_train"))
    ratio = fields.number(message, "dropout_ratio", 0.5)
    if not 0 <= ratio < 1:
        raise error_at(message.place, f"'dropout_ratio' is {ratio}; from 0, below 1 is needed")
    attributes = {"dropout_keep_prob": round(1 - ratio, 12)}
    return drafts.add(draft, layer.name, "Dropout", parents, attributes)


def _concat(draft: Draft, layer: LayerText, parents: Parents) -> str:
    message = parameters(draft, layer, "concat_param", ("axis", "concat_dim"))
    if len(parents) == 1:
        return parents[0]
    axis = _axis(message, "axis", fields.integer(message, "concat_dim", 1))
    dim = drafts.nhwc_axis(axis, len(draft.shapes[parents[0]]))
    return drafts.add(draft, layer.name, "Concatenate", parents, {"dim": dim})


def _axis(message: Message, name: str, default: int) -> int:
    """Return an axis, which may count from the end."""
    field = fields.one(message, name)
    return default if field is None else fields.as_integer(field, -8)


def _eltwise(draft: Draft, layer: LayerText, parents: Parents) -> str:
    known = ("operation", "coeff", "stable_prod_grad")
    message = parameters(draft, layer, "eltwise_param", known)
    operation = fields.choice(message, "operation", ("PROD", "SUM", "MAX"), "SUM")
    attributes: dict[str, Any] = {"activation_fn": None}
    if operation != "SUM":
        attributes["operation"] = operation.lower()
        draft.notes.append(
            f"layer '{layer.name}': {operation} of its inputs costs what their sum does and is "
            "read as one"
        )
    return drafts.add(draft, layer.name, "Elementwise", parents, attributes)


def _batch_norm(draft: Draft, layer: LayerText, parents: Parents) -> str:
    return drafts.add(draft, layer.name, folding.NORMALIZATION, parents)


def _softmax(draft: Draft, layer: LayerText, parents: Parents) -> str:
    shape = draft.shapes[parents[0]]
    message = parameters(draft, layer, "softmax_param", ("axis", "engine"))
    axis = drafts.nhwc_axis(_axis(message, "axis", 1), len(shape))
    for other in draft.layers.values():
        if other.type == "Softmax" and other.parents == parents:
            return other.name
    if math.prod(shape[1:-1]) > 1 or axis != len(shape) - 1:
        return drafts.add(draft, layer.name, "SpatialSoftmax", parents)
    return drafts.add(draft, layer.name, "Softmax", parents, {"num_classes": shape[-1]})


def _reshaped(draft: Draft, layer: LayerText, parent: str, shape: list[int]) -> str:
    """Add a reshape to an NCHW shape, whose first size stays open where it is the batch."""
    source = draft.shapes[parent]
    if math.prod(source) != math.prod(shape) or min(shape, default=0) < 1:
        now = list(drafts.nchw(source))
        raise error_at(layer.place, f"{now} cannot become {shape}")
    target = list(drafts.nhwc(shape))
    if target == list(source):
        return parent
    if target[0] == source[0]:
        target[0] = -1
    return drafts.add(draft, layer.name, "Reshape", (parent,), {"output_shape": target})


def _flatten(draft: Draft, layer: LayerText, parents: Parents) -> str:
    message = parameters(draft, layer, "flatten_param", ("axis", "end_axis"))
    shape = list(drafts.nchw(draft.shapes[parents[0]]))
    first, last = _axis(message, "axis", 1), _axis(message, "end_axis", -1)
    first, last = (axis + len(shape) if axis < 0 else axis for axis in (first, last))
    if not 0 <= first <= last < len(shape):
        raise error_at(message.place, f"axes {first} to {last} of {shape} cannot be flattened")
    flat = [*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]]
    return _reshaped(draft, layer, parents[0], flat)


def _reshape(draft: Draft, layer: LayerText, parents: Parents) -> str:
    message = parameters(draft, layer, "reshape_param", ("shape", "axis", "num_axes"))
    shape = list(drafts.nchw(draft.shapes[parents[0]]))
    first, count = _axis(message, "axis", 0), _axis(message, "num_axes", -1)
    first = first + len(shape) + 1 if first < 0 else first
    last = len(shape) if count < 0 else first + count
    if not 0 <= first <= last <= len(shape):
        raise error_at(message.place, f"'axis' {first}, 'num_axes' {count} of {shape}")
    dims = fields.all_of(fields.part(message, "shape"), "dim")
    sizes = [fields.as_integer(dim, -1) for dim in dims]
    for index, value in enumerate(sizes):
        if value == 0:
            if first + index >= len(shape):
                raise error_at(dims[index].place, f"'dim' 0 keeps no size of {shape}")
            sizes[index] = shape[first + index]
    whole = [*shape[:first], *sizes, *shape[last:]]
    if whole.count(-1) > 1:
        raise error_at(message.place, f"'shape' {sizes} leaves two sizes open; one may be")
    if -1 in whole:
        known = math.prod(size for size in whole if size != -1)
        whole[whole.index(-1)] = math.prod(shape) // max(known, 1)
    return _reshaped(draft, layer, parents[0], whole)


def _scale(draft: Draft, layer: LayerText, parents: Parents) -> str:
    if len(parents) != 1:
        raise error_at(layer.place, f"layer '{layer.name}': Scale by another blob is not supported")
    return drafts.add(draft, layer.name, folding.SCALE, parents)


CONVERTERS: dict[str, Converter] = {
    "Convolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Deconvolution": _deconvolution,
    "Pooling": _pooling,
    "InnerProduct": _inner_product,
    "ReLU": _activation,
    "ReLU6": _activation,
    "Sigmoid": _activation,
    "TanH": _activation,
    "LRN": _lrn,
    "Dropout": _dropout,
    "Concat": _concat,
    "Eltwise": _eltwise,
    "BatchNorm": _batch_norm,
    "BN": _batch_norm,
    "Scale": _scale,
    "Softmax": _softmax,
    "SoftmaxWithLoss": _softmax,
    "Flatten": _flatten,
    "Reshape": _reshape,
}
READ_SEVERAL = ("Concat", "Eltwise", "Scale")
