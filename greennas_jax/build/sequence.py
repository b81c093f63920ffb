"""Layers of transformers with parameters: their shapes, first values and what they compute.

A layer's parameters are arrays by role. The same functions serve a network at its true shapes and
the masked template, whose masks are multiplied into the roles.

Shapes: N sequences, S places, D width, F hidden units, V vocabulary, P places with a vector.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from greennas_jax.build import attention, operations
from greennas_jax.spec import sequence_layers

Roles = Mapping[str, jax.Array]

WEIGHTED = ("Embedding", "LayerNorm", "MultiHeadAttention", "FeedForward")
# Roles that are drawn at random, by type; all others start at zero, `scale` at one.
RANDOM: dict[str, tuple[str, ...]] = {
    "Embedding": ("table", "positions", "segments"),
    "LayerNorm": (),
    "MultiHeadAttention": ("query", "key", "value", "output", "relative"),
    "FeedForward": ("inner", "gate", "outer"),
}
# Radford et al. 2018, section 4.1: what tables hold starts small beside what layers add to it.
TABLE_SCALE = 0.02
LAYER_NORM_EPSILON = 1e-5
# Below, a table is read as a matrix product, whose gradient costs less than a scatter.
SMALL_VOCABULARY = 256


def shapes(node: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a node's parameters by role.

    Args:
      node: A `graph.Node` of one of the types WEIGHTED.
    """
    view, width = node.view, node.output[-1]
    match node.type:
        case "Embedding":
            return _embedding_shapes(view)
        case "LayerNorm":
            return {"scale": (width,)} | ({"shift": (width,)} if view.use_bias else {})
        case "MultiHeadAttention":
            return _attention_shapes(view, width, node.inputs[-1][-1])
        case _:
            return _feed_forward_shapes(view, width)


def _embedding_shapes(view: sequence_layers.Embedding) -> dict[str, tuple[int, ...]]:
    rows = {
        "table": 0 if view.weights_of else view.vocabulary,
        "positions": view.positions,
        "segments": view.segments,
    }
    found: dict[str, tuple[int, ...]] = {
        role: (count, view.width) for role, count in rows.items() if count
    }
    return found | ({"class_token": (view.width,)} if view.class_token else {})


def _attention_shapes(
    view: sequence_layers.Attention, width: int, read: int
) -> dict[str, tuple[int, ...]]:
    asking, shared = (view.heads, view.head_width), (view.key_value_heads, view.head_width)
    found: dict[str, tuple[int, ...]] = {
        "query": (width, *asking),
        "key": (read, *shared),
        "value": (read, *shared),
        "output": (*asking, width),
    }
    if view.relative_buckets:
        found["relative"] = (view.relative_buckets, view.heads)
    if view.use_bias:
        found |= {"query_bias": asking, "key_bias": shared, "value_bias": shared}
        found["bias"] = (width,)
    return found


def _feed_forward_shapes(
    view: sequence_layers.FeedForward, width: int
) -> dict[str, tuple[int, ...]]:
    inward = ("inner", "gate") if view.gated else ("inner",)
    found: dict[str, tuple[int, ...]] = {role: (width, view.hidden) for role in inward}
    found["outer"] = (view.hidden, width)
    if view.use_bias:
        found |= {f"{role}_bias": (view.hidden,) for role in inward}
        found["bias"] = (width,)
    return found


def scales(node: Any) -> dict[str, float]:
    """Return the standard deviation of each random role: sqrt(gain / fan in), of tables 0.02.

    Args:
      node: A `graph.Node` of one of the types WEIGHTED, at its true shapes.
    """
    view = node.view
    fan_ins = {"query": node.output[-1], "inner": node.output[-1], "gate": node.output[-1]}
    fan_ins |= {"key": node.inputs[-1][-1], "value": node.inputs[-1][-1]}
    if node.type == "MultiHeadAttention":
        fan_ins["output"] = view.heads * view.head_width
    if node.type == "FeedForward":
        fan_ins["outer"] = view.hidden
    gains = {"inner": operations.gain(view.activation)} if node.type == "FeedForward" else {}
    return {
        role: operations.initial_scale(fan_ins[role], gains.get(role, 1.0))
        if role in fan_ins
        else TABLE_SCALE
        for role in RANDOM[node.type]
    }


class Parameters(nnx.Module):
    """A layer's parameters as attributes named like their roles."""

    def __init__(self, roles: Roles):
        """Take the arrays by role."""
        self.names = tuple(roles)
        for role, values in roles.items():
            setattr(self, role, nnx.Param(values))

    def roles(self) -> dict[str, jax.Array]:
        """Return the arrays by role."""
        return {role: getattr(self, role)[...] for role in self.names}


