"""Pooling slots, whose padding and counts follow each child's sizes."""

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import template as templates
from greennas_jax.accuracy.initial import Arrays
from greennas_jax.accuracy.live import Mode, fitted, only_live
from greennas_jax.build import convolution, pooling


def _live_windows(slot: templates.Slot, axis: int, size: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return first position [o] and number [o] of live inputs of each window along one axis."""
    view = slot.node.view
    window = slot.windows[axis]  # pyright: ignore[reportOptionalSubscript] -- a pooling slot has windows
    before = jnp.asarray(window.before)
    if view.padding == "SAME":
        kernel, stride = view.kernel[axis], window.stride
        total = (-(-size // stride) - 1) * stride + kernel - size
        before = jnp.maximum(total, 0) // 2
    length = slot.height if axis == 0 else slot.width
    starts = jnp.arange(length) * window.stride - before
    ends = jnp.minimum(starts + view.kernel[axis], size)
    return window.before - before, ends - jnp.maximum(starts, 0)


def pool(slot: templates.Slot, values: jax.Array, above: Arrays, mode: Mode) -> jax.Array:
    """Pooling whose padding, where it has any, follows the child's sizes."""
    view = slot.node.view
    row, column = slot.windows  # pyright: ignore[reportGeneralTypeIssues] -- a pooling slot has windows
    kernel, strides = (row.size, column.size), (row.stride, column.stride)
    pads = ((row.before, row.after), (column.before, column.after))
    offset_row, rows = _live_windows(slot, 0, above["rows"])
    offset_column, columns = _live_windows(slot, 1, above["columns"])
    shifting = row.shifting or column.shifting
    if not shifting and view.average:
        out = fitted(pooling.sum_pool(values, kernel, strides, pads, mode.method), slot)
        return out / jnp.maximum(rows[:, None] * columns, 1)[:, :, None]
    if not view.average and (view.padding != "VALID" and slot.ragged):
        values = only_live(values, above)
    if not shifting:
        out = fitted(pooling.max_pool(values, kernel, strides, pads, mode.method), slot)
        return jnp.where(jnp.isfinite(out), out, 0.0)
    inside = (offset_row, offset_column)
    return _shifting_pool(slot, values, inside, rows[:, None] * columns)


def _shifting_pool(
    slot: templates.Slot,
    values: jax.Array,
    offsets: tuple[jax.Array, jax.Array],
    counts: jax.Array,
) -> jax.Array:
    """Pooling whose window starts at another place of the template's for each child."""
    view = slot.node.view
    row, column = slot.windows  # pyright: ignore[reportGeneralTypeIssues] -- a pooling slot has windows
    pads = ((row.before, row.after), (column.before, column.after))
    fill = 0.0 if view.average else -jnp.inf
    merge = jnp.add if view.average else jnp.maximum
    seen = convolution.taps(
        values, (row.size, column.size), (row.stride, column.stride), pads, fill
    )
    out = jnp.float32(fill)
    for index, tap in enumerate(seen):
        place = divmod(index, column.size)
        inside = [
            (place[axis] >= offsets[axis]) & (place[axis] < offsets[axis] + view.kernel[axis])
            for axis in (0, 1)
        ]
        out = merge(out, jnp.where(inside[0] & inside[1], tap, fill))
    out = fitted(out, slot)
    if view.average:
        return out / jnp.maximum(counts, 1)[:, :, None]
    return jnp.where(jnp.isfinite(out), out, 0.0)


def global_pool(slot: templates.Slot, values: jax.Array, above: Arrays) -> jax.Array:
    """Pooling over all live positions."""
    if slot.node.view.average:
        return values.sum((1, 2), keepdims=True) / (above["rows"] * above["columns"])
    return only_live(values, above).max((1, 2), keepdims=True)
