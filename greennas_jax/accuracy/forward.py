"""The template's forward pass for one child: masks decide what it computes.

Everything dead in a tensor is zero, so that zero padding, sums and matrix products of the child
come out as those of its true network.

Shapes: N images, H, W, C template sizes. Images are [N, H, W, C] or [C, H, W, N], as the
convolution method wants them; sequences are [N, S, 1, D], token numbers [N, S].
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import initial, kernels, pools, sequence_slots
from greennas_jax.accuracy import template as templates
from greennas_jax.accuracy.initial import Arrays, Parameters, Statistics
from greennas_jax.accuracy.live import (
    Mode,
    fitted,
    live_mask,
    order_of,
    position_mask,
    positions_mean,
)
from greennas_jax.build import flax_network, layout, operations, registered, sequence


def _normalize(
    slot: templates.Slot,
    arrays: Arrays,
    roles: Arrays,
    values: jax.Array,
    moments: flax_network.Moments,
    mode: Mode,
) -> tuple[jax.Array, flax_network.Moments]:
    """Batch normalisation with the moments of live positions only."""
    order = order_of(slot, mode)
    if mode.training:
        images = values.shape[order.index("N")]
        weight = position_mask(slot, arrays) / (arrays["rows"] * arrays["columns"] * images)
        axes = layout.reduced_axes(order)
        mean = (values * weight).sum(axes)
        centred = values - layout.of_channels(mean, order)
        variance = (jnp.square(centred) * weight).sum(axes)
        batch = flax_network.Moments(mean, variance)
        moments = jax.tree.map(flax_network.running, moments, batch)
    else:
        batch = moments
        centred = values - layout.of_channels(batch.mean, order)
    inverse = jax.lax.rsqrt(batch.variance + operations.BATCH_NORM_EPSILON) * roles["scale"]
    shift = layout.of_channels(roles["shift"], order)
    return centred * layout.of_channels(inverse, order) + shift, moments


def _response(values: jax.Array, channels: jax.Array, order: layout.Layout) -> jax.Array:
    """Local response normalisation across the live channels, which need not be adjacent."""
    ranks = jnp.cumsum(channels) - 1.0
    near = jnp.abs(ranks[:, None] - ranks) <= operations.RESPONSE_SIZE // 2
    axis = layout.channel_axis(order)
    energy = jnp.moveaxis(
        jnp.tensordot(jnp.square(values), near.astype(jnp.float32), ((axis,), (0,))), -1, axis
    )
    return operations.divide_by_energy(values, energy)


def _head(
    slot: templates.Slot, values: jax.Array, above: Arrays, order: layout.Layout
) -> jax.Array:
    """Apply a Softmax or Sigmoid in the middle of a network."""
    if slot.sequence:
        return jax.nn.softmax(jnp.where(above["channels"] > 0, values, -jnp.inf), axis=-1)
    mean = positions_mean(values, above, order)
    if slot.node.type == "Softmax":
        out = jax.nn.softmax(jnp.where(above["channels"] > 0, mean, -jnp.inf), axis=-1)
    else:
        out = jax.nn.sigmoid(mean.sum(-1, keepdims=True) / above["channels"].sum())
    return layout.from_nhwc(out[:, None, None, :], order)


def _of_sequence(slot: templates.Slot) -> bool:
    """Return whether a slot reads a sequence."""
    return len(slot.node.inputs[0]) == 3


def plain(slot: templates.Slot, inputs: list[jax.Array], above: Arrays, mode: Mode) -> jax.Array:
    """Apply a slot without parameters."""
    first = inputs[0]
    order = order_of(slot, mode)
    match slot.kind:
        case "pool":
            return pools.pool(slot, first, above, mode)
        case "global_pool":
            return pools.global_pool(slot, first, above)
        case "concatenate":
            parts = [fitted(value, slot) for value in inputs]
            return jnp.concatenate(parts, axis=layout.channel_axis(order))
        case "elementwise":
            parts = [fitted(value, slot) for value in inputs]
            return sum(parts[1:], start=parts[0])
        case "reshape":
            flat = first if _of_sequence(slot) else layout.to_nhwc(first, mode.order)
            shaped = flat.reshape(-1, slot.height, slot.width, slot.channels)
            return layout.from_nhwc(shaped, order)
        case "sequence_pool":
            pooled = sequence.pool(slot.node.view, first[:, :, 0])
            return layout.from_nhwc(pooled[:, None, None], order)
        case "upsample":
            return operations.upsample(first, slot.node.view)
        case "response":
            return _response(first, above["channels"], order)
        case "head":
            return _head(slot, first, above, order)
        case _:
            return first


def of_registered(
    slot: templates.Slot, roles: Arrays, inputs: list[jax.Array], order: layout.Layout
) -> jax.Array:
    """Apply a layer of a registered type; its function sees the tensors' own ranks."""
    pairs = zip(inputs, slot.node.inputs, strict=True)
    read = [_of_rank(value, len(shape), order) for value, shape in pairs]
    out = registered.apply(slot.node, roles, read, "NHWC")
    if out.ndim == 3:
        return out[:, :, None]
    return layout.from_nhwc(out[:, None, None] if out.ndim == 2 else out, order)