def look_up(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return a table's [V, D] rows for tokens int32 [N, S]: float32 [N, S, D]."""
    if table.shape[0] > SMALL_VOCABULARY:
        return table[tokens]
    return jax.nn.one_hot(tokens, table.shape[0]) @ table


def embed(view: sequence_layers.Embedding, roles: Roles, values: jax.Array) -> jax.Array:
    """Return tokens as vectors that know their places: float32 [N, S, D].

    All tokens are of the first segment (Devlin et al. 2019, section 3.2): there is one input.

    Args:
      view: The layer's hyper-parameters.
      roles: `table` [V, D], `positions` [P, D], `segments` [., D], `class_token` [D].
      values: int32 [N, S], or float32 [N, S, D] without a vocabulary.
    """
    out = look_up(roles["table"], values) if view.vocabulary else values
    if view.class_token:
        first = jnp.broadcast_to(roles["class_token"], (out.shape[0], 1, out.shape[2]))
        out = jnp.concatenate([first, out], axis=1)
    if view.positions:
        out = out + roles["positions"][: out.shape[1]]
    return out + roles["segments"][0] if view.segments else out


def layer_norm(
    view: sequence_layers.LayerNorm,
    roles: Roles,
    values: jax.Array,
    live: jax.Array | None = None,
) -> jax.Array:
    """Normalise every place's vector (Ba et al. 2016; Zhang and Sennrich 2019).

    Args:
      view: The layer's hyper-parameters.
      roles: `scale` [D] and `shift` [D].
      values: float32 [..., D], zero where they are not live.
      live: float32 [D], 1 where live; by default everywhere.
    """
    if live is None:
        count, centred = values.shape[-1], values
        if not view.rms:
            centred = values - values.mean(-1, keepdims=True)
    else:
        count, centred = jnp.maximum(live.sum(), 1.0), values
        if not view.rms:
            centred = (values - values.sum(-1, keepdims=True) / count) * live
    square = jnp.square(centred).sum(-1, keepdims=True) / count
    out = centred * jax.lax.rsqrt(square + LAYER_NORM_EPSILON) * roles["scale"]
    return out + roles["shift"] if view.use_bias else out


def _product(values: jax.Array, roles: Roles, role: str) -> jax.Array:
    out = values @ roles[role]
    bias = roles.get("bias" if role == "outer" else f"{role}_bias")
    return out if bias is None else out + bias


def hidden_inputs(roles: Roles, values: jax.Array) -> jax.Array:
    """Return what stands in front of a feed-forward layer's activation: float32 [N, S, F]."""
    return _product(values, roles, "inner")


def feed_forward(
    view: sequence_layers.FeedForward, roles: Roles, values: jax.Array, inputs: jax.Array
) -> jax.Array:
    """Return the output of a feed-forward layer: float32 [N, S, D].

    Args:
      view: The layer's hyper-parameters.
      roles: `inner` and, where gated, `gate` [D, F], `outer` [F, D], with biases `inner_bias` and
        `gate_bias` [F], `bias` [D].
      values: float32 [N, S, D].
      inputs: `hidden_inputs` of them.
    """
    hidden = operations.activate(view.activation, inputs)
    if view.gated:
        hidden = hidden * _product(values, roles, "gate")
    return _product(hidden, roles, "outer")


def apply(node: Any, roles: Roles, inputs: list[jax.Array]) -> jax.Array:
    """Return the output of a layer of one of the types WEIGHTED, without its own activation.

    Args:
      node: A `graph.Node`.
      roles: Its parameters; of shared tables the owner's.
      inputs: What its parents give, [N, S, D] or token numbers [N, S].
    """
    first = inputs[0]
    match node.type:
        case "Embedding":
            return embed(node.view, roles, first)
        case "LayerNorm":
            return layer_norm(node.view, roles, first)
        case "MultiHeadAttention":
            return attention.attend(node.view, roles, first, inputs[-1])
        case _:
            return feed_forward(node.view, roles, first, hidden_inputs(roles, first))


def pool(method: str, values: jax.Array) -> jax.Array:
    """Return one vector [N, D] of each sequence [N, S, D]: its first, or the mean."""
    return values[:, 0] if method == "first" else values.mean(1)


def size(node: Any) -> int:
    """Return how many random numbers a node's parameters need."""
    found = shapes(node)
    return sum(math.prod(found[role]) for role in RANDOM[node.type] if role in found)


def drawn(node: Any, numbers: jax.Array) -> dict[str, jax.Array]:
    """Return a node's first parameters from standard normal numbers, `size` of them."""
    found, start = {}, 0
    deviations = scales(node)
    for role, shape in shapes(node).items():
        if role not in RANDOM[node.type]:
            found[role] = jnp.ones(shape) if role == "scale" else jnp.zeros(shape)
            continue
        end = start + math.prod(shape)
        found[role] = deviations[role] * numbers[start:end].reshape(shape)
        start = end
    return found
