"""A network executed in numpy, written independently: one loop per kernel position."""

import math

import numpy as np

from greennas_jax.spec import network as networks
from tests.build import numpy_transformer


def _window(layer, key):
    kernel = layer.attributes[key]
    kernel = kernel[:2] if key == "filter" else kernel[1:3]
    return tuple(kernel), tuple(layer.attributes["strides"][1:3]), layer.attributes["padding"]


def _sides(size, kernel, stride, padding, axis):
    """Return output size, padding in front and behind along one dimension."""
    if padding == "VALID":
        return math.ceil((size - kernel + 1) / stride), 0, 0
    if padding == "SAME":
        out = math.ceil(size / stride)
        total = max((out - 1) * stride + kernel - size, 0)
        return out, total // 2, total - total // 2
    pad = padding[axis]
    return (size + 2 * pad - kernel) // stride + 1, pad, pad


def taps(values, kernel, strides, padding, fill):
    """Return what each kernel position sees: [kh * kw, N, oh, ow, C]."""
    (rows, top, bottom), (columns, left, right) = (
        _sides(values.shape[1 + axis], kernel[axis], strides[axis], padding, axis)
        for axis in (0, 1)
    )
    padded = np.full(
        (
            values.shape[0],
            values.shape[1] + top + bottom,
            values.shape[2] + left + right,
            values.shape[3],
        ),
        fill,
        values.dtype,
    )
    padded[:, top : top + values.shape[1], left : left + values.shape[2]] = values
    found = []
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            part = padded[:, row :: strides[0], column :: strides[1]]
            found.append(part[:, :rows, :columns])
    return np.stack(found)


def convolve(values, kernel, strides, padding, groups):
    seen = taps(values, kernel.shape[:2], strides, padding, 0.0)
    inputs, outputs = kernel.shape[2], kernel.shape[3] // groups
    found = []
    for group in range(groups):
        part = seen[..., group * inputs : (group + 1) * inputs]
        weights = kernel[..., group * outputs : (group + 1) * outputs]
        found.append(
            np.einsum("tnhwi,tio->nhwo", part, weights.reshape(-1, inputs, outputs), optimize=True)
        )
    return np.concatenate(found, axis=-1)


def deconvolve(values, layer, kernel):
    """Scatter each input position over the output (the transpose of a convolution)."""
    _, height, width, outputs = layer.attributes["output_shape"]
    (kh, kw), strides, padding = _window(layer, "filter")
    _, top, bottom = _sides(height, kh, strides[0], padding, 0)
    _, left, right = _sides(width, kw, strides[1], padding, 1)
    out = np.zeros((values.shape[0], height + top + bottom, width + left + right, outputs))
    for i in range(values.shape[1]):
        for j in range(values.shape[2]):
            spread = np.einsum("nc,hwoc->nhwo", values[:, i, j], kernel)
            out[:, i * strides[0] : i * strides[0] + kh, j * strides[1] : j * strides[1] + kw] += (
                spread
            )
    return out[:, top : top + height, left : left + width]


def pool(values, layer):
    kernel, strides, padding = _window(layer, "ksize")
    if padding == "VALID":
        kernel = tuple(min(k, size) for k, size in zip(kernel, values.shape[1:3], strict=True))
    if layer.type == "Pooling":
        return taps(values, kernel, strides, padding, -np.inf).max(0)
    counts = taps(np.ones_like(values), kernel, strides, padding, 0.0).sum(0)
    return taps(values, kernel, strides, padding, 0.0).sum(0) / np.maximum(counts, 1)


def activate(name, values):
    if name == "relu":
        return np.maximum(values, 0)
    if name == "relu6":
        return np.clip(values, 0, 6)
    if name == "tanh":
        return np.tanh(values)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-values))
    if name == "silu":
        return values / (1 + np.exp(-values))
    if name == "gelu":
        inner = math.sqrt(2 / math.pi) * (values + 0.044715 * values**3)
        return 0.5 * values * (1 + np.tanh(inner))
    return values