def _of_rank(values: jax.Array, rank: int, order: layout.Layout) -> jax.Array:
    """Return a tensor of the template as [N, C], [N, S, D] or [N, H, W, C]."""
    if rank == 3:
        return values[:, :, 0]
    images = layout.to_nhwc(values, order)
    return images[:, 0, 0] if rank == 2 else images


def settled(
    slots: Mapping[str, templates.Slot],
    slot: templates.Slot,
    arrays: Arrays,
    inputs: list[jax.Array],
    out: jax.Array,
    order: layout.Layout,
) -> jax.Array:
    """Return a slot's output with the dead set to zero, or its input where it is left out."""
    out = out * live_mask(slot, arrays, order)
    passing = slot.shortcut
    if passing < 0 and templates.can_pass(slot, slots[slot.node.parents[0]]):
        passing = 0
    if passing < 0:
        return out
    return jnp.where(arrays["present"], out, fitted(inputs[passing], slot))


def run(
    template: templates.Template,
    child: dict[str, Arrays],
    parameters: Parameters,
    statistics: Statistics,
    images: jax.Array,
    mode: Mode,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Statistics]:
    """Return the logits of one child and its batch statistics.

    Args:
      template: The plan.
      child: Arrays of one variant (`masks.describe`).
      parameters: Template-sized parameters.
      statistics: Running moments by slot.
      images: float32 [N, H, W, C], [N, F] or [N, S, D], or int32 token numbers [N, S].
      mode: How to run.
      key: Typed random key for dropout in training; without one nothing is dropped.

    Returns:
      Logits float32 [N, classes], and the statistics, updated in training.
    """
    statistics = dict(statistics)
    slots = template.by_name()
    outputs: dict[str, jax.Array] = {}
    for index, slot in enumerate(template.slots):
        name = slot.node.name
        arrays = child[name]
        inputs = [outputs[parent] for parent in slot.node.parents]
        order = order_of(slot, mode)
        if slot.kind in ("input", "tokens"):
            outputs[name] = images
            if slot.kind == "input":
                shaped = images.reshape(-1, slot.height, slot.width, slot.channels)
                outputs[name] = layout.from_nhwc(shaped, order)
            continue
        above, inner = child[slot.node.parents[0]], None
        roles = initial.roles_of(slot, parameters)
        if slot.node.type in sequence.WEIGHTED:
            live = above["channels"]
            out, inner = sequence_slots.run(slot.node, arrays, roles, inputs, live, mode.factors)
        elif slot.kind == "registered":
            out = of_registered(slot, roles, inputs, mode.order)
        elif roles:
            out = kernels.weighted(slot, arrays, roles, inputs[0], above, mode)
            if templates.normalizes(slot):
                out, statistics[name] = _normalize(
                    slot, arrays, parameters[name], out, statistics[name], mode
                )
        elif slot.kind == "dropout" and mode.training and key is not None:
            out = operations.drop(inputs[0], slot.node.view, jax.random.fold_in(key, index))
        else:
            out = plain(slot, inputs, above, mode)
        if mode.observe is not None:
            seen = live_mask(slot, arrays, order) if inner is None else arrays["hidden"]
            mode.observe(slot, out if inner is None else inner, seen * arrays["present"])
        out = operations.activate(slot.node.activation, out)
        outputs[name] = settled(slots, slot, arrays, inputs, out, order)
        if name == template.logits:
            break
    last = child[template.logits]
    order = order_of(slots[template.logits], mode)
    return positions_mean(outputs[template.logits], last, order), statistics
