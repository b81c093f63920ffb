"""The masked template: one static plan that holds every variant of a given network.

Every tensor of the plan is [N, H, W, C] with the largest sizes that any variant needs (features
are [N, 1, 1, C], sequences [N, S, 1, D]); what a variant does not use is zero. Sizes vary only
below convolutions whose outputs grow when their kernel shrinks (VALID and list padding), so all
possible sizes of each tensor are known from the given network alone.
"""

import math
from typing import Any, NamedTuple

from greennas_jax.accuracy import kernel_windows, sequence_slots
from greennas_jax.accuracy.kernel_windows import Sizes, Window
from greennas_jax.build import graph, registered, sequence
from greennas_jax.spec import variants
from greennas_jax.spec.network import Layer, Network, SpecError

KINDS = {
    "Input": "input",
    "Convolution": "convolution",
    "InnerProduct": "dense",
    "Pooling": "pool",
    "AvgPool": "pool",
    "Concatenate": "concatenate",
    "Elementwise": "elementwise",
    "Reshape": "reshape",
    "BatchNorm": "normalization",
    "Dropout": "dropout",
    "LRN": "response",
    "ReLU": "activation",
    "Softmax": "head",
    "Sigmoid": "head",
    "UpSampling2D": "upsample",
    "Deconvolution": "deconvolution",
    "Activation": "activation",
    **sequence_slots.KINDS,
}
# Parameters that are drawn at random, in the order of a child's `scales`.
ROLES = ("kernel", "depthwise", "reduce", "spatial", "expand")
# The place of every random role in the `scales` of its kind.
PLACES = {
    role: place for roles in (ROLES, *sequence.RANDOM.values()) for place, role in enumerate(roles)
}
# How a convolution's kernel is composed, in the order of a child's `branch`.
BRANCHES = ("given", "grouped", "separable", "bottleneck")

# Kinds that a variant may leave out, their readers then reading what they read.
SKIPPABLE = ("convolution", "depthwise", "dense", "positionwise")


class Level(NamedTuple):
    """A convolution at one of its kernel sizes.

    Attributes:
      kernel: Kernel height and width.
      windows: Row and column windows of this kernel alone.
      height: Largest height that the output then has.
      width: Largest width.
    """

    kernel: tuple[int, int]
    windows: tuple[Window, Window]
    height: int
    width: int


class Slot(NamedTuple):
    """One given layer in the template.

    Attributes:
      node: The given layer.
      kind: One of KINDS' values, "registered", "depthwise", "global_pool", "positionwise" (an inner
        product at every place of a sequence) or "tokens" (an input of token numbers).
      rows: All heights that its output may have, ascending; the last is the template's.
      columns: All widths, likewise.
      channels: Channels of its output.
      windows: Row and column windows of convolutions and pooling.
      levels: A convolution's kernel sizes, the given one first.
      middle: Most channels between the layers of a bottleneck; 0 where none is possible.
      shortcut: For Elementwise the parent that is read when the sum is left out, else -1.
      gain: Variance gain of initial weights.
    """

    node: graph.Node
    kind: str
    rows: Sizes
    columns: Sizes
    channels: int
    windows: tuple[Window, Window] | None = None
    levels: tuple[Level, ...] = ()
    middle: int = 0
    shortcut: int = -1
    gain: float = 1.0

    @property
    def height(self) -> int:
        """Height of the output in the template."""
        return self.rows[-1]

    @property
    def width(self) -> int:
        """Width of the output in the template."""
        return self.columns[-1]

    @property
    def sequence(self) -> bool:
        """Whether the output is a sequence, [N, S, 1, D] whichever the order of images' axes."""
        return len(self.node.output) == 3

    @property
    def ragged(self) -> bool:
        """Whether the height or width differs between variants."""
        return len(self.rows) > 1 or len(self.columns) > 1


class Template(NamedTuple):
    """The static plan: hashable, compared by value.

    Attributes:
      slots: One per given layer, parents first.
      logits: Name of the slot whose output are the logits.
      name: Name of the given network.
    """

    slots: tuple[Slot, ...]
    logits: str
    name: str

    def by_name(self) -> dict[str, Slot]:
        """Return the slots by the names of their layers."""
        return {slot.node.name: slot for slot in self.slots}


class Freedom(NamedTuple):
    """What variants may do that makes the template larger.

    Attributes:
      resizing: Whether kernels whose outputs then grow (VALID, list padding) may shrink.
      middle: Most channels inside a bottleneck, as a share of its narrower end, rounded up to a
        multiple of 8.
    """

    resizing: bool = True
    middle: float = 0.3


class FixedSizeError(SpecError):
    """A layer of fixed size stands behind convolutions whose outputs grow as kernels shrink."""


