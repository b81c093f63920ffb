"""A child's parameters in the template: their shapes, first values and batch statistics.

Shapes: H, W, C template sizes, O output channels, M middle channels.
"""

import math

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network, registered, sequence

Arrays = dict[str, jax.Array]
Parameters = dict[str, Arrays]
Statistics = flax_network.Statistics


def shapes(template: templates.Template) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of every slot's parameters.

    A convolution's roles: `kernel` [kh, kw, C, O] (its first position is also the pointwise part
    of a separable one), `depthwise` [kh, kw, C], `reduce` [C, M], `spatial` [kh, kw, M, M],
    `expand` [M, O]. A dense slot's `kernel` is [H, W, C, O], a positionwise one's [C, O]; those of
    transformers are `build.sequence`'s.
    """
    slots = template.by_name()
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for slot in template.slots:
        above = slots[slot.node.parents[0]] if slot.node.parents else slot
        roles = _roles(slot, above)
        if roles:
            found[slot.node.name] = roles
    return found


def _roles(slot: templates.Slot, above: templates.Slot) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    view = slot.node.view
    if slot.node.type in sequence.WEIGHTED:
        return sequence.shapes(slot.node)
    if slot.kind == "registered":
        return {role: each.shape for role, each in registered.parameters(slot.node).items()}
    if shares(slot):
        return {"bias": (slot.channels,)} if view.use_bias else {}
    if slot.kind in ("convolution", "depthwise") and slot.windows is not None:
        size = (slot.windows[0].size, slot.windows[1].size)
        shapes["kernel"] = (*size, above.channels, slot.channels)
        if slot.kind == "depthwise":
            shapes["kernel"] = (*size, slot.channels)
        if slot.middle:
            shapes["depthwise"] = (*size, above.channels)
            shapes["reduce"] = (above.channels, slot.middle)
            shapes["spatial"] = (*size, slot.middle, slot.middle)
            shapes["expand"] = (slot.middle, slot.channels)
    elif slot.kind == "dense":
        shapes["kernel"] = (above.height, above.width, above.channels, slot.channels)
    elif slot.kind == "positionwise":
        shapes["kernel"] = (above.channels, slot.channels)
    elif slot.kind == "deconvolution":
        shapes["kernel"] = (*view.kernel, slot.channels, above.channels)
    if shapes and view.use_bias:
        shapes["bias"] = (slot.channels,)
    if slot.kind == "normalization" or templates.normalizes(slot):
        shapes["scale"] = shapes["shift"] = (slot.channels,)
    return shapes


def shares(slot: templates.Slot) -> bool:
    """Return whether a slot's kernel is an embedding's table."""
    return slot.node.type == "InnerProduct" and slot.node.view.weights_of is not None


def roles_of(slot: templates.Slot, parameters: Parameters) -> Arrays:
    """Return a slot's parameters, an embedding's table among them where it uses one."""
    own = parameters.get(slot.node.name, {})
    if shares(slot):
        return {**own, "kernel": parameters[slot.node.view.weights_of]["table"].T}
    if slot.kind == "embedding" and slot.node.view.weights_of:
        return {**own, "table": parameters[slot.node.view.weights_of]["table"]}
    return own


def total(template: templates.Template) -> int:
    """Return how many random numbers one child's parameters hold."""
    slots = template.by_name()
    return sum(_random(slots[name], roles) for name, roles in shapes(template).items())


def _random(slot: templates.Slot, roles: dict[str, tuple[int, ...]]) -> int:
    """Return how many random numbers a slot's parameters hold."""
    if slot.kind == "registered":
        return registered.size(slot.node)
    return sum(math.prod(shape) for role, shape in roles.items() if role in templates.PLACES)


def draw(template: templates.Template, key: jax.Array) -> Parameters:
    """Return standard normal draws for every kernel, and the initial biases and scales.

    Args:
      template: The plan.
      key: Typed random key.

    Returns:
      Parameters by slot and role; `scaled` turns them into a child's initial parameters.
    """
    # One draw for all: compiling a generator costs more than running it.
    numbers = jax.random.normal(key, (total(template),))
    start = 0
    found: Parameters = {}
    slots = template.by_name()
    for name, roles in shapes(template).items():
        found[name] = {}
        if slots[name].kind == "registered":
            own = registered.parameters(slots[name].node)
            size = registered.size(slots[name].node)
            found[name] = registered.drawn(own, numbers[start : start + size])
            start += size
            continue
        for role, shape in roles.items():
            if role in templates.PLACES:
                size = math.prod(shape)
                found[name][role] = numbers[start : start + size].reshape(shape)
                start += size
            else:
                found[name][role] = jnp.ones(shape) if role == "scale" else jnp.zeros(shape)
    return found


def scaled(draws: Parameters, child: dict[str, Arrays]) -> Parameters:
    """Return a child's initial parameters: the draws at the scales of its own fan-ins."""
    return {
        name: {
            role: values * child[name]["scales"][templates.PLACES[role]]
            # A registered type's own deviations hold, whatever the child.
            if role in templates.PLACES and "scales" in child[name]
            else values
            for role, values in roles.items()
        }
        for name, roles in draws.items()
    }


def statistics(template: templates.Template) -> Statistics:
    """Return zero means and unit variances for every batch normalisation."""
    return {
        slot.node.name: flax_network.Moments(jnp.zeros(slot.channels), jnp.ones(slot.channels))
        for slot in template.slots
        if templates.normalizes(slot)
    }
