"""One variant network as arrays on the template of its given network.

Shapes: H, W, C template height, width and channels of a slot.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.accuracy import kernel_windows, sequence_slots
from greennas_jax.accuracy import template as templates
from greennas_jax.build import graph, operations, registered, sequence
from greennas_jax.spec import variants
from greennas_jax.spec.network import Layer, Network, SpecError

WITH_KERNEL = ("convolution", "depthwise", "dense", "positionwise")

Child = dict[str, dict[str, np.ndarray]]


class Live(NamedTuple):
    """What is live of one slot's output: heights, widths and a channel mask (bool [C])."""

    rows: int
    columns: int
    channels: np.ndarray


class _Walk(NamedTuple):
    """What describing one variant needs at hand."""

    template: templates.Template
    slots: Mapping[str, templates.Slot]
    nodes: Mapping[str, graph.Node]
    layers: Mapping[str, Layer]
    stands_for: dict[str, str | None]
    live: dict[str, Live]
    used: set[str]


def describe(given: Network, template: templates.Template, network: Network) -> Child:
    """Return the arrays that make the template compute a variant network.

    Args:
      given: The network that the template was made from.
      template: Its template.
      network: A variant of it: layers realised differently, narrowed, or left out.

    Returns:
      Per slot: `rows`, `columns` (int32, live output size), `channels` (float32 [C], 1 where live)
      and what its kind needs: `branch`, `window` (int32 [2, 2]: offset and size by dimension),
      `level` (which of the slot's kernel sizes),
      `groups`, `ranks` (int32 [C input], position among live channels), `counts` (int32 [2], live
      input and output channels), `middle`, `scales`, `present`.

    Raises:
      SpecError: If the network is not a variant of the given one.
    """
    given_layers = given.by_name()
    nodes = {node.name: node for node in graph.nodes(network)}
    walk = _Walk(template, template.by_name(), nodes, network.by_name(), {}, {}, set())
    child: Child = {}
    for slot in template.slots:
        name = slot.node.name
        if name in nodes:
            walk.used.add(name)
            arrays = _present(slot, given_layers[name], walk)
        else:
            arrays = _absent(slot, walk)
        live = walk.live[name]
        arrays["rows"] = np.int32(live.rows)
        arrays["columns"] = np.int32(live.columns)
        arrays["channels"] = live.channels.astype(np.float32)
        child[name] = {key: np.asarray(value) for key, value in arrays.items()}
    unknown = [name for name in nodes if name not in walk.used]
    if unknown:
        raise SpecError(
            f"layer '{unknown[0]}' of network '{network.name}' is not part of a variant of "
            f"'{given.name}'"
        )
    return child


def _no_variant(node: graph.Node, reason: str) -> SpecError:
    return SpecError(f"layer '{node.name}': not a variant of the given layer: {reason}")


def _absent(slot: templates.Slot, walk: _Walk) -> dict[str, Any]:
    """Describe a slot whose layer the variant does not have: passed by, or dead."""
    parents = slot.node.parents
    name = slot.node.name
    index = max(slot.shortcut, 0)
    above = walk.slots[parents[index]] if parents else slot
    if slot.shortcut >= 0 or templates.can_pass(slot, above):
        walk.stands_for[name] = walk.stands_for[parents[index]]
        walk.live[name] = walk.live[parents[index]]
    else:
        walk.stands_for[name] = None
        walk.live[name] = Live(1, 1, np.zeros(slot.channels, bool))
    arrays: dict[str, Any] = {"present": np.bool_(False)}
    if slot.node.type in sequence.WEIGHTED:
        arrays |= sequence_slots.arrays(slot.node, None)
    elif slot.kind in WITH_KERNEL:
        input_channels = walk.slots[parents[0]].channels
        kernel = slot.levels[-1].kernel if slot.levels else (1, 1)
        variant = variants.Variant("given", kernel, 1)
        arrays |= _weights(
            slot, variant, ((0, kernel[0]), (0, kernel[1])), np.ones(input_channels, bool), 1, 1
        )
    return arrays


def _present(slot: templates.Slot, given: Layer, walk: _Walk) -> dict[str, Any]:
    """Describe a slot whose layer the variant has."""
    node = walk.nodes[slot.node.name]
    if node.type != slot.node.type:
        raise _no_variant(node, f"{node.type} instead of {slot.node.type}")
    members = _members(node, walk)
    first = members[0]
    walk.used.update(member.name for member in members)
    for parent, found in zip(slot.node.parents, first.parents, strict=True):
        if walk.stands_for[parent] != found:
            raise _no_variant(node, f"it reads '{found}'")
    _check_fixed(slot, node)
    walk.stands_for[node.name] = node.name
    walk.live[node.name] = _live_output(slot, node, walk)
    arrays: dict[str, Any] = {"present": np.bool_(True)}
    if slot.node.type in sequence.WEIGHTED:
        arrays |= sequence_slots.arrays(slot.node, node)
    elif slot.kind in WITH_KERNEL:
        arrays |= _present_weights(slot, given, first, node, walk)
    return arrays