def normalize(values, own, training):
    axes = tuple(range(values.ndim - 1))
    mean = values.mean(axes) if training else 0.0
    variance = values.var(axes) if training else 1.0
    return (values - mean) / np.sqrt(variance + 1e-5) * own["scale"] + own["shift"]


def respond(values):
    energy = np.zeros_like(values)
    channels = values.shape[-1]
    for channel in range(channels):
        near = values[..., max(channel - 2, 0) : channel + 3]
        energy[..., channel] = (near**2).sum(-1)
    return values / (1 + 1e-4 / 5 * energy) ** 0.75


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _positions(values):
    return values.reshape(values.shape[0], -1, values.shape[-1]).mean(1)


def _layer(layer, inputs, own, training):
    values = inputs[0]
    match layer.type:
        case "Convolution":
            _, strides, padding = _window(layer, "filter")
            groups = layer.attributes.get("groups", 1)
            out = convolve(values, own["kernel"], strides, padding, groups) + own.get("bias", 0.0)
            if layer.attributes.get("normalizer_fn"):
                out = normalize(out, own, training)
            return out
        case "Deconvolution":
            return deconvolve(values, layer, own["kernel"]) + own.get("bias", 0.0)
        case "Embedding":
            return numpy_transformer.embed(layer, own, values)
        case "LayerNorm":
            return numpy_transformer.layer_norm(layer, own, values)
        case "MultiHeadAttention":
            return numpy_transformer.attend(layer, own, values, inputs[-1])
        case "FeedForward":
            return numpy_transformer.feed_forward(layer, own, values, activate)
        case "SequencePool":
            return values[:, 0] if layer.attributes["method"] == "first" else values.mean(1)
        case "InnerProduct" if layer.attributes.get("weights_of"):
            return values @ own["table"].T + own.get("bias", 0.0)
        case "InnerProduct" if layer.attributes.get("per_position"):
            return values @ own["kernel"] + own.get("bias", 0.0)
        case "InnerProduct":
            return values.reshape(len(values), -1) @ own["kernel"] + own.get("bias", 0.0)
        case "Pooling" | "AvgPool":
            return pool(values, layer)
        case "BatchNorm":
            return normalize(values, own, training)
        case "LRN":
            return respond(values)
        case "Concatenate":
            return np.concatenate(inputs, axis=layer.attributes.get("dim", values.ndim - 1))
        case "Elementwise":
            return sum(inputs)
        case "Reshape":
            return values.reshape(len(values), *layer.attributes["output_shape"][1:])
        case "UpSampling2D":
            return values.repeat(layer.attributes["ksize"][1], 1).repeat(
                layer.attributes["ksize"][2], 2
            )
        case "ReLU":
            return np.maximum(values, 0)
        case "Softmax" if values.ndim == 3:
            return softmax(values)
        case "Softmax":
            return softmax(_positions(values))
        case "Sigmoid":
            return 1 / (1 + np.exp(-values.reshape(len(values), -1).mean(1, keepdims=True)))
        case _:
            return values


def run(network, weights, images, logits, *, training=False, whole=False):
    """Return float64 logits of a network without dropout, batch statistics fresh.

    Of several positions the mean, or all of them where the whole is wanted.
    """
    values = {}
    for layer in networks.topological_order(network):
        if layer.type == "Input":
            values[layer.name] = np.asarray(images, np.float64)
            continue
        inputs = [values[parent] for parent in layer.parents]
        own = {k: np.asarray(v, np.float64) for k, v in weights.get(layer.name, {}).items()}
        if layer.attributes.get("weights_of"):
            own["table"] = np.asarray(weights[layer.attributes["weights_of"]]["table"], np.float64)
        out = _layer(layer, inputs, own, training)
        name = layer.attributes.get("activation_fn") if layer.type != "FeedForward" else None
        values[layer.name] = activate(name, out)
        if layer.name == logits:
            return values[logits] if whole else _positions(values[logits])
    raise KeyError(logits)