def _windows(
    view: Any, above: Slot, kernels: tuple[tuple[int, int], ...]
) -> tuple[tuple[Window, Window], Sizes, Sizes]:
    heights, widths = (tuple({kernel[axis] for kernel in kernels}) for axis in (0, 1))
    row, rows = kernel_windows.slide(above.rows, heights, view.strides[0], view.padding, 0)
    column, columns = kernel_windows.slide(above.columns, widths, view.strides[1], view.padding, 1)
    return (row, column), rows, columns


def _level(view: Any, above: Slot, kernel: tuple[int, int]) -> Level:
    windows, rows, columns = _windows(view, above, (kernel,))
    return Level(kernel, windows, rows[-1], columns[-1])


def _convolution(
    node: graph.Node, layer: Layer, above: Slot, gain: float, freedom: Freedom
) -> Slot:
    view = node.view
    if variants.is_dense_like(layer, node.inputs[0]):
        return Slot(node, "dense", (1,), (1,), view.out_channels, gain=gain)
    kernels = (view.kernel,)
    if freedom.resizing or view.padding == "SAME":
        kernels = kernel_windows.kernel_choices(view.kernel)
    levels = tuple(_level(view, above, kernel) for kernel in kernels)
    windows, rows, columns = _windows(view, above, kernels)
    if node.inputs[0] == node.output and view.strides == (1, 1):
        # Left out, its readers read its parent, whose sizes list padding would not all reach.
        rows = tuple(sorted({*rows, *above.rows}))
        columns = tuple(sorted({*columns, *above.columns}))
    if variants.is_depthwise(layer, node.inputs[0]):
        return Slot(node, "depthwise", rows, columns, above.channels, windows, levels, gain=gain)
    narrower = min(above.channels, view.out_channels)
    middle = min(narrower, 8 * math.ceil(narrower * freedom.middle / 8)) * (view.groups == 1)
    return Slot(
        node, "convolution", rows, columns, view.out_channels, windows, levels, middle, gain=gain
    )


def _deconvolution(node: graph.Node, above: Slot) -> Slot:
    if above.ragged:
        raise FixedSizeError(
            f"layer '{node.name}': a Deconvolution behind a VALID convolution has a fixed "
            "'output_shape'; variants of this network cannot be trained in one program"
        )
    size = node.view.output_size
    return Slot(node, "deconvolution", (size[0],), (size[1],), node.view.out_channels)


def covers_input(node: graph.Node) -> bool:
    """Return whether a pooling window is its whole input, whose size it then follows."""
    size = node.inputs[0][1:3]
    return node.view.padding == "VALID" and node.view.kernel == size != (1, 1)


def _joined(node: graph.Node, above: list[Slot], ancestors: dict[str, set[str]]) -> Slot:
    """Return the slot of an Elementwise or Concatenate."""
    rows = tuple(sorted(set.intersection(*(set(slot.rows) for slot in above))))
    columns = tuple(sorted(set.intersection(*(set(slot.columns) for slot in above))))
    if not rows or not columns:
        raise SpecError(f"layer '{node.name}': its parents have no size in common")
    if node.type == "Concatenate":
        if node.view != len(node.output) - 1:
            raise SpecError(
                f"layer '{node.name}': 'dim' is {node.view}; only channels "
                f"({len(node.output) - 1}) can be concatenated in a masked template"
            )
        return Slot(node, "concatenate", rows, columns, sum(slot.channels for slot in above))
    shortcut = -1
    for index, parent in enumerate(node.parents):
        others = [other for other in node.parents if other != parent]
        if others and all(parent in ancestors[other] for other in others):
            shortcut = index
    return Slot(node, "elementwise", rows, columns, above[0].channels, shortcut=shortcut)


def _reshape(node: graph.Node, above: Slot) -> Slot:
    shape = node.output
    total = above.height * above.width * above.channels
    if len(shape) == 2:
        return Slot(node, "reshape", (1,), (1,), total)
    if len(shape) == 3 and not above.ragged:
        return _whole(node, "reshape")
    if len(shape) != 4 or above.ragged:
        kind = FixedSizeError if above.ragged else SpecError
        raise kind(
            f"layer '{node.name}': Reshape to {list(shape)} cannot be part of a masked template; "
            "flattening, or a reshape to NHWC or a sequence of a fixed size, can"
        )
    return Slot(node, "reshape", (shape[1],), (shape[2],), shape[3])


def _whole(node: graph.Node, kind: str, gain: float = 1.0) -> Slot:
    """Return the slot of a layer whose output, a sequence or features, has one size."""
    shape = node.output[1:]
    length = shape[0] if len(shape) == 2 else 1
    return Slot(node, kind, (length,), (1,), shape[-1], gain=gain)


