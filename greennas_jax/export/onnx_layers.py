"""What each layer is in ONNX; images are NCHW inside, sequences [N, S, D]."""

from typing import Any

import numpy as np

from greennas_jax.build import graph, operations
from greennas_jax.export import flax_layers, onnx_sequences, onnx_writing
from greennas_jax.export.onnx_writing import Operation, Writing
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import SpecError

IMAGES, TOKENS, OUTPUT = "images", "tokens", "logits"
_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
_IMAGES_ONLY = ("BatchNorm", "LRN", "UpSampling2D", "Pooling", "AvgPool")


def add(writing: Writing, node: graph.Node) -> None:
    """Add a layer; see `onnx_writing.output_of`.

    Raises:
      SpecError: If it has no counterpart.
    """
    ranks = {len(shape) for shape in (*node.inputs, node.output)}
    if not ranks <= {2, 3, 4} or (3 in ranks and node.type in _IMAGES_ONLY):
        told = ", ".join(str(list(shape)) for shape in node.inputs)
        raise SpecError(
            f"layer '{node.name}' ({node.type}): an input {told} cannot be written as ONNX; "
            "allowed: [N, features], NHWC, and [N, S, D] for layers of transformers"
        )
    inputs = [onnx_writing.output_of(writing, parent) for parent in node.parents]
    out = onnx_writing.activated(writing, node.activation, _layer(writing, node, inputs))
    written = onnx_writing.output_of(writing, node.name)
    writing.made.append(Operation("Identity", [out], written, {}))


def finish(writing: Writing, end: graph.Node) -> None:
    """Add the mean over positions, and name the output."""
    value = onnx_writing.output_of(writing, end.name)
    out = _positions_mean(writing, value, len(end.output))
    writing.made.append(Operation("Identity", [out], OUTPUT, {}))


def _positions_mean(writing: Writing, value: str, rank: int) -> str:
    if rank == 2:
        return value
    axes = [1] if rank == 3 else [2, 3]
    return onnx_writing.add(writing, "ReduceMean", [value], axes=axes, keepdims=0)


def _layer(writing: Writing, node: graph.Node, inputs: list[str]) -> str:
    match node.type:
        case "Input":
            return _input(writing, node)
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
            return onnx_writing.add(writing, "Concat", inputs, axis=axis)
        case "Elementwise":
            return onnx_writing.add(writing, "Sum", inputs)
        case _ if node.type in onnx_sequences.TYPES:
            return onnx_sequences.layer(writing, node, inputs)
        case _:
            return _weightless(writing, node, inputs[0])


def _input(writing: Writing, node: graph.Node) -> str:
    if len(node.output) != 4:
        return writing.input
    return onnx_writing.add(writing, "Transpose", [writing.input], perm=_TO_NCHW)


def _weightless(writing: Writing, node: graph.Node, value: str) -> str:
    rank = len(node.inputs[0])
    match node.type:
        case "Reshape":
            return _reshape(writing, node, value)
        case "Softmax":
            each = rank == 3 == len(node.output)
            mean = value if each else _positions_mean(writing, value, rank)
            return onnx_writing.add(writing, "Softmax", [mean], axis=-1)
        case "Sigmoid":
            axes = list(range(1, rank))
            mean = onnx_writing.add(writing, "ReduceMean", [value], axes=axes, keepdims=0)
            column = onnx_writing.add(writing, "Reshape", [mean, onnx_writing.shape(writing, (1,))])
            return onnx_writing.add(writing, "Sigmoid", [column])
        case "UpSampling2D":
            factors = np.array([1, 1, *node.view], np.float32)
            scales = onnx_writing.constant(
                writing, f"{writing.names.layers[node.name]}.scales", factors
            )
            modes = {"mode": "nearest", "nearest_mode": "floor"}
            modes["coordinate_transformation_mode"] = "asymmetric"
            return onnx_writing.add(writing, "Resize", [value, "", scales], **modes)
        case "LRN":
            return _local_response(writing, value)
        case "ReLU" | "Activation" | "Dropout":
            return value
    raise SpecError(f"layer '{node.name}': type '{node.type}' cannot be written as ONNX")


