"""What each layer of an image network is in ONNX; tensors of rank 4 are NCHW inside."""

from typing import Any, NamedTuple

import numpy as np

from greennas_jax.build import graph, operations
from greennas_jax.export import flax_layers, names
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import SpecError

INPUT, OUTPUT = "images", "logits"
_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
_SEQUENCES = ("Embedding", "LayerNorm", "MultiHeadAttention", "FeedForward", "SequencePool")


class Operation(NamedTuple):
    """One operation of ONNX with one output."""

    kind: str
    inputs: list[str]
    output: str
    options: dict[str, Any]


class Writing(NamedTuple):
    """A graph in the making.

    Attributes:
      names: Identifiers of the layers; their outputs are called so.
      values: All weights by name.
      made: Operations so far.
      constants: Weights and constants that they read.
    """

    names: names.Names
    values: dict[str, np.ndarray]
    made: list[Operation]
    constants: dict[str, np.ndarray]


def _add(writing: Writing, kind: str, inputs: list[str], **options: Any) -> str:
    output = f"t{len(writing.made)}"
    writing.made.append(Operation(kind, inputs, output, options))
    return output


def _constant(writing: Writing, name: str, value: np.ndarray) -> str:
    writing.constants[name] = np.ascontiguousarray(value)
    return name


def _weight(writing: Writing, name: str) -> str:
    return _constant(writing, name, writing.values[name])


def _number(writing: Writing, value: float) -> str:
    return _constant(writing, f"number_{value!r}", np.array(value, np.float32))


def _shape(writing: Writing, sizes: tuple[int, ...]) -> str:
    name = "shape_" + "_".join(map(str, sizes))
    return _constant(writing, name, np.array([0, *sizes], np.int64))


def add(writing: Writing, node: graph.Node) -> None:
    """Add a layer; its output is named like the layer's identifier.

    Raises:
      SpecError: If it has no counterpart.
    """
    if node.type in _SEQUENCES or any(len(shape) not in (2, 4) for shape in node.inputs):
        raise SpecError(
            f"layer '{node.name}' ({node.type}): sequences cannot be written as ONNX; networks of "
            "images and of features can"
        )
    inputs = [writing.names.layers[parent] for parent in node.parents]
    out = _activated(writing, node, _layer(writing, node, inputs))
    writing.made.append(Operation("Identity", [out], writing.names.layers[node.name], {}))


def finish(writing: Writing, end: graph.Node) -> None:
    """Add the mean over positions, and name the output."""
    out = _positions_mean(writing, writing.names.layers[end.name], len(end.output))
    writing.made.append(Operation("Identity", [out], OUTPUT, {}))


def _positions_mean(writing: Writing, value: str, rank: int) -> str:
    if rank == 2:
        return value
    return _add(writing, "ReduceMean", [value], axes=[2, 3], keepdims=0)


def _activated(writing: Writing, node: graph.Node, value: str) -> str:
    match node.activation:
        case None:
            return value
        case "relu6":
            limits = [_number(writing, 0.0), _number(writing, 6.0)]
            return _add(writing, "Clip", [value, *limits])
        case "silu":
            return _add(writing, "Mul", [value, _add(writing, "Sigmoid", [value])])
        case "gelu":
            return _gelu(writing, value)
    return _add(writing, _ACTIVATIONS[node.activation], [value])


def _gelu(writing: Writing, value: str) -> str:
    """Add x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel 2016)."""
    square = _add(writing, "Mul", [value, value])
    cubic = _add(writing, "Mul", [square, _number(writing, 0.044715)])
    factor = _add(writing, "Add", [cubic, _number(writing, 1.0)])
    inner = _add(writing, "Mul", [value, factor])
    scaled = _add(writing, "Mul", [inner, _number(writing, float(np.sqrt(2 / np.pi)))])
    gate = _add(writing, "Add", [_add(writing, "Tanh", [scaled]), _number(writing, 1.0)])
    half = _add(writing, "Mul", [value, _number(writing, 0.5)])
    return _add(writing, "Mul", [half, gate])


def _layer(writing: Writing, node: graph.Node, inputs: list[str]) -> str:
    match node.type:
        case "Input":
            is_image = len(node.output) == 4
            return _add(writing, "Transpose", [INPUT], perm=_TO_NCHW) if is_image else INPUT
        case "Convolution":
            return _convolution(writing, node, inputs[0])
        case "Deconvolution":
            return _deconvolution(writing, node, inputs[0])
        case "InnerProduct":
            return _inner_product(writing, node, inputs[0])
        case "BatchNorm":
            return _batch_norm(writing, writing.names.layers[node.name], inputs[0])
        case "Pooling" | "AvgPool":
            return _pool(writing, node, inputs[0])
        case "Concatenate":
            axis = [0, 2, 3, 1][node.view] if len(node.output) == 4 else node.view
            return _add(writing, "Concat", inputs, axis=axis)
        case "Elementwise":
            return _add(writing, "Sum", inputs)
        case _:
            return _weightless(writing, node, inputs[0])