def _fixed(node: graph.Node, above: list[Slot]) -> Slot:
    """Return the slot of a layer of a registered type, whose tensors are as given."""
    if any(slot.ragged for slot in above):
        raise FixedSizeError(
            f"layer '{node.name}': what a layer of the type '{node.type}' reads has one size"
        )
    shape = node.output
    if len(shape) == 4:
        return Slot(node, "registered", (shape[1],), (shape[2],), shape[3])
    if len(shape) in (2, 3):
        return _whole(node, "registered")
    raise SpecError(
        f"layer '{node.name}': output {list(shape)} cannot be part of a masked template"
    )


def _input(node: graph.Node, tokens: bool) -> Slot:
    if tokens:
        return _whole(node, "tokens")
    if len(node.output) in (2, 3):
        return _whole(node, "input")
    if len(node.output) != 4:
        raise SpecError(f"layer '{node.name}': input {list(node.output)} is not NHWC")
    return Slot(node, "input", (node.output[1],), (node.output[2],), node.output[3])


def _slot(
    node: graph.Node,
    layer: Layer,
    above: list[Slot],
    ancestors: dict[str, set[str]],
    gain: float,
    freedom: Freedom,
) -> Slot:
    first = above[0]
    kind = KINDS.get(node.type, "registered")
    match kind:
        case "convolution":
            return _convolution(node, layer, first, gain, freedom)
        case "dense":
            return _whole(node, "positionwise" if node.view.per_position else kind, gain)
        case _ if kind in sequence_slots.KINDS.values():
            return _whole(node, kind)
        case "pool" if covers_input(node):
            return Slot(node, "global_pool", (1,), (1,), first.channels)
        case "pool":
            windows, rows, columns = _windows(node.view, first, (node.view.kernel,))
            return Slot(node, kind, rows, columns, first.channels, windows)
        case "concatenate" | "elementwise":
            return _joined(node, above, ancestors)
        case "reshape":
            return _reshape(node, first)
        case "head" if len(node.output) == 3:
            return _whole(node, kind)
        case "head":
            channels = first.channels if node.type == "Softmax" else 1
            return Slot(node, kind, (1,), (1,), channels)
        case "upsample":
            rows = tuple(size * node.view[0] for size in first.rows)
            columns = tuple(size * node.view[1] for size in first.columns)
            return Slot(node, kind, rows, columns, first.channels)
        case "deconvolution":
            return _deconvolution(node, first)._replace(gain=gain)
        case "registered" if not registered.is_pointwise(node):
            return _fixed(node, above)
        case _:
            return Slot(node, kind, first.rows, first.columns, first.channels)


def make(network: Network, freedom: Freedom | None = None) -> Template:
    """Return the template of all variants of a given network.

    Args:
      network: The given network.
      freedom: What variants may do; by default everything, except resizing where a layer of fixed
        size forbids it.

    Raises:
      SpecError: If a layer cannot be executed, or not in a masked template.
    """
    if freedom is not None:
        return _make(network, freedom)
    try:
        return _make(network, Freedom())
    except FixedSizeError:
        return _make(network, Freedom(resizing=False))


def _make(network: Network, freedom: Freedom) -> Template:
    nodes = graph.nodes(network)
    layers = network.by_name()
    gains = graph.initial_gains(nodes)
    slots: dict[str, Slot] = {}
    ancestors: dict[str, set[str]] = {}
    tokens = graph.vocabulary(nodes) > 0
    for node in nodes:
        if node.type == "Input":
            ancestors[node.name] = {node.name}
            slots[node.name] = _input(node, tokens)
            continue
        above = [slots[parent] for parent in node.parents]
        ancestors[node.name] = {node.name}.union(*(ancestors[p] for p in node.parents))
        slots[node.name] = _slot(
            node, layers[node.name], above, ancestors, gains[node.name], freedom
        )
    return Template(tuple(slots.values()), graph.logits_layer(network), network.name)


def can_pass(slot: Slot, above: Slot) -> bool:
    """Return whether a slot's input fits into its output, so that a variant may leave it out.

    A normalisation behind a sum may be left out with the sum.
    """
    behind_sum = slot.kind == "layer_norm" and above.shortcut >= 0
    if not (slot.kind in SKIPPABLE or behind_sum) or slot.channels != above.channels:
        return False
    return set(above.rows) <= set(slot.rows) and set(above.columns) <= set(slot.columns)


def normalizes(slot: Slot) -> bool:
    """Return whether a slot has batch normalisation."""
    if slot.kind == "normalization":
        return True
    return slot.node.type == "Convolution" and slot.node.view.normalizer is not None
