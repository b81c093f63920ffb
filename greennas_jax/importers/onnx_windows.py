"""ONNX's operators with windows (https://onnx.ai/onnx/operators), and resizing."""

from typing import Any

from greennas_jax.importers import draft as drafts
from greennas_jax.importers import onnx_values, windows
from greennas_jax.importers.onnx_model import Node
from greennas_jax.importers.onnx_values import NotCoveredError, Operands, Reading, Value
from greennas_jax.importers.windows import Pair
from greennas_jax.spec.network import SpecError


def _pair(node: Node, key: str, default: Pair) -> Pair:
    value = node.attributes.get(key, default)
    if len(value) != 2 or min(value) < 1:
        raise NotCoveredError(f"'{key}' is {list(value)}; two sizes from 1 are covered")
    return int(value[0]), int(value[1])


def _zeros(node: Node, size: Pair, kernel: Pair, strides: Pair) -> tuple[Pair, Pair]:
    """Return the zeros (before, after) of each axis."""
    if _pair(node, "dilations", (1, 1)) != (1, 1):
        raise NotCoveredError("dilated windows")
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        return windows.same(size, kernel, strides, mode == "SAME_LOWER")
    pads = [0] * 4 if mode == "VALID" else list(node.attributes.get("pads", [0] * 4))
    if len(pads) != 4 or min(pads) < 0:
        raise NotCoveredError(f"'pads' is {pads}; four sizes from 0 are covered")
    return (pads[0], pads[2]), (pads[1], pads[3])


def _fitted(
    reading: Reading, node: Node, size: Pair, kernel: Pair, strides: Pair, before: Pair, out: Pair
) -> Any:
    fit = windows.fit(size, kernel, strides, before, out)
    if not fit.exact:
        reading.draft.notes.append(
            f"node '{node.name}': its windows are shifted, as padding {fit.padding} is the nearest "
            "with this output size; shapes and costs are the same"
        )
    return fit.padding


def conv(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read a convolution; its groups, and zeros of any side."""
    _, height, width, channels = onnx_values.image(operands[0])
    outputs, per_group, *sizes = onnx_values.weight(reading, node, 4)
    kernel, strides = (sizes[0], sizes[1]), _pair(node, "strides", (1, 1))
    groups = int(node.attributes.get("group", 1))
    if per_group * groups != channels:
        raise SpecError(f"{groups} groups of {per_group} channels read an input of {channels}")
    zeros = _zeros(node, (height, width), kernel, strides)
    out = tuple(
        windows.floor_size(n, k, s, sum(pads))
        for n, k, s, pads in zip((height, width), kernel, strides, zeros, strict=True)
    )
    before = (zeros[0][0], zeros[1][0])
    padding = _fitted(reading, node, (height, width), kernel, strides, before, (out[0], out[1]))
    attributes = {
        "filter": [*kernel, channels, outputs],
        "strides": [1, *strides, 1],
        "padding": padding,
        **({"groups": groups} if groups != 1 else {}),
        **onnx_values.stated_bias(node),
        "activation_fn": None,
    }
    return onnx_values.made(reading, node, operands[:1], "Convolution", attributes)


def conv_transpose(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read a transposed convolution of one group."""
    batch, *size, channels = onnx_values.image(operands[0])
    _, outputs, *sizes = onnx_values.weight(reading, node, 4)
    kernel, strides = (sizes[0], sizes[1]), _pair(node, "strides", (1, 1))
    if node.attributes.get("group", 1) != 1:
        raise NotCoveredError("groups of a transposed convolution")
    if _pair(node, "dilations", (1, 1)) != (1, 1):
        raise NotCoveredError("dilated windows")
    target = drafts.nhwc(onnx_values.target(reading, node))
    mode = node.attributes.get("auto_pad", "NOTSET")
    before = tuple(node.attributes.get("pads", [0] * 4)[:2])
    if mode in ("SAME_UPPER", "SAME_LOWER") or "output_shape" in node.attributes:
        extra = node.attributes.get("output_padding", (0, 0))
        total = [strides[a] * (size[a] - 1) + extra[a] + kernel[a] - target[1 + a] for a in (0, 1)]
        half = [max(t, 0) // 2 for t in total]
        before = tuple(
            h if mode == "SAME_UPPER" else max(t, 0) - h for h, t in zip(half, total, strict=True)
        )
    inner, outer = (target[1], target[2]), (size[0], size[1])
    padding = _fitted(reading, node, inner, kernel, strides, (before[0], before[1]), outer)
    attributes = {
        "filter": [*kernel, outputs, channels],
        "strides": [1, *strides, 1],
        "padding": padding,
        "output_shape": [batch, *target[1:]],
        **onnx_values.stated_bias(node),
        "activation_fn": None,
    }
    return onnx_values.made(reading, node, operands[:1], "Deconvolution", attributes)


def pool(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read pooling; how it rounds is in the shape that ONNX infers."""
    _, *sizes, _ = onnx_values.image(operands[0])
    size = (sizes[0], sizes[1])
    kernel, strides = _pair(node, "kernel_shape", (0, 0)), _pair(node, "strides", (1, 1))
    zeros = _zeros(node, size, kernel, strides)
    out = drafts.nhwc(onnx_values.target(reading, node))[1:3]
    before = (zeros[0][0], zeros[1][0])
    kernel, before = windows.covering(size, kernel, before, (out[0], out[1]))
    padding = _fitted(reading, node, size, kernel, strides, before, (out[0], out[1]))
    attributes = {"ksize": [1, *kernel, 1], "strides": [1, *strides, 1], "padding": padding}
    kind = "Pooling" if node.operation == "MaxPool" else "AvgPool"
    return onnx_values.made(reading, node, operands, kind, attributes)


def global_pool(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read pooling over the whole image."""
    _, height, width, _ = onnx_values.image(operands[0])
    attributes = {"ksize": [1, height, width, 1], "strides": [1, 1, 1, 1], "padding": "VALID"}
    kind = "Pooling" if node.operation == "GlobalMaxPool" else "AvgPool"
    return onnx_values.made(reading, node, operands[:1], kind, attributes)


def resize(reading: Reading, node: Node, operands: Operands) -> Value:
    """Read an enlargement by whole factors that repeats rows and columns."""
    _, height, width, channels = onnx_values.image(operands[0])
    if node.attributes.get("mode", "nearest") != "nearest":
        raise NotCoveredError(f"mode '{node.attributes['mode']}'; nearest is covered")
    _, out_channels, out_height, out_width = onnx_values.target(reading, node)
    rests = (out_height % height, out_width % width, out_channels - channels)
    if any(rests):
        raise NotCoveredError("a scale that is not a whole number")
    factors = [1, out_height // height, out_width // width, 1]
    if factors == [1, 1, 1, 1]:
        return operands[0]
    return onnx_values.made(reading, node, operands[:1], "UpSampling2D", {"ksize": factors})