def _weightless(writing: Writing, node: graph.Node, value: str) -> str:
    rank = len(node.inputs[0])
    match node.type:
        case "Reshape":
            return _reshape(writing, node, value)
        case "Softmax":
            return _add(writing, "Softmax", [_positions_mean(writing, value, rank)], axis=-1)
        case "Sigmoid":
            axes = list(range(1, rank))
            mean = _add(writing, "ReduceMean", [value], axes=axes, keepdims=0)
            column = _add(writing, "Reshape", [mean, _shape(writing, (1,))])
            return _add(writing, "Sigmoid", [column])
        case "UpSampling2D":
            factors = np.array([1, 1, *node.view], np.float32)
            scales = _constant(writing, f"{writing.names.layers[node.name]}.scales", factors)
            modes = {"mode": "nearest", "nearest_mode": "floor"}
            modes["coordinate_transformation_mode"] = "asymmetric"
            return _add(writing, "Resize", [value, "", scales], **modes)
        case "LRN":
            return _local_response(writing, value)
        case "ReLU" | "Activation" | "Dropout":
            return value
    raise SpecError(f"layer '{node.name}': type '{node.type}' cannot be written as ONNX")


def _local_response(writing: Writing, value: str) -> str:
    return _add(
        writing,
        "LRN",
        [value],
        size=operations.RESPONSE_SIZE,
        alpha=operations.RESPONSE_ALPHA,
        beta=operations.RESPONSE_BETA,
        bias=operations.RESPONSE_OFFSET,
    )


def _window(view: Any, size: tuple[int, int]) -> dict[str, Any]:
    (top, bottom), (left, right) = shape_rules.pad_amounts(
        view.padding, size, view.kernel, view.strides
    )
    pads = [top, left, bottom, right]
    return {"kernel_shape": [*view.kernel], "strides": [*view.strides], "pads": pads}


def _bias(writing: Writing, node: graph.Node) -> list[str]:
    own = writing.names.layers[node.name]
    return [_weight(writing, f"{own}.bias")] if node.view.use_bias else []


def _convolution(writing: Writing, node: graph.Node, value: str) -> str:
    own, view = writing.names.layers[node.name], node.view
    kernel = writing.values[f"{own}.kernel"].transpose(3, 2, 0, 1)
    inputs = [value, _constant(writing, f"{own}.kernel", kernel), *_bias(writing, node)]
    window = _window(view, (node.inputs[0][1], node.inputs[0][2]))
    out = _add(writing, "Conv", inputs, group=view.groups, **window)
    extra = writing.names.extras.get(node.name)
    return _batch_norm(writing, extra, out) if extra else out


def _batch_norm(writing: Writing, name: str, value: str) -> str:
    parts = [_weight(writing, f"{name}.{role}") for role in ("scale", "bias", "mean", "var")]
    epsilon = operations.BATCH_NORM_EPSILON
    return _add(writing, "BatchNormalization", [value, *parts], epsilon=epsilon)


def _deconvolution(writing: Writing, node: graph.Node, value: str) -> str:
    own, view = writing.names.layers[node.name], node.view
    kernel = writing.values[f"{own}.kernel"].transpose(3, 2, 0, 1)
    inputs = [value, _constant(writing, f"{own}.kernel", kernel), *_bias(writing, node)]
    window = _window(view, view.output_size)
    # What strides left over at the far edges is not told by the padding.
    window["output_padding"] = [
        view.output_size[axis]
        + window["pads"][axis]
        + window["pads"][2 + axis]
        - (node.inputs[0][1 + axis] - 1) * view.strides[axis]
        - view.kernel[axis]
        for axis in (0, 1)
    ]
    return _add(writing, "ConvTranspose", inputs, **window)


def _inner_product(writing: Writing, node: graph.Node, value: str) -> str:
    own, shape = writing.names.layers[node.name], node.inputs[0]
    kernel = writing.values[f"{own}.kernel"]
    if len(shape) == 4:
        value = _add(writing, "Flatten", [value])
        kernel = kernel.reshape(*shape[1:], -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    inputs = [value, _constant(writing, f"{own}.kernel", kernel), *_bias(writing, node)]
    return _add(writing, "Gemm", inputs)


def _pool(writing: Writing, node: graph.Node, value: str) -> str:
    size = (node.inputs[0][1], node.inputs[0][2])
    pads = shape_rules.pad_amounts(node.view.padding, size, node.view.kernel, node.view.strides)
    flax_layers.check_windows(node, size, pads)
    kind = "AveragePool" if node.view.average else "MaxPool"
    return _add(writing, kind, [value], **_window(node.view, size))


def _reshape(writing: Writing, node: graph.Node, value: str) -> str:
    if len(node.output) not in (2, 4):
        raise SpecError(
            f"layer '{node.name}': output {list(node.output)} cannot be written as ONNX; "
            "[N, features] and NHWC can"
        )
    if len(node.inputs[0]) == 4:
        value = _add(writing, "Transpose", [value], perm=_TO_NHWC)
    value = _add(writing, "Reshape", [value, _shape(writing, node.output[1:])])
    return _add(writing, "Transpose", [value], perm=_TO_NCHW) if len(node.output) == 4 else value