def _local_response(writing: Writing, value: str) -> str:
    return onnx_writing.add(
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
    return [onnx_writing.weight(writing, f"{own}.bias")] if node.view.use_bias else []


def _convolution(writing: Writing, node: graph.Node, value: str) -> str:
    own, view = writing.names.layers[node.name], node.view
    kernel = writing.values[f"{own}.kernel"].transpose(3, 2, 0, 1)
    inputs = [value, onnx_writing.constant(writing, f"{own}.kernel", kernel), *_bias(writing, node)]
    window = _window(view, (node.inputs[0][1], node.inputs[0][2]))
    out = onnx_writing.add(writing, "Conv", inputs, group=view.groups, **window)
    extra = writing.names.extras.get(node.name)
    return _batch_norm(writing, extra, out) if extra else out


def _batch_norm(writing: Writing, name: str, value: str) -> str:
    parts = [
        onnx_writing.weight(writing, f"{name}.{role}") for role in ("scale", "bias", "mean", "var")
    ]
    epsilon = operations.BATCH_NORM_EPSILON
    return onnx_writing.add(writing, "BatchNormalization", [value, *parts], epsilon=epsilon)


def _deconvolution(writing: Writing, node: graph.Node, value: str) -> str:
    own, view = writing.names.layers[node.name], node.view
    kernel = writing.values[f"{own}.kernel"].transpose(3, 2, 0, 1)
    inputs = [value, onnx_writing.constant(writing, f"{own}.kernel", kernel), *_bias(writing, node)]
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
    return onnx_writing.add(writing, "ConvTranspose", inputs, **window)


def _inner_product(writing: Writing, node: graph.Node, value: str) -> str:
    own, shape = writing.names.layers[node.name], node.inputs[0]
    if node.view.per_position or node.view.weights_of:
        return _product(writing, node, value)
    kernel = writing.values[f"{own}.kernel"]
    if len(shape) != 2:
        value = onnx_writing.add(writing, "Flatten", [value])
    if len(shape) == 4:
        kernel = kernel.reshape(*shape[1:], -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    inputs = [value, onnx_writing.constant(writing, f"{own}.kernel", kernel), *_bias(writing, node)]
    return onnx_writing.add(writing, "Gemm", inputs)


def _product(writing: Writing, node: graph.Node, value: str) -> str:
    """Add a product at each position, perhaps with an embedding's table."""
    own, owner = writing.names.layers[node.name], node.view.weights_of
    if owner:
        kernel = writing.values[f"{writing.names.layers[owner]}.table"].T
    else:
        kernel = writing.values[f"{own}.kernel"]
    name = onnx_writing.constant(writing, f"{own}.kernel", kernel)
    out = onnx_writing.add(writing, "MatMul", [value, name])
    extra = writing.names.extras.get(node.name)
    biases = [onnx_writing.weight(writing, extra)] if extra else _bias(writing, node)
    return onnx_writing.add(writing, "Add", [out, *biases]) if biases else out


def _pool(writing: Writing, node: graph.Node, value: str) -> str:
    size = (node.inputs[0][1], node.inputs[0][2])
    pads = shape_rules.pad_amounts(node.view.padding, size, node.view.kernel, node.view.strides)
    flax_layers.check_windows(node, size, pads)
    kind = "AveragePool" if node.view.average else "MaxPool"
    return onnx_writing.add(writing, kind, [value], **_window(node.view, size))


def _reshape(writing: Writing, node: graph.Node, value: str) -> str:
    if len(node.inputs[0]) == 4:
        value = onnx_writing.add(writing, "Transpose", [value], perm=_TO_NHWC)
    value = onnx_writing.add(
        writing, "Reshape", [value, onnx_writing.shape(writing, node.output[1:])]
    )
    return (
        onnx_writing.add(writing, "Transpose", [value], perm=_TO_NCHW)
        if len(node.output) == 4
        else value
    )
