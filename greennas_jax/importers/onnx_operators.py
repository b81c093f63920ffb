"""ONNX's operators as layers of the specification (https://onnx.ai/onnx/operators)."""

import dataclasses
import math
from typing import Any

from greennas_jax.importers import draft as drafts
from greennas_jax.importers import folding, onnx_values, onnx_windows
from greennas_jax.importers.onnx_model import TO_CHANNELS_FIRST, Node
from greennas_jax.importers.onnx_values import NotCoveredError, Operands, Operator, Reading, Value
from greennas_jax.spec.network import SpecError

ACTIVATIONS = {"Relu": "relu", "LeakyRelu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
ACTIVATIONS |= {"Gelu": "gelu", "Swish": "silu"}
# One tensor in, one of the same shape out: kept under their names where nothing else is known.
ELEMENTWISE = (
    *("Abs", "Add", "Celu", "Ceil", "Clip", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu"),
    *("GroupNormalization", "HardSigmoid", "HardSwish", "InstanceNormalization"),
    *("LayerNormalization", "Log", "LpNormalization", "Max", "MeanVarianceNormalization", "Min"),
    *("Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Round", "Selu", "Softplus", "Softsign"),
    *("Sqrt", "Sub", "Sum", "ThresholdedRelu"),
)
_TO_CHANNELS_LAST = (0, 2, 3, 1)


def _reduce_mean(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read a mean over height and width as global pooling."""
    axes = node.attributes.get("axes")
    axes = axes if axes is not None else onnx_values.constant(reading, node, 1)
    spatial = {1, 2} if operands[0].channels_last else {2, 3}
    if len(operands[0].shape) != 4 or {int(a) % 4 for a in axes or ()} != spatial:
        raise NotCoveredError("a mean over other axes than height and width")
    _, height, width, _ = operands[0].nhwc
    attributes = {"ksize": [1, height, width, 1], "strides": [1, 1, 1, 1], "padding": "VALID"}
    pooled = onnx_values.made(reading, node, operands[:1], "AvgPool", attributes)
    return pooled if node.attributes.get("keepdims", 1) else _reshaped(reading, node, (pooled,))


def _gemm(reading: Reading, node: Node, operands: Operands) -> Value:
    weights = onnx_values.weight(reading, node, 2)
    if node.attributes.get("transA", 0) or len(operands[0].shape) != 2:
        raise NotCoveredError("its first input is not [batch, features]")
    outputs = weights[0 if node.attributes.get("transB", 0) else 1]
    attributes = {"num_outputs": outputs, **onnx_values.stated_bias(node), "activation_fn": None}
    return onnx_values.made(reading, node, operands[:1], "InnerProduct", attributes)


def _activation(reading: Reading, node: Node, operands: Operands) -> Value:
    if node.operation == "Sigmoid" and operands[0].shape[1:] == (1,):
        return onnx_values.made(reading, node, operands, "Sigmoid")
    attributes: dict[str, Any] = {"activation_fn": ACTIVATIONS[node.operation]}
    if node.operation == "LeakyRelu":
        attributes["negative_slope"] = float(node.attributes.get("alpha", 0.01))
        reading.draft.notes.append(
            f"node '{node.name}': a leaky ReLU costs what a ReLU does and is read as one"
        )
    return onnx_values.made(reading, node, operands, folding.ACTIVATION, attributes)


def _clip(reading: Reading, node: Node, operands: Operands) -> Value:
    limits = []
    for index, key in ((1, "min"), (2, "max")):
        given = node.attributes.get(key)
        values = [given] if given is not None else onnx_values.constant(reading, node, index)
        limits.append(values[0] if values else math.inf)
    name = {(0.0, 6.0): "relu6", (0.0, math.inf): "relu"}.get((limits[0], limits[1]))
    if name is None:
        return _kept(reading, node, operands)
    return onnx_values.made(
        reading, node, operands[:1], folding.ACTIVATION, {"activation_fn": name}
    )


def _kept(reading: Reading, node: Node, operands: Operands) -> Value:
    """Keep an operation whose output is of its input's shape under its own name."""
    if len(operands) != 1 or reading.graph.shapes.get(node.outputs[0]) != operands[0].shape:
        raise NotCoveredError("its output is not of its only input's shape")
    return onnx_values.made(reading, node, operands, node.operation)


def _batch_normalization(reading: Reading, node: Node, operands: Operands) -> Value:
    if operands[0].channels_last or len(operands[0].shape) not in (2, 4):
        raise NotCoveredError(f"its input {list(operands[0].shape)} is not NCHW")
    return onnx_values.made(reading, node, operands[:1], folding.NORMALIZATION)


def _arithmetic(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read a sum or product of tensors, of a tensor and a bias, or x sigmoid(x)."""
    if len(operands) == 1:
        return _with_constant(reading, node, operands[0])
    if len({(o.shape, o.channels_last) for o in operands}) > 1:
        told = " and ".join(str(list(o.shape)) for o in operands)
        raise NotCoveredError(f"its inputs {told} differ")
    silu = _silu(reading, node, operands) if node.operation == "Mul" else None
    if silu:
        return silu
    attributes: dict[str, Any] = {"activation_fn": None}
    if node.operation not in ("Add", "Sum"):
        attributes["operation"] = node.operation.lower()
        reading.draft.notes.append(
            f"node '{node.name}': {node.operation} of its inputs costs what their sum does and is "
            "read as one"
        )
    return onnx_values.made(reading, node, operands, "Elementwise", attributes)


def _with_constant(reading: Reading, node: Node, operand: Value) -> Value:
    """Read a bias of the layer before, a scale or offset per channel, or whatever else it is."""
    added = next((name for name in node.inputs if name not in reading.values), "")
    shape = reading.graph.shapes.get(added, ())
    rank = len(operand.shape)
    axis = 1 if rank == 4 and not operand.channels_last else rank - 1
    per_channel = tuple(n if i == axis else 1 for i, n in enumerate(operand.shape))
    is_affine = node.operation in ("Add", "Mul") and operand.shape[axis] > 1
    if not is_affine or (1,) * (rank - len(shape)) + tuple(shape) != per_channel:
        return _kept(reading, node, (operand,))
    layer = reading.draft.layers[operand.layer]
    read = next(name for name in node.inputs if name in reading.values)
    without_bias = layer.attributes.get("use_bias") is False and node.operation == "Add"
    if without_bias and reading.graph.readers[read] == 1:
        attributes = {key: value for key, value in layer.attributes.items() if key != "use_bias"}
        reading.draft.layers[layer.name] = dataclasses.replace(layer, attributes=attributes)
        return operand
    return onnx_values.made(reading, node, (operand,), folding.SCALE)


def _silu(reading: Reading, node: Node, operands: Operands) -> Value | None:
    """Read x sigmoid(x) as one activation."""
    layers = reading.draft.layers
    for gate, other in (operands, operands[::-1]):
        layer = layers[gate.layer]
        is_sigmoid = layer.attributes.get("activation_fn") == "sigmoid"
        is_only = sum(v.layer == gate.layer for v in operands) == 1 and all(
            reading.graph.readers.get(name, 0) == 1
            for name, value in reading.values.items()
            if name in node.inputs and value.layer == gate.layer
        )
        if is_sigmoid and layer.type == folding.ACTIVATION and layer.parents == (other.layer,):
            if is_only:
                del layers[gate.layer]
                attributes = {"activation_fn": "silu"}
                return onnx_values.made(reading, node, (other,), folding.ACTIVATION, attributes)
    return None


def _concat(reading: Reading, node: Node, operands: Operands) -> Value:
    if len(operands) != len(node.inputs):
        raise NotCoveredError("one of its inputs is a constant")
    if len(operands) == 1:
        return operands[0]
    if len({(len(o.shape), o.channels_last) for o in operands}) > 1:
        raise NotCoveredError("its inputs differ in rank or order")
    axis, rank = int(node.attributes.get("axis", 1)), len(operands[0].shape)
    dim = axis % rank if operands[0].channels_last else drafts.nhwc_axis(axis, rank)
    return onnx_values.made(reading, node, operands, "Concatenate", {"dim": dim})


def _reshaped(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read any change of shape that keeps the order of the elements."""
    shape = onnx_values.target(reading, node)
    last = operands[0].channels_last and len(shape) == 4
    wanted = Value("", shape, last)
    if wanted.nhwc in (operands[0].nhwc, reading.draft.shapes[operands[0].layer]):
        return Value(operands[0].layer, shape, last)
    target = list(wanted.nhwc)
    if target[0] == operands[0].shape[0]:
        target[0] = -1
    made = onnx_values.made(reading, node, operands[:1], "Reshape", {"output_shape": target})
    return Value(made.layer, shape, last)


def _transpose(reading: Reading, node: Node, operands: Operands) -> Value:
    operand = operands[0]
    axes = range(len(operand.shape))
    perm = tuple(node.attributes.get("perm", reversed(axes)))
    turned = TO_CHANNELS_FIRST if operand.channels_last else _TO_CHANNELS_LAST
    if perm == turned:
        shape = tuple(operand.shape[axis] for axis in perm)
        return Value(operand.layer, shape, not operand.channels_last)
    moved = [axis for axis in perm if operand.shape[axis] > 1]
    if moved != sorted(moved):
        raise NotCoveredError(f"a transposition {list(perm)} that moves elements")
    return _reshaped(reading, node, operands)


def _dropout(reading: Reading, node: Node, operands: Operands) -> Value:
    stated = onnx_values.constant(reading, node, 1)
    ratio = float(node.attributes.get("ratio", stated[0] if stated else 0.5))
    if not 0 <= ratio < 1:
        raise SpecError(f"'ratio' is {ratio}; from 0, below 1 is needed")
    attributes = {"dropout_keep_prob": round(1 - ratio, 6)}
    return onnx_values.made(reading, node, operands[:1], "Dropout", attributes)


def _lrn(reading: Reading, node: Node, operands: Operands) -> Value:
    onnx_values.image(operands[0])
    attributes = {
        "local_size": int(node.attributes.get("size", 5)),
        "alpha": float(node.attributes.get("alpha", 1e-4)),
        "beta": float(node.attributes.get("beta", 0.75)),
    }
    return onnx_values.made(reading, node, operands, "LRN", attributes)


def _softmax(reading: Reading, node: Node, operands: Operands) -> Value:
    operand = operands[0]
    rank = len(operand.shape)
    axis = int(node.attributes.get("axis", -1 if reading.graph.opset >= 13 else 1)) % rank
    last = axis if operand.channels_last else drafts.nhwc_axis(axis, rank)
    size = operand.shape[axis]
    if rank not in (2, 4) or last != rank - 1 or math.prod(operand.shape[1:]) != size:
        return onnx_values.made(reading, node, operands, "SpatialSoftmax")
    made = onnx_values.made(reading, node, operands, "Softmax", {"num_classes": size})
    return Value(made.layer, operand.shape, operand.channels_last)


def _same(reading: Reading, node: Node, operands: Operands) -> Value:
    return operands[0]


def _pad(reading: Reading, node: Node, operands: Operands) -> Value:
    if onnx_values.target(reading, node) != operands[0].shape:
        raise NotCoveredError("zeros as a layer of their own")
    return operands[0]


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(ELEMENTWISE, _kept),
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(("Add", "Sum", "Mul", "Sub", "Max", "Min"), _arithmetic),
    **dict.fromkeys(("MaxPool", "AveragePool"), onnx_windows.pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), onnx_windows.global_pool),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshaped),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("Upsample", "Resize"), onnx_windows.resize),
    **dict.fromkeys(("Identity", "Cast"), _same),
    **dict.fromkeys(("Gemm", "MatMul"), _gemm),
    "Conv": onnx_windows.conv,
    "ConvTranspose": onnx_windows.conv_transpose,
    "ReduceMean": _reduce_mean,
    "Clip": _clip,
    "BatchNormalization": _batch_normalization,
    "Concat": _concat,
    "Transpose": _transpose,
    "Dropout": _dropout,
    "LRN": _lrn,
    "Pad": _pad,
}
