"""The template's forward pass for one child: masks decide what it computes.

Everything dead in a tensor is zero, so that zero padding, sums and matrix products of the child
come out as those of its true network. Every operation of a convolution is composed in weight space
into one kernel in the template's window.

Shapes: N images, H, W, C template sizes, O output channels, M middle channels.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution, flax_network, layout, operations, pooling
from greennas_jax.spec import shapes as shape_rules

Arrays = dict[str, jax.Array]
Parameters = dict[str, Arrays]
Statistics = flax_network.Statistics
Observer = Callable[[templates.Slot, jax.Array, Arrays], None]
BOTTLENECK = templates.BRANCHES.index("bottleneck")


class Mode(NamedTuple):
    """How a forward pass is run.

    Attributes:
      training: Whether batch moments normalise and dropout drops.
      method: How convolutions are computed.
      observe: Called with (slot, values in front of its activation, child arrays), if any.
    """

    training: bool
    method: convolution.Method
    observe: Observer | None = None

    @property
    def order(self) -> layout.Layout:
        """The order of the axes of images."""
        return convolution.layout_of(self.method)


def draw(template: templates.Template, key: jax.Array) -> Parameters:
    """Return standard normal draws for every kernel, and the initial biases and scales.

    Args:
      template: The plan.
      key: Typed random key.

    Returns:
      Parameters by slot and role; `scaled` turns them into a child's initial parameters.
    """
    shapes = templates.parameter_shapes(template)
    drawn = templates.parameter_total(template, templates.ROLES)
    # One draw for all: compiling a generator costs more than running it.
    numbers = jax.random.normal(key, (drawn,))
    start = 0
    found: Parameters = {}
    for name, roles in shapes.items():
        found[name] = {}
        for role, shape in roles.items():
            if role in templates.ROLES:
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
            role: values * child[name]["scales"][templates.ROLES.index(role)]
            if role in templates.ROLES and "scales" in child[name]
            else values
            for role, values in roles.items()
        }
        for name, roles in draws.items()
    }


def initial_statistics(template: templates.Template) -> Statistics:
    """Return zero means and unit variances for every batch normalisation."""
    return {
        slot.node.name: flax_network.Moments(jnp.zeros(slot.channels), jnp.ones(slot.channels))
        for slot in template.slots
        if templates.normalizes(slot)
    }


def position_mask(slot: templates.Slot, arrays: Arrays) -> jax.Array:
    """Return float32 [H, W, 1]: 1 where a position of the slot's output is live."""
    rows = jnp.arange(slot.height) < arrays["rows"]
    columns = jnp.arange(slot.width) < arrays["columns"]
    return (rows[:, None] & columns)[:, :, None].astype(jnp.float32)


def live_mask(slot: templates.Slot, arrays: Arrays, order: layout.Layout) -> jax.Array:
    """Return what an output is multiplied with so that all that is dead becomes zero."""
    mask = layout.of_channels(arrays["channels"], order)
    if slot.ragged:
        mask = mask * position_mask(slot, arrays)
    return mask


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
    row, column = slot.windows  # pyright: ignore[reportGeneralTypeIssues] -- a convolution has windows
    pads = ((row.before, row.after), (column.before, column.after))

    def convolved(images: jax.Array, kernel: jax.Array, groups: int = 1) -> jax.Array:
        strides = (row.stride, column.stride)
        return _fitted(
            convolution.convolve(
                images, kernel, strides=strides, pads=pads, groups=groups, method=mode.method
            ),
            slot,
        )

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
    kernel = weights[None, None]
    pads = ((0, 0), (0, 0))
    return convolution.convolve(values, kernel, strides=(1, 1), pads=pads, method=mode.method)


def _dense(
    arrays: Arrays, roles: Arrays, values: jax.Array, above: Arrays, order: layout.Layout
) -> jax.Array:
    kernel = roles["kernel"]
    outputs = kernel.shape[-1]
    batch = values.shape[order.index("N")]

    def product(features: jax.Array, weights: jax.Array) -> jax.Array:
        """Return features [N, F] or [F, N] times weights [F, O] as images of one position."""
        if order == "NHWC":
            return (features @ weights)[:, None, None, :]
        return (weights.T @ features)[:, None, None, :]

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


def _normalize(
    slot: templates.Slot,
    arrays: Arrays,
    roles: Arrays,
    values: jax.Array,
    moments: flax_network.Moments,
    mode: Mode,
) -> tuple[jax.Array, flax_network.Moments]:
    """Batch normalisation with the moments of live positions only."""
    order = mode.order
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


def _pool(slot: templates.Slot, values: jax.Array, above: Arrays, mode: Mode) -> jax.Array:
    """Pooling whose padding, where it has any, follows the child's sizes."""
    view = slot.node.view
    row, column = slot.windows  # pyright: ignore[reportGeneralTypeIssues] -- a pooling slot has windows
    kernel, strides = (row.size, column.size), (row.stride, column.stride)
    pads = ((row.before, row.after), (column.before, column.after))
    offset_row, rows = _live_windows(slot, 0, above["rows"])
    offset_column, columns = _live_windows(slot, 1, above["columns"])
    shifting = row.shifting or column.shifting
    if not shifting and view.average:
        out = _fitted(pooling.sum_pool(values, kernel, strides, pads, mode.method), slot)
        return out / jnp.maximum(rows[:, None] * columns, 1)[:, :, None]
    if not view.average and (view.padding != "VALID" and slot.ragged):
        values = _only_live(values, above)
    if not shifting:
        out = _fitted(pooling.max_pool(values, kernel, strides, pads, mode.method), slot)
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
    out = _fitted(out, slot)
    if view.average:
        return out / jnp.maximum(counts, 1)[:, :, None]
    return jnp.where(jnp.isfinite(out), out, 0.0)


