"""Layers of transformers in the masked template: what children may keep of them.

The first heads of an attention and the first hidden units of a feed-forward layer are kept; keys
and values may be shared by more heads than in the given layer. A sequence [N, S, D] stands in the
template as [N, S, 1, D], whichever the order of images' axes; token numbers stay [N, S].

Shapes: N sequences, S places, D width, H heads, K heads of keys and values, F hidden units.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.build import graph, sequence

Arrays = dict[str, jax.Array]
# Kinds of slots by the types of their layers.
KINDS = {
    "Embedding": "embedding",
    "LayerNorm": "layer_norm",
    "MultiHeadAttention": "attention",
    "FeedForward": "feed_forward",
    "SequencePool": "sequence_pool",
}
# Those that are made of products.
PRODUCTS = ("MultiHeadAttention", "FeedForward")
# How each axis of a role is cut to a child: by what is read, by what is written, by heads, by heads
# of keys and values, by hidden units, or not at all.
AXES: dict[str, tuple[str | None, ...]] = {
    "table": (None, "written"),
    "positions": (None, "written"),
    "segments": (None, "written"),
    "class_token": ("written",),
    "scale": ("written",),
    "shift": ("written",),
    "query": ("asking", "heads", None),
    "key": ("read", "shared", None),
    "value": ("read", "shared", None),
    "output": ("heads", None, "written"),
    "relative": (None, "heads"),
    "query_bias": ("heads", None),
    "key_bias": ("shared", None),
    "value_bias": ("shared", None),
    "inner": ("asking", "hidden"),
    "gate": ("asking", "hidden"),
    "outer": ("hidden", "written"),
    "inner_bias": ("hidden",),
    "gate_bias": ("hidden",),
    "bias": ("written",),
}


class Kept(NamedTuple):
    """What a child keeps of an attention or a feed-forward layer; 0 of what its kind has not."""

    heads: int
    key_value_heads: int
    hidden: int


def kept(node: graph.Node) -> Kept:
    """Return what a node has of what children may reduce."""
    view = node.view
    if node.type == "MultiHeadAttention":
        return Kept(view.heads, view.key_value_heads, 0)
    return Kept(0, 0, view.hidden if node.type == "FeedForward" else 0)


def without_choices(node: graph.Node) -> Any:
    """Return a node's view with what children may reduce set to zero."""
    if node.type == "MultiHeadAttention":
        return node.view._replace(heads=0, key_value_heads=0)
    return node.view._replace(hidden=0) if node.type == "FeedForward" else node.view


def arrays(given: graph.Node, node: graph.Node | None) -> dict[str, Any]:
    """Return what a child's template needs to know of an attention or feed-forward layer.

    Args:
      given: The given layer.
      node: The child's, None where it is left out.

    Returns:
      `scales` float32, deviations of the random roles, of an attention `heads` float32 [H], 1 where
      kept, and `sharing` float32 [H, K], 1 where a head reads these keys, of a feed-forward layer
      `hidden` float32 [F], 1 where kept.
    """
    deviations = sequence.scales(given if node is None else node)
    found: dict[str, Any] = {
        "scales": np.asarray([deviations[role] for role in sequence.RANDOM[given.type]], np.float32)
    }
    most, has = kept(given), kept(node) if node is not None else Kept(0, 0, 0)
    if given.type == "MultiHeadAttention":
        head = np.arange(most.heads)
        found["heads"] = (head < has.heads).astype(np.float32)
        source = head * has.key_value_heads // max(has.heads, 1)
        shares = source[:, None] == np.arange(most.key_value_heads)
        found["sharing"] = shares.astype(np.float32) * found["heads"][:, None]
    if given.type == "FeedForward":
        found["hidden"] = (np.arange(most.hidden) < has.hidden).astype(np.float32)
    return found


def masked(node: graph.Node, arrays: Arrays, roles: Arrays) -> Arrays:
    """Return a slot's parameters with those that a child has not at zero, every head its own keys.

    Args:
      node: The given layer.
      arrays: The child's.
      roles: The slot's parameters.
    """
    found = dict(roles)
    if node.type == "FeedForward":
        found["outer"] = roles["outer"] * arrays["hidden"][:, None]
    if node.type == "MultiHeadAttention":
        found["output"] = roles["output"] * arrays["heads"][:, None, None]
        for role in ("key", "value"):
            found[role] = jnp.einsum("dke,hk->dhe", roles[role], arrays["sharing"])
            if f"{role}_bias" in roles:
                found[f"{role}_bias"] = arrays["sharing"] @ roles[f"{role}_bias"]
    return found


def cut(
    node: graph.Node,
    roles: dict[str, np.ndarray],
    asking: np.ndarray,
    read: np.ndarray,
    written: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return a slot's parameters at a child's true shapes.

    Args:
      node: The child's layer.
      roles: The slot's parameters.
      asking: bool [D], live channels of its first parent.
      read: The same of its last one.
      written: The same of its output.
    """
    has = kept(node)
    parts: dict[str | None, Any] = {
        None: slice(None),
        "asking": asking,
        "read": read,
        "written": written,
        "heads": slice(has.heads),
        "shared": slice(has.key_value_heads),
        "hidden": slice(has.hidden),
    }
    found = {}
    for role, values in roles.items():
        for axis, name in enumerate(AXES[role]):
            values = values[(slice(None),) * axis + (parts[name],)]
        found[role] = values
    return found


def run(
    node: graph.Node,
    arrays: Arrays,
    roles: Arrays,
    inputs: list[jax.Array],
    live: jax.Array,
    factors: Callable[..., Any],
) -> tuple[jax.Array, jax.Array | None]:
    """Apply a slot of one of the types `sequence.WEIGHTED`.

    Args:
      node: The given layer.
      arrays: The child's.
      roles: The slot's parameters, another one's table among them.
      inputs: float32 [N, S, 1, D] each, or int32 [N, S].
      live: float32 [D], 1 where the first input is live.
      factors: Returns factors of products in their number format.

    Returns:
      float32 [N, S, 1, D], and what stands in front of an activation inside: [N, S, 1, F], if any.
    """
    flat = [values[:, :, 0] if values.ndim == 4 else values for values in inputs]
    roles = masked(node, arrays, roles)
    if node.type in PRODUCTS:
        roles, flat = factors(roles, flat)
    inner = None
    if node.type == "LayerNorm":
        out = sequence.layer_norm(node.view, roles, flat[0], live)
    elif node.type == "FeedForward":
        inner = sequence.hidden_inputs(roles, flat[0])
        out = sequence.feed_forward(node.view, roles, flat[0], inner)
    else:
        out = sequence.apply(node, roles, flat)
    out = out.astype(jnp.float32)
    shown = None if inner is None or node.view.activation is None else inner[:, :, None]
    return out[:, :, None], shown