def _members(node: graph.Node, walk: _Walk) -> list[graph.Node]:
    """Return the nodes that realise a layer, first to last."""
    names = [f"{node.name}/{suffix}" for suffix in ("pool", "depthwise", "reduce", "spatial")]
    owned = [walk.nodes[name] for name in names if name in walk.nodes]
    # A given layer may itself be called NAME/pool: what the template has is nobody's inner layer.
    return [inner for inner in owned if inner.name not in walk.slots] + [node]


def _check_fixed(slot: templates.Slot, node: graph.Node) -> None:
    """Check what no variant may change."""
    old, new = slot.node, node
    if old.activation != new.activation:
        raise _no_variant(node, f"activation {new.activation} instead of {old.activation}")
    if node.type in sequence.WEIGHTED:
        _check_sequence(old, new)
    elif slot.kind in WITH_KERNEL:
        if old.view.use_bias != new.view.use_bias:
            raise _no_variant(node, "its bias was added or removed")
        if node.type == "InnerProduct" and old.view._replace(out_features=0) != new.view._replace(
            out_features=0
        ):
            raise _no_variant(node, f"{new.view} instead of {old.view}")
        if node.type == "Convolution" and old.view.normalizer != new.view.normalizer:
            raise _no_variant(node, "its normaliser was changed")
    elif slot.kind == "global_pool":
        if not (templates.covers_input(new) or new.output[1:3] == new.inputs[0][1:3] == (1, 1)):
            raise _no_variant(node, "it does not pool its whole input")
    elif slot.kind == "registered":
        if old.view.of_type != new.view.of_type:
            raise _no_variant(node, f"{new.view.of_type} instead of {old.view.of_type}")
    elif slot.kind not in ("reshape", "deconvolution") and old.view != new.view:
        raise _no_variant(node, f"{new.view} instead of {old.view}")


def _check_sequence(given: graph.Node, node: graph.Node) -> None:
    """Check that a layer of a transformer differs in what may be reduced alone."""
    if sequence_slots.without_choices(given) != sequence_slots.without_choices(node):
        raise _no_variant(node, f"{node.view} instead of {given.view}")
    pairs = zip(sequence_slots.kept(given), sequence_slots.kept(node), strict=True)
    if any(own > most for most, own in pairs):
        raise _no_variant(node, f"{node.view} is larger than {given.view}")


def _live_output(slot: templates.Slot, node: graph.Node, walk: _Walk) -> Live:
    """Return what is live of a present slot's output."""
    rows, columns, count = {
        2: (1, 1, *node.output[1:]),
        3: (*node.output[1:2], 1, *node.output[2:]),
    }.get(len(node.output), node.output[1:])
    above = [walk.live[parent] for parent in slot.node.parents]
    if slot.kind in ("convolution", "dense", "positionwise", "input", "tokens", "deconvolution"):
        channels = np.arange(slot.channels) < count
    elif slot.kind == "concatenate":
        channels = np.concatenate([live.channels for live in above])
    elif slot.kind == "reshape":
        channels = _reshaped(slot, above[0], walk.slots[slot.node.parents[0]])
    elif slot.kind == "embedding" or (
        slot.kind == "registered" and not registered.is_pointwise(slot.node)
    ):
        channels = np.ones(slot.channels, bool)
    elif slot.kind == "head" and slot.channels != above[0].channels.size:
        channels = np.ones(slot.channels, bool)
    else:
        channels = above[0].channels
    if slot.kind == "elementwise":
        for live in above[1:]:
            if not np.array_equal(live.channels, channels):
                raise _no_variant(node, "the live channels of its parents differ")
    if channels.sum() != count or rows > slot.height or columns > slot.width:
        raise _no_variant(
            node,
            f"output {list(node.output[1:])} does not fit the template's "
            f"{[slot.height, slot.width, slot.channels]}",
        )
    return Live(rows, columns, channels)


def _reshaped(slot: templates.Slot, live: Live, above: templates.Slot) -> np.ndarray:
    mask = np.zeros((above.height, above.width, above.channels), bool)
    mask[: live.rows, : live.columns] = live.channels
    if slot.sequence and slot.channels == above.channels and live.rows == above.height:
        return live.channels
    if slot.height * slot.width > 1 and not mask.all():
        raise _no_variant(slot.node, "a Reshape to several positions needs its input unchanged")
    if mask.size == slot.channels:
        return mask.reshape(-1)
    return np.ones(slot.channels, bool)


