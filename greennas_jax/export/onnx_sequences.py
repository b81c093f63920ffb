"""What each layer of a transformer is in ONNX; tensors are [N, S, D] and only N is open.

What depends on places alone (turning of heads, distances, what lies ahead) is written as constants.

Shapes: N sequences, S places that ask, T places that are read, D width, H heads, K heads of keys
and values, E width of a head.
"""

import math

import numpy as np

from greennas_jax.build import attention, graph, sequence
from greennas_jax.export import onnx_writing
from greennas_jax.export.onnx_writing import Writing

TYPES = (*sequence.WEIGHTED, "SequencePool")


def layer(writing: Writing, node: graph.Node, inputs: list[str]) -> str:
    """Add a layer of one of TYPES, without its own activation, and return its output."""
    match node.type:
        case "Embedding":
            return _embedding(writing, node, inputs[0])
        case "LayerNorm":
            return _layer_norm(writing, node, inputs[0])
        case "MultiHeadAttention":
            return _attention(writing, node, inputs[0], inputs[-1])
        case "FeedForward":
            return _feed_forward(writing, node, inputs[0])
        case _:
            return _pool(writing, node, inputs[0])


def _embedding(writing: Writing, node: graph.Node, value: str) -> str:
    own, view = writing.names.layers[node.name], node.view
    if view.vocabulary:
        owner = writing.names.layers[view.weights_of] if view.weights_of else own
        table = onnx_writing.weight(writing, f"{owner}.table")
        value = onnx_writing.add(writing, "Gather", [table, value], axis=0)
    if view.class_token:
        value = _with_class_token(writing, f"{own}.class_token", value)
    if view.positions:
        places = writing.values[f"{own}.positions"][: node.output[1]]
        name = onnx_writing.constant(writing, f"{own}.positions", places)
        value = onnx_writing.add(writing, "Add", [value, name])
    if view.segments:
        first = writing.values[f"{own}.segments"][0]
        name = onnx_writing.constant(writing, f"{own}.segments", first)
        value = onnx_writing.add(writing, "Add", [value, name])
    return value


def _with_class_token(writing: Writing, name: str, value: str) -> str:
    token = writing.values[name]
    found = onnx_writing.constant(writing, name, token.reshape(1, 1, -1))
    one = np.array([1, len(token)], np.int64)
    rest = onnx_writing.constant(writing, f"{name}.shape", one)
    count = onnx_writing.add(writing, "Shape", [value], start=0, end=1)
    shape = onnx_writing.add(writing, "Concat", [count, rest], axis=0)
    first = onnx_writing.add(writing, "Expand", [found, shape])
    return onnx_writing.add(writing, "Concat", [first, value], axis=1)


def _layer_norm(writing: Writing, node: graph.Node, value: str) -> str:
    own, view = writing.names.layers[node.name], node.view
    scale = onnx_writing.weight(writing, f"{own}.scale")
    shift = writing.names.extras.get(node.name) or f"{own}.bias"
    shifts = [onnx_writing.weight(writing, shift)] if view.use_bias else []
    if not view.rms:
        epsilon = sequence.LAYER_NORM_EPSILON
        inputs = [value, scale, *shifts]
        return onnx_writing.add(writing, "LayerNormalization", inputs, axis=-1, epsilon=epsilon)
    square = onnx_writing.add(writing, "Mul", [value, value])
    mean = onnx_writing.add(writing, "ReduceMean", [square], axes=[-1], keepdims=1)
    epsilon = onnx_writing.number(writing, sequence.LAYER_NORM_EPSILON)
    root = onnx_writing.add(writing, "Sqrt", [onnx_writing.add(writing, "Add", [mean, epsilon])])
    out = onnx_writing.add(writing, "Div", [value, root])
    out = onnx_writing.add(writing, "Mul", [out, scale])
    return onnx_writing.add(writing, "Add", [out, *shifts]) if shifts else out


def _product(writing: Writing, name: str, value: str, rows: int) -> str:
    """Add the product with a kernel [rows, anything] of a layer's part, and its bias."""
    kernel = writing.values[f"{name}.kernel"].reshape(rows, -1)
    kernel_name = onnx_writing.constant(writing, f"{name}.kernel", kernel)
    out = onnx_writing.add(writing, "MatMul", [value, kernel_name])
    bias = writing.values.get(f"{name}.bias")
    if bias is None:
        return out
    bias_name = onnx_writing.constant(writing, f"{name}.bias", bias.reshape(-1))
    return onnx_writing.add(writing, "Add", [out, bias_name])


def _feed_forward(writing: Writing, node: graph.Node, value: str) -> str:
    own, view, width = writing.names.layers[node.name], node.view, node.output[-1]
    hidden = _product(writing, f"{own}.inner", value, width)
    hidden = onnx_writing.activated(writing, view.activation, hidden)
    if view.gated:
        gate = _product(writing, f"{own}.gate", value, width)
        hidden = onnx_writing.add(writing, "Mul", [hidden, gate])
    return _product(writing, f"{own}.outer", hidden, view.hidden)


