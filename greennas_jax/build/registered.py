"""Layers of registered types, executed: their parameters and their forward pass.

Shapes: as the text's, batch first; images come in whichever order of axes they are held.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from greennas_jax.build import graph, layout
from greennas_jax.spec import layer_types
from greennas_jax.spec.layer_types import Parameter
from greennas_jax.spec.network import SpecError


def is_registered(node: graph.Node) -> bool:
    """Return whether a node is of a registered type."""
    return isinstance(node.view, layer_types.View)


def is_pointwise(node: graph.Node) -> bool:
    """Return whether a node is of a registered type that follows whatever it reads."""
    found = layer_types.find(node.type)
    return found is not None and found.pointwise


def parameters(node: graph.Node) -> dict[str, Parameter]:
    """Return the parameters of a node by role; none where its type is not registered."""
    return dict(node.view.parameters) if is_registered(node) else {}


def size(node: graph.Node) -> int:
    """Return how many random numbers a node's parameters begin as."""
    return sum(math.prod(p.shape) for p in parameters(node).values() if p.deviation)


def drawn(held: Mapping[str, Parameter], numbers: jax.Array) -> dict[str, jax.Array]:
    """Return first values by role.

    Args:
      held: Parameters by role.
      numbers: Standard normal numbers, as many as `size` says.
    """
    found, start = {}, 0
    for role, parameter in held.items():
        if not parameter.deviation:
            found[role] = jnp.full(parameter.shape, parameter.mean)
            continue
        count = math.prod(parameter.shape)
        part = numbers[start : start + count].reshape(parameter.shape)
        found[role] = parameter.mean + parameter.deviation * part
        start += count
    return found


def apply(
    node: graph.Node,
    roles: Mapping[str, jax.Array],
    inputs: list[jax.Array],
    order: layout.Layout,
) -> jax.Array:
    """Return the output of a layer of a registered type.

    Args:
      node: The layer.
      roles: Its parameters.
      inputs: What it reads.
      order: How images are held.

    Raises:
      SpecError: If its type is not registered, or has no forward pass.
    """
    found = layer_types.find(node.type)
    if found is None or found.forward is None:
        raise SpecError(f"layer '{node.name}': type '{node.type}' cannot be executed")
    read = [layout.to_nhwc(value, order) if value.ndim == 4 else value for value in inputs]
    out = found.forward(node.view.of_type, roles, read)
    return layout.from_nhwc(out, order) if out.ndim == 4 else out