def _present_weights(
    slot: templates.Slot, given: Layer, first: graph.Node, node: graph.Node, walk: _Walk
) -> dict[str, Any]:
    variant = variants.recognise(given, walk.layers)
    above = walk.live[slot.node.parents[0]]
    groups = node.view.groups if node.type == "Convolution" else 1
    window = ((0, 1), (0, 1))
    if slot.kind in ("dense", "positionwise"):
        if node.type == "Convolution" and variant.operation == "given":
            if node.output[1:3] != (1, 1) or variant.kernel != (above.rows, above.columns):
                raise _no_variant(node, "its kernel does not cover its input")
        if variant.operation == "pooled" and first.output[1:3] != (1, 1):
            raise _no_variant(node, f"'{first.name}' does not pool its whole input")
        if variant.operation not in ("given", "pooled"):
            raise _no_variant(node, f"operation {variant.operation} is not possible here")
    else:
        if variant.operation == "pooled":
            raise _no_variant(node, "operation pooled is not possible here")
        window = _window(slot, first, node, variant, walk)
    if slot.kind == "depthwise" and (variant.operation, groups) != ("given", node.output[-1]):
        raise _no_variant(node, "it is no longer depthwise")
    return _weights(slot, variant, window, above.channels, node.output[-1], groups, above)


def _window(
    slot: templates.Slot,
    first: graph.Node,
    node: graph.Node,
    variant: variants.Variant,
    walk: _Walk,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the (offset, size) of the variant's kernel in the template's window, by dimension."""
    spatial = walk.nodes.get(f"{node.name}/spatial") if variant.operation == "bottleneck" else first
    view = spatial.view if spatial is not None else node.view
    old = slot.node.view
    if (view.strides, view.padding) != (old.strides, old.padding) or slot.windows is None:
        raise _no_variant(node, "its strides or padding were changed")
    allowed = [level.kernel for level in slot.levels]
    if variant.kernel not in allowed:
        shown = ", ".join(str(list(kernel)) for kernel in allowed)
        raise _no_variant(node, f"kernel {list(variant.kernel)}; the template has {shown}")
    found = []
    for axis, window in enumerate(slot.windows):
        kernel = variant.kernel[axis]
        size = first.inputs[0][1 + axis]
        offset = window.before - kernel_windows.pad_before(
            size, kernel, window.stride, old.padding, axis
        )
        found.append((offset, kernel))
    return found[0], found[1]


def _weights(
    slot: templates.Slot,
    variant: variants.Variant,
    window: tuple[tuple[int, int], tuple[int, int]],
    input_channels: np.ndarray,
    outputs: int,
    groups: int,
    above: Live | None = None,
) -> dict[str, Any]:
    """Return the arrays of a slot with a kernel."""
    inputs = int(input_channels.sum())
    area = math.prod(variant.kernel)
    if slot.kind in ("dense", "positionwise"):
        pooled = variant.operation == "pooled"
        single = pooled or slot.kind == "positionwise"
        positions = 1 if single or above is None else above.rows * above.columns
        scale = operations.initial_scale(positions * inputs, slot.gain)
        return {"pooled": np.bool_(pooled), "scales": np.asarray([scale], np.float32)}
    level = [one.kernel for one in slot.levels].index(variant.kernel)
    place = {"window": np.asarray(window, np.int32), "level": np.int32(level)}
    if slot.kind == "depthwise":
        scale = operations.initial_scale(area, slot.gain)
        return {**place, "scales": np.asarray([scale], np.float32)}
    branch = variant.operation
    if branch == "given" and groups > 1:
        branch = "grouped"
    if branch not in templates.BRANCHES:
        raise _no_variant(slot.node, f"operation {branch} is not possible here")
    if variant.middle > slot.middle or (slot.middle == 0 and branch in templates.BRANCHES[2:]):
        raise _no_variant(
            slot.node, f"{branch} with {variant.middle} middle channels; at most {slot.middle}"
        )
    middle = max(variant.middle, 1)
    scales = dict.fromkeys(templates.ROLES, 0.0)
    if branch == "bottleneck":
        scales["reduce"] = operations.initial_scale(inputs)
        scales["spatial"] = operations.initial_scale(area * middle)
        scales["expand"] = operations.initial_scale(middle, slot.gain)
    elif branch == "separable":
        scales["depthwise"] = operations.initial_scale(area)
        scales["kernel"] = operations.initial_scale(inputs, slot.gain)
    else:
        scales["kernel"] = operations.initial_scale(area * inputs / groups, slot.gain)
    return {
        "branch": np.int32(templates.BRANCHES.index(branch)),
        **place,
        "groups": np.int32(groups),
        "counts": np.asarray([inputs, outputs], np.int32),
        "ranks": (np.cumsum(input_channels) - 1).astype(np.int32),
        "middle": np.int32(variant.middle),
        "scales": np.asarray(list(scales.values()), np.float32),
    }