def _attention(writing: Writing, node: graph.Node, value: str, memory: str) -> str:
    """Add attention; head h reads the keys of head h // (H / K), as in `build.attention`."""
    own, view = writing.names.layers[node.name], node.view
    asking, read = node.inputs[0][1], node.inputs[-1][1]
    shared, group = view.key_value_heads, view.heads // view.key_value_heads

    def heads(role: str, source: str, width: int, length: int, count: int) -> str:
        out = _product(writing, f"{own}.{role}", source, width)
        shape = onnx_writing.shape(writing, (length, count, view.head_width))
        out = onnx_writing.add(writing, "Reshape", [out, shape])
        turns = view.rotary and role != "value"
        return _turned(writing, out, length, count, view.head_width) if turns else out

    queries = heads("query", value, node.output[-1], asking, view.heads)
    keys, contents = (
        heads(role, memory, node.inputs[-1][-1], read, shared) for role in ("key", "value")
    )
    split = onnx_writing.shape(writing, (asking, shared, group, view.head_width))
    queries = onnx_writing.add(writing, "Reshape", [queries, split])
    queries = onnx_writing.add(writing, "Transpose", [queries], perm=[0, 2, 3, 1, 4])
    keys = onnx_writing.add(writing, "Transpose", [keys], perm=[0, 2, 3, 1])
    contents = onnx_writing.add(writing, "Transpose", [contents], perm=[0, 2, 1, 3])
    axis = onnx_writing.constant(writing, "axis_2", np.array([2], np.int64))
    keys, contents = (
        onnx_writing.add(writing, "Unsqueeze", [part, axis]) for part in (keys, contents)
    )
    found = onnx_writing.add(writing, "MatMul", [queries, keys])
    scale = onnx_writing.number(writing, 1 / math.sqrt(view.head_width))
    found = onnx_writing.add(writing, "Mul", [found, scale])
    for name, bias in _biases(writing, node, asking, read).items():
        found = onnx_writing.add(
            writing, "Add", [found, onnx_writing.constant(writing, name, bias)]
        )
    shares = onnx_writing.add(writing, "Softmax", [found], axis=-1)
    mixed = onnx_writing.add(writing, "MatMul", [shares, contents])
    mixed = onnx_writing.add(writing, "Transpose", [mixed], perm=[0, 3, 1, 2, 4])
    width = view.heads * view.head_width
    joined = onnx_writing.shape(writing, (asking, width))
    mixed = onnx_writing.add(writing, "Reshape", [mixed, joined])
    return _product(writing, f"{own}.output", mixed, width)


def _biases(writing: Writing, node: graph.Node, asking: int, read: int) -> dict[str, np.ndarray]:
    """Return what is added to the scores [N, K, H / K, S, T]: of distances, of what lies ahead."""
    own, view, found = writing.names.layers[node.name], node.view, {}
    if view.relative_buckets:
        places = attention.distance_buckets(asking, read, view.relative_buckets, causal=view.causal)
        bias = np.moveaxis(writing.values[f"{own}.relative"][places], -1, 0)
        group = view.heads // view.key_value_heads
        found[f"{own}.relative"] = bias.reshape(view.key_value_heads, group, asking, read)
    if view.causal:
        ahead = np.where(np.tri(asking, read, dtype=bool), 0.0, -np.inf)
        found[f"ahead_{asking}_{read}"] = ahead.astype(np.float32)
    return found


def _turned(writing: Writing, value: str, length: int, heads: int, width: int) -> str:
    """Add the turning of each pair of a head's numbers [N, S, H, E], as `attention.rotate` does.

    A pair (a, b) becomes a (cos, sin) + b (-sin, cos).
    """
    rates = attention.ROTARY_BASE ** (-np.arange(0, width, 2) / width)
    angles = (np.arange(length)[:, None] * rates)[:, None, :, None]
    cosine, sine = np.cos(angles), np.sin(angles)
    name = f"turn_{length}_{width}"
    pairs = onnx_writing.shape(writing, (length, heads, width // 2, 2))
    value = onnx_writing.add(writing, "Reshape", [value, pairs])
    parts = []
    for place, factors in enumerate(((cosine, sine), (-sine, cosine))):
        index = onnx_writing.constant(writing, f"index_{place}", np.array([place], np.int64))
        part = onnx_writing.add(writing, "Gather", [value, index], axis=-1)
        turn = np.concatenate(factors, axis=-1).astype(np.float32)
        turn_name = onnx_writing.constant(writing, f"{name}_{place}", turn)
        parts.append(onnx_writing.add(writing, "Mul", [part, turn_name]))
    out = onnx_writing.add(writing, "Add", parts)
    whole = onnx_writing.shape(writing, (length, heads, width))
    return onnx_writing.add(writing, "Reshape", [out, whole])


def _pool(writing: Writing, node: graph.Node, value: str) -> str:
    if node.view == "first":
        index = onnx_writing.constant(writing, "first", np.array(0, np.int64))
        return onnx_writing.add(writing, "Gather", [value, index], axis=1)
    return onnx_writing.add(writing, "ReduceMean", [value], axes=[1], keepdims=0)
