"""The template's forward pass for one child: masks decide what it computes.

Everything dead in a tensor is zero, so that zero padding, sums and matrix products of the child
come out as those of its true network. Every operation of a convolution is composed in weight space
into one kernel in the template's window.

Shapes: N images, H, W, C template sizes, O output channels, M middle channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution, flax_network, operations
from greennas_jax.spec import shapes as shape_rules

Arrays = dict[str, jax.Array]
Parameters = dict[str, Arrays]
Statistics = flax_network.Statistics
Observer = Callable[[templates.Slot, jax.Array, Arrays], None]


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


def draw(template: templates.Template, key: jax.Array) -> Parameters:
    """Return standard normal draws for every kernel, and the initial biases and scales.

    Args:
      template: The plan.
      key: Typed random key.

    Returns:
      Parameters by slot and role; `scaled` turns them into a child's initial parameters.
    """
    found: Parameters = {}
    for index, (name, shapes) in enumerate(templates.parameter_shapes(template).items()):
        slot_key = jax.random.fold_in(key, index)
        roles: Arrays = {}
        for role, shape in shapes.items():
            if role in templates.ROLES:
                role_key = jax.random.fold_in(slot_key, templates.ROLES.index(role))
                roles[role] = jax.random.normal(role_key, shape)
            else:
                roles[role] = jnp.ones(shape) if role == "scale" else jnp.zeros(shape)
        found[name] = roles
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


def masked(slot: templates.Slot, arrays: Arrays, values: jax.Array) -> jax.Array:
    """Return an output with all that is dead set to zero."""
    mask = arrays["channels"]
    if slot.ragged:
        mask = mask * position_mask(slot, arrays)
    return values * mask


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


def compose(slot: templates.Slot, arrays: Arrays, roles: Arrays) -> jax.Array:
    """Return a convolution's kernel in the template's window: float32 [kh, kw, C, O]."""
    inside = _window_mask(slot, arrays)[:, :, None, None]

    def given() -> jax.Array:
        return roles["kernel"] * inside

    def grouped() -> jax.Array:
        return roles["kernel"] * inside * _group_mask(arrays, slot.channels)

    def separable() -> jax.Array:
        return (roles["depthwise"] * inside[..., 0])[..., None] * roles["kernel"][0, 0]

    def bottleneck() -> jax.Array:
        live = (jnp.arange(slot.middle) < arrays["middle"]).astype(jnp.float32)
        spatial = roles["spatial"] * inside * live
        inner = jnp.einsum("im,hwmn->hwin", roles["reduce"] * live, spatial)
        return inner @ roles["expand"]

    branches = [given, grouped] + ([separable, bottleneck] if slot.middle else [])
    return jax.lax.switch(arrays["branch"], branches)


def _convolution(
    slot: templates.Slot, arrays: Arrays, roles: Arrays, values: jax.Array, mode: Mode
) -> jax.Array:
    row, column = slot.windows  # pyright: ignore[reportGeneralTypeIssues] -- a convolution has windows
    groups = 1
    if slot.kind == "depthwise":
        kernel = (roles["kernel"] * _window_mask(slot, arrays)[:, :, None])[:, :, None, :]
        groups = slot.channels
    else:
        kernel = compose(slot, arrays, roles)
    out = convolution.convolve(
        values,
        kernel,
        strides=(row.stride, column.stride),
        pads=((row.before, row.after), (column.before, column.after)),
        groups=groups,
        method=mode.method,
    )
    return out[:, : slot.height, : slot.width]


def _dense(
    arrays: Arrays, roles: Arrays, values: jax.Array, above: Arrays, can_pool: bool
) -> jax.Array:
    kernel = roles["kernel"]
    outputs = kernel.shape[-1]
    batch = values.shape[0]

    def given() -> jax.Array:
        return values.reshape(batch, -1) @ kernel.reshape(-1, outputs)

    def pooled() -> jax.Array:
        return values.sum((1, 2)) / (above["rows"] * above["columns"]) @ kernel[0, 0]

    out = jax.lax.cond(arrays["pooled"], pooled, given) if can_pool else given()
    return out[:, None, None, :]


def _normalize(
    slot: templates.Slot,
    arrays: Arrays,
    roles: Arrays,
    values: jax.Array,
    moments: flax_network.Moments,
    training: bool,
) -> tuple[jax.Array, flax_network.Moments]:
    """Batch normalisation with the moments of live positions only."""
    if training:
        weight = position_mask(slot, arrays) / (
            arrays["rows"] * arrays["columns"] * values.shape[0]
        )
        mean = (values * weight).sum((0, 1, 2))
        variance = (jnp.square(values - mean) * weight).sum((0, 1, 2))
        batch = flax_network.Moments(mean, variance)
        moments = jax.tree.map(flax_network.running, moments, batch)
    else:
        batch = moments
    inverse = jax.lax.rsqrt(batch.variance + operations.BATCH_NORM_EPSILON) * roles["scale"]
    return (values - batch.mean) * inverse + roles["shift"], moments


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
    if not shifting and not view.average and (view.padding == "VALID" or not slot.ragged):
        out = operations.max_pool(values, kernel, strides, pads, mode.method)
        return out[:, : slot.height, : slot.width]
    if not view.average:
        live_row = (jnp.arange(values.shape[1]) < above["rows"])[:, None, None]
        live_column = (jnp.arange(values.shape[2]) < above["columns"])[:, None]
        values = jnp.where(live_row & live_column, values, -jnp.inf)
    fill = 0.0 if view.average else -jnp.inf
    out = None
    for index, tap in enumerate(convolution.taps(values, kernel, strides, pads, fill)):
        place_row, place_column = divmod(index, kernel[1])
        inside = (
            (place_row >= offset_row)
            & (place_row < offset_row + view.kernel[0])
            & (place_column >= offset_column)
            & (place_column < offset_column + view.kernel[1])
        )
        tap = jnp.where(inside, tap, fill) if shifting else tap
        if out is None:
            out = tap
        else:
            out = out + tap if view.average else jnp.maximum(out, tap)
    out = out[:, : slot.height, : slot.width]  # pyright: ignore[reportOptionalSubscript] -- a kernel has at least one position
    if view.average:
        return out / jnp.maximum(rows[:, None] * columns, 1)[:, :, None]
    return jnp.where(jnp.isfinite(out), out, 0.0)


def _response(values: jax.Array, channels: jax.Array) -> jax.Array:
    """Local response normalisation across the live channels, which need not be adjacent."""
    ranks = jnp.cumsum(channels) - 1.0
    near = jnp.abs(ranks[:, None] - ranks) <= operations.RESPONSE_SIZE // 2
    return operations.divide_by_energy(values, jnp.square(values) @ near.astype(jnp.float32))


def _cropped(values: list[jax.Array], slot: templates.Slot) -> list[jax.Array]:
    return [value[:, : slot.height, : slot.width] for value in values]


def _elementwise(slot: templates.Slot, arrays: Arrays, inputs: list[jax.Array]) -> jax.Array:
    inputs = _cropped(inputs, slot)
    total = operations.activate(slot.node.activation, sum(inputs[1:], start=inputs[0]))
    if slot.shortcut < 0:
        return total
    return jnp.where(arrays["present"], total, inputs[slot.shortcut])


def _plain(
    slot: templates.Slot, arrays: Arrays, inputs: list[jax.Array], above: Arrays, mode: Mode
) -> jax.Array:
    """Apply a slot without parameters."""
    first = inputs[0]
    match slot.kind:
        case "pool":
            return _pool(slot, first, above, mode)
        case "concatenate":
            return jnp.concatenate(_cropped(inputs, slot), axis=-1)
        case "elementwise":
            return _elementwise(slot, arrays, inputs)
        case "reshape":
            return first.reshape(first.shape[0], slot.height, slot.width, slot.channels)
        case "upsample":
            return operations.upsample(first, slot.node.view)
        case "response":
            return _response(first, above["channels"])
        case "head":
            return _head(slot, first, above)
        case _:
            return first


def _positions_mean(values: jax.Array, above: Arrays) -> jax.Array:
    return values.sum((1, 2)) / (above["rows"] * above["columns"])


def _head(slot: templates.Slot, values: jax.Array, above: Arrays) -> jax.Array:
    """Apply a Softmax or Sigmoid in the middle of a network."""
    if slot.node.type == "Softmax":
        mean = _positions_mean(values, above)
        out = jax.nn.softmax(jnp.where(above["channels"] > 0, mean, -jnp.inf), axis=-1)
    else:
        out = jax.nn.sigmoid(
            _positions_mean(values, above).sum(-1, keepdims=True) / above["channels"].sum()
        )
    return out[:, None, None, :]


def _weighted(
    slot: templates.Slot,
    arrays: Arrays,
    roles: Arrays,
    values: jax.Array,
    above: Arrays,
    mode: Mode,
) -> jax.Array:
    """Apply a slot's kernel and bias."""
    if slot.kind == "dense":
        can_pool = values.shape[1] * values.shape[2] > 1
        out = _dense(arrays, roles, values, above, can_pool)
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
    return out + roles["bias"] if "bias" in roles else out


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
      key: Typed random key for dropout in training.

    Returns:
      Logits float32 [N, classes], and the statistics, updated in training.
    """
    statistics = dict(statistics)
    outputs: dict[str, jax.Array] = {}
    for index, slot in enumerate(template.slots):
        name = slot.node.name
        arrays = child[name]
        inputs = [outputs[parent] for parent in slot.node.parents]
        if slot.kind == "input":
            outputs[name] = images.reshape(-1, slot.height, slot.width, slot.channels)
            continue
        above = child[slot.node.parents[0]]
        if name in parameters:
            out = _weighted(slot, arrays, parameters[name], inputs[0], above, mode)
            if templates.normalizes(slot):
                out, statistics[name] = _normalize(
                    slot, arrays, parameters[name], out, statistics[name], mode.training
                )
        elif slot.kind == "dropout" and mode.training and slot.node.view < 1.0:
            if key is None:
                raise ValueError(f"layer '{name}': dropout in training needs a key")
            out = operations.drop(inputs[0], slot.node.view, jax.random.fold_in(key, index))
        else:
            out = _plain(slot, arrays, inputs, above, mode)
        if mode.observe is not None:
            mode.observe(slot, out, arrays)
        if slot.kind != "elementwise":
            out = operations.activate(slot.node.activation, out)
        out = masked(slot, arrays, out)
        if slot.kind in templates.SKIPPABLE and out.shape == inputs[0].shape:
            out = jnp.where(arrays["present"], out, inputs[0])
        outputs[name] = out
        if name == template.logits:
            break
    last = child[template.logits]
    return _positions_mean(outputs[template.logits], last), statistics