def _global_pool(slot: templates.Slot, values: jax.Array, above: Arrays) -> jax.Array:
    """Pooling over all live positions."""
    if slot.node.view.average:
        return values.sum((1, 2), keepdims=True) / (above["rows"] * above["columns"])
    return _only_live(values, above).max((1, 2), keepdims=True)


def _only_live(values: jax.Array, arrays: Arrays) -> jax.Array:
    """Return values with dead positions at minus infinity."""
    live_row = (jnp.arange(values.shape[1]) < arrays["rows"])[:, None, None]
    live_column = (jnp.arange(values.shape[2]) < arrays["columns"])[:, None]
    return jnp.where(live_row & live_column, values, -jnp.inf)


def _response(values: jax.Array, channels: jax.Array, order: layout.Layout) -> jax.Array:
    """Local response normalisation across the live channels, which need not be adjacent."""
    ranks = jnp.cumsum(channels) - 1.0
    near = jnp.abs(ranks[:, None] - ranks) <= operations.RESPONSE_SIZE // 2
    axis = layout.channel_axis(order)
    energy = jnp.moveaxis(
        jnp.tensordot(jnp.square(values), near.astype(jnp.float32), ((axis,), (0,))), -1, axis
    )
    return operations.divide_by_energy(values, energy)


def _fitted(values: jax.Array, slot: templates.Slot) -> jax.Array:
    """Return [N, h, w, C] cut or filled with zeros to a slot's height and width."""
    cut = values[:, : slot.height, : slot.width]
    fill = (slot.height - cut.shape[1], slot.width - cut.shape[2])
    return jnp.pad(cut, ((0, 0), (0, fill[0]), (0, fill[1]), (0, 0)))


def plain(slot: templates.Slot, inputs: list[jax.Array], above: Arrays, mode: Mode) -> jax.Array:
    """Apply a slot without parameters."""
    first = inputs[0]
    match slot.kind:
        case "pool":
            return _pool(slot, first, above, mode)
        case "global_pool":
            return _global_pool(slot, first, above)
        case "concatenate":
            fitted = [_fitted(value, slot) for value in inputs]
            return jnp.concatenate(fitted, axis=layout.channel_axis(mode.order))
        case "elementwise":
            fitted = [_fitted(value, slot) for value in inputs]
            return sum(fitted[1:], start=fitted[0])
        case "reshape":
            flat = layout.to_nhwc(first, mode.order)
            shaped = flat.reshape(-1, slot.height, slot.width, slot.channels)
            return layout.from_nhwc(shaped, mode.order)
        case "upsample":
            return operations.upsample(first, slot.node.view)
        case "response":
            return _response(first, above["channels"], mode.order)
        case "head":
            return _head(slot, first, above, mode.order)
        case _:
            return first


def _positions_mean(values: jax.Array, above: Arrays, order: layout.Layout) -> jax.Array:
    """Return [N, C]: the mean over live positions."""
    mean = values.sum((1, 2)) / (above["rows"] * above["columns"])
    return mean if order == "NHWC" else mean.T


def _head(
    slot: templates.Slot, values: jax.Array, above: Arrays, order: layout.Layout
) -> jax.Array:
    """Apply a Softmax or Sigmoid in the middle of a network."""
    mean = _positions_mean(values, above, order)
    if slot.node.type == "Softmax":
        out = jax.nn.softmax(jnp.where(above["channels"] > 0, mean, -jnp.inf), axis=-1)
    else:
        out = jax.nn.sigmoid(mean.sum(-1, keepdims=True) / above["channels"].sum())
    return layout.from_nhwc(out[:, None, None, :], order)


def weighted(
    slot: templates.Slot,
    arrays: Arrays,
    roles: Arrays,
    values: jax.Array,
    above: Arrays,
    mode: Mode,
) -> jax.Array:
    """Apply a slot's kernel and bias."""
    if slot.kind == "dense":
        out = _dense(arrays, roles, values, above, mode.order)
    elif slot.kind == "deconvolution":
        view = slot.node.view
        pads = shape_rules.pad_amounts(view.padding, view.output_size, view.kernel, view.strides)
        out = convolution.convolve_transposed(
            values,
            roles["kernel"],
            strides=view.strides,
            pads=pads,
            output_size=view.output_size,
            method=mode.method,
        )
    elif slot.kind == "normalization":
        return values
    else:
        out = _convolution(slot, arrays, roles, values, mode)
    return out + layout.of_channels(roles["bias"], mode.order) if "bias" in roles else out


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
    return jnp.where(arrays["present"], out, _fitted(inputs[passing], slot))


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
      images: float32 [N, H, W, C].
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
        if slot.kind == "input":
            shaped = images.reshape(-1, slot.height, slot.width, slot.channels)
            outputs[name] = layout.from_nhwc(shaped, mode.order)
            continue
        above = child[slot.node.parents[0]]
        if name in parameters:
            out = weighted(slot, arrays, parameters[name], inputs[0], above, mode)
            if templates.normalizes(slot):
                out, statistics[name] = _normalize(
                    slot, arrays, parameters[name], out, statistics[name], mode
                )
        elif slot.kind == "dropout" and mode.training and key is not None:
            out = operations.drop(inputs[0], slot.node.view, jax.random.fold_in(key, index))
        else:
            out = plain(slot, inputs, above, mode)
        if mode.observe is not None:
            mode.observe(slot, out, arrays)
        out = operations.activate(slot.node.activation, out)
        outputs[name] = settled(slots, slot, arrays, inputs, out, mode.order)
        if name == template.logits:
            break
    last = child[template.logits]
    return _positions_mean(outputs[template.logits], last, mode.order), statistics
