"""Parameters and FLOPs of a child, counted from its arrays inside the compiled program.

Only what multiplies by weights counts as an operation, and the two products of an attention; a
multiply-add is two. The costs of a search come from `greennas_jax.costs`, not from here.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import initial, sequence_slots
from greennas_jax.accuracy import template as templates
from greennas_jax.build import registered, sequence

Children = dict[str, initial.Arrays]


def parameters(template: templates.Template, child: Children) -> jax.Array:
    """Return how many trainable parameters a child has: float32."""
    return _summed(template, child, _parameters)


def flops(template: templates.Template, child: Children) -> jax.Array:
    """Return the operations of one image or sequence in the forward pass [FLOP]: float32."""
    return _summed(template, child, _flops)


_Count = Callable[[templates.Slot, initial.Arrays, list[initial.Arrays]], jax.Array]


def _summed(template: templates.Template, child: Children, count: _Count) -> jax.Array:
    total = jnp.float32(0)
    for slot in template.slots:
        if not slot.node.parents:
            continue
        arrays = child[slot.node.name]
        above = [child[parent] for parent in slot.node.parents]
        total = total + jnp.where(arrays["present"], count(slot, arrays, above), 0.0)
        if slot.node.name == template.logits:
            break
    return total


def _area(arrays: initial.Arrays) -> jax.Array:
    """Return the live positions of an output."""
    return (arrays["rows"] * arrays["columns"]).astype(jnp.float32)


def _factors(
    slot: templates.Slot, arrays: initial.Arrays, above: initial.Arrays
) -> list[tuple[jax.Array, jax.Array]]:
    """Return (weights, positions that use each) of the layers that realise a slot with a kernel."""
    inputs, outputs = above["channels"].sum(), arrays["channels"].sum()
    area = _area(arrays)
    if slot.kind == "dense":
        places = jnp.where(arrays["pooled"], 1.0, _area(above))
        return [(places * inputs * outputs, jnp.float32(1))]
    if slot.kind in ("positionwise", "deconvolution"):
        kernel = math.prod(slot.node.view.kernel) if slot.kind == "deconvolution" else 1
        # A transposed convolution multiplies at every position that it reads.
        return [(kernel * inputs * outputs, area if kernel == 1 else _area(above))]
    window = arrays["window"][:, 1].prod().astype(jnp.float32)
    if slot.kind == "depthwise":
        return [(window * outputs, area)]
    middle = arrays["middle"].astype(jnp.float32) * (outputs > 0)
    kept = (outputs > 0).astype(jnp.float32)
    plain = window * inputs * outputs / arrays["groups"]
    zero = jnp.float32(0)
    # In the order of templates.BRANCHES; three factors each.
    weights = jnp.stack(
        [
            jnp.stack([plain, zero, zero]),
            jnp.stack([plain, zero, zero]),
            jnp.stack([inputs * outputs, window * inputs * kept, zero]),
            jnp.stack([middle * outputs, window * middle * middle, inputs * middle]),
        ]
    )[arrays["branch"]]
    # The first layer of a bottleneck works on what is read, before any stride.
    return [(weights[0], area), (weights[1], area), (weights[2], _area(above))]


def _parameters(
    slot: templates.Slot, arrays: initial.Arrays, above: list[initial.Arrays]
) -> jax.Array:
    outputs = arrays["channels"].sum()
    if slot.node.type in sequence.WEIGHTED:
        shapes = sequence.shapes(slot.node)
        return sum((_of_role(role, shapes, arrays, above) for role in shapes), start=0.0 * outputs)
    if slot.kind == "registered":
        held = registered.parameters(slot.node).values()
        if registered.is_pointwise(slot.node):
            return len(held) * outputs
        return 0 * outputs + sum(math.prod(parameter.shape) for parameter in held)
    total = 2 * outputs if templates.normalizes(slot) else 0 * outputs
    if not has_kernel(slot):
        return total
    if slot.node.view.use_bias:
        total = total + outputs
    if initial.shares(slot):
        return total
    return total + sum(weights for weights, _ in _factors(slot, arrays, above[0]))


def _flops(slot: templates.Slot, arrays: initial.Arrays, above: list[initial.Arrays]) -> jax.Array:
    if slot.kind == "attention":
        return _attention_flops(slot, arrays, above)
    if slot.kind == "feed_forward":
        shapes = sequence.shapes(slot.node)
        held = (_of_role(role, shapes, arrays, above) for role in ("inner", "gate", "outer"))
        return 2 * _area(arrays) * sum(held)
    if not has_kernel(slot):
        return jnp.float32(0)
    return sum(
        (2 * weights * positions for weights, positions in _factors(slot, arrays, above[0])),
        start=jnp.float32(0),
    )


def _attention_flops(
    slot: templates.Slot, arrays: initial.Arrays, above: list[initial.Arrays]
) -> jax.Array:
    """Return the projections, and the products of queries with keys and shares with values."""
    shapes = sequence.shapes(slot.node)
    asking, read = _area(arrays), _area(above[-1])
    total = jnp.float32(0)
    for role, places in (("query", asking), ("key", read), ("value", read), ("output", asking)):
        total = total + 2 * places * _of_role(role, shapes, arrays, above)
    width = arrays["heads"].sum() * slot.node.view.head_width
    return total + 2 * (2 * asking * read * width)


def has_kernel(slot: templates.Slot) -> bool:
    """Return whether a slot multiplies by a kernel of its own kind."""
    return slot.kind in ("convolution", "depthwise", "dense", "positionwise", "deconvolution")


def _of_role(
    role: str,
    shapes: dict[str, tuple[int, ...]],
    arrays: initial.Arrays,
    above: list[initial.Arrays],
) -> jax.Array:
    """Return the live numbers of one role of a transformer's layer; 0 where it has none."""
    total = jnp.float32(role in shapes)
    if role not in shapes:
        return total
    for size, axis in zip(shapes[role], sequence_slots.AXES[role], strict=True):
        match axis:
            case "written":
                live = arrays["channels"].sum()
            case "asking":
                live = above[0]["channels"].sum()
            case "read":
                live = above[-1]["channels"].sum()
            case "heads":
                live = arrays["heads"].sum()
            case "shared":
                live = (arrays["sharing"].sum(0) > 0).sum()
            case "hidden":
                live = arrays["hidden"].sum()
            case _:
                live = size
        total = total * live
    return total
