"""Slots with a kernel: every operation as one linear map, chosen by a child's arrays.

An operation is composed in weight space into one kernel in the template's window, except where
applying its factors one after the other is cheaper.

Shapes: N images, H, W, C template sizes, O output channels, M middle channels.
"""

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import sliding
from greennas_jax.accuracy import template as templates
from greennas_jax.accuracy.initial import Arrays
from greennas_jax.accuracy.live import Mode, fitted
from greennas_jax.build import convolution, layout
from greennas_jax.spec import shapes as shape_rules

BOTTLENECK = templates.BRANCHES.index("bottleneck")


def _window_mask(slot: templates.Slot, arrays: Arrays) -> jax.Array:
    """Return float32 [kh, kw]: 1 inside the child's kernel."""
    sides = []
    for axis in (0, 1):
        position = jnp.arange(slot.windows[axis].size)  # pyright: ignore[reportOptionalSubscript] -- only slots with windows reach here
        offset, size = arrays["window"][axis]
        sides.append((position >= offset) & (position < offset + size))
    return (sides[0][:, None] & sides[1]).astype(jnp.float32)


def _group_mask(arrays: Arrays, outputs: int) -> jax.Array:
    """Return float32 [C, O]: 1 where input and output channel are in one group."""
    groups, counts = arrays["groups"], arrays["counts"]
    of_input = arrays["ranks"] * groups // counts[0]
    of_output = jnp.arange(outputs) * groups // counts[1]
    return (of_input[:, None] == of_output).astype(jnp.float32)


def compose(slot: templates.Slot, arrays: Arrays, roles: Arrays, bottleneck: bool) -> jax.Array:
    """Return a convolution's kernel in the template's window: float32 [kh, kw, C, O].

    Args:
      slot: A convolution.
      arrays: The child's.
      roles: Its parameters.
      bottleneck: Whether a bottleneck is composed here as well.
    """
    inside = _window_mask(slot, arrays)[:, :, None, None]

    def given() -> jax.Array:
        return roles["kernel"] * inside

    def grouped() -> jax.Array:
        return roles["kernel"] * inside * _group_mask(arrays, slot.channels)

    def separable() -> jax.Array:
        return (roles["depthwise"] * inside[..., 0])[..., None] * roles["kernel"][0, 0]

    def squeezed() -> jax.Array:
        reduce, spatial, expand = _bottleneck_factors(slot, arrays, roles)
        return jnp.einsum("im,hwmn->hwin", reduce, spatial) @ expand

    branches = [given, grouped]
    if slot.middle:
        branches += [separable, squeezed] if bottleneck else [separable]
    return jax.lax.switch(arrays["branch"], branches)


def _bottleneck_factors(
    slot: templates.Slot, arrays: Arrays, roles: Arrays
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return reduce [C, M], spatial [kh, kw, M, M] and expand [M, O] with the dead at zero."""
    live = (jnp.arange(slot.middle) < arrays["middle"]).astype(jnp.float32)
    inside = _window_mask(slot, arrays)[:, :, None, None]
    return roles["reduce"] * live, roles["spatial"] * inside * live, roles["expand"]


def _convolution(
    slot: templates.Slot, arrays: Arrays, roles: Arrays, values: jax.Array, mode: Mode
) -> jax.Array:
    def convolved(images: jax.Array, kernel: jax.Array, groups: int = 1) -> jax.Array:
        images, kernel = mode.factors(images, kernel)
        out = sliding.convolve(slot, images, kernel, arrays["level"], groups, mode.method)
        return fitted(out.astype(jnp.float32), slot)

    if slot.kind == "depthwise":
        kernel = (roles["kernel"] * _window_mask(slot, arrays)[:, :, None])[:, :, None, :]
        return convolved(values, kernel, slot.channels)
    images = values.shape[mode.order.index("N")]
    # Composing costs M (M + O) for each of C kh kw numbers, the convolution N oh ow O.
    positions = images * slot.height * slot.width
    if slot.middle * (slot.middle + slot.channels) <= positions * slot.channels:
        return convolved(values, compose(slot, arrays, roles, True))

    def squeezed() -> jax.Array:
        reduce, spatial, expand = _bottleneck_factors(slot, arrays, roles)
        narrow = _pointwise(values, reduce, mode)
        return _pointwise(convolved(narrow, spatial), expand, mode)

    def composed() -> jax.Array:
        return convolved(values, compose(slot, arrays, roles, False))

    return jax.lax.cond(arrays["branch"] == BOTTLENECK, squeezed, composed)


def _pointwise(values: jax.Array, weights: jax.Array, mode: Mode) -> jax.Array:
    values, kernel = mode.factors(values, weights[None, None])
    pads = ((0, 0), (0, 0))
    out = convolution.convolve(values, kernel, strides=(1, 1), pads=pads, method=mode.method)
    return out.astype(jnp.float32)


def _dense(
    arrays: Arrays, roles: Arrays, values: jax.Array, above: Arrays, mode: Mode
) -> jax.Array:
    kernel, order = roles["kernel"], mode.order
    outputs = kernel.shape[-1]
    batch = values.shape[order.index("N")]

    def product(features: jax.Array, weights: jax.Array) -> jax.Array:
        """Return features [N, F] or [F, N] times weights [F, O] as images of one position."""
        features, weights = mode.factors(features, weights)
        out = features @ weights if order == "NHWC" else weights.T @ features
        return out.astype(jnp.float32)[:, None, None, :]

    def given() -> jax.Array:
        if order == "NHWC":
            flat = values.reshape(batch, -1)
        else:
            flat = values.transpose(1, 2, 0, 3).reshape(-1, batch)
        return product(flat, kernel.reshape(-1, outputs))

    def pooled() -> jax.Array:
        mean = values.sum((1, 2)) / (above["rows"] * above["columns"])
        return product(mean, kernel[0, 0])

    if values.shape[1] * values.shape[2] == 1:
        return given()
    return jax.lax.cond(arrays["pooled"], pooled, given)


def weighted(
    slot: templates.Slot,
    arrays: Arrays,
    roles: Arrays,
    values: jax.Array,
    above: Arrays,
    mode: Mode,
) -> jax.Array:
    """Apply a slot's kernel and bias."""
    if slot.kind == "positionwise":
        values, kernel = mode.factors(values, roles["kernel"])
        return (values @ kernel).astype(jnp.float32) + roles.get("bias", 0.0)
    if slot.kind == "dense":
        if len(slot.node.inputs[0]) == 3:
            values = layout.from_nhwc(values, mode.order)
        out = _dense(arrays, roles, values, above, mode)
    elif slot.kind == "deconvolution":
        view = slot.node.view
        pads = shape_rules.pad_amounts(view.padding, view.output_size, view.kernel, view.strides)
        values, kernel = mode.factors(values, roles["kernel"])
        out = convolution.convolve_transposed(
            values,
            kernel,
            strides=view.strides,
            pads=pads,
            output_size=view.output_size,
            method=mode.method,
        ).astype(jnp.float32)
    elif slot.kind == "normalization":
        return values
    else:
        out = _convolution(slot, arrays, roles, values, mode)
    return out + layout.of_channels(roles["bias"], mode.order) if "bias" in roles else out
