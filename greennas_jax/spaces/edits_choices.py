"""What one given layer may become: its kernels, widths and operations.

Widths are ratios of the given one, rounded to what hardware handles well; kernels are odd and not
larger than the given one; operations are those of `spec.variants`. An attention keeps whole groups
of heads (those that read the same keys), a feed-forward layer hidden units as layers keep widths.
"""

import dataclasses
import math

import numpy as np

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import sequence_layers, sequence_variants, variants
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.layers import Convolution
from greennas_jax.spec.network import Layer
from greennas_jax.spec.shapes import Shapes

Kernel = tuple[int, int]

# Narrower layers take any width: rounding to a multiple would leave them almost no choice.
NARROW = 16
PALEO_OPERATIONS = ("given", "bottleneck", "skip", "pooled")
MOST_RATIOS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditsConfig:
    """Which edits are offered.

    Attributes:
      width_ratios: Shares of the given width; 1 is always offered.
      head_ratios: Shares of an attention's given heads; 1 is always offered.
      hardware_multiple: Widths from 16 on are multiples of it.
      operations: Operations offered where they apply; "given" is always offered.
      groups: Groups of the grouped operation.
      bottleneck_ratio: Width inside a bottleneck, as a share of the narrower of its two ends.
      freeze: Names or shell patterns of layers that stay, with their operation, kernel, width,
        heads and hidden units; a frozen layer's input channels still follow what it reads.
      paleo_compatible: Offer only operations whose layers the original Paleo can read.
      scope_cap: Largest table of one layer's cost.
    """

    width_ratios: tuple[float, ...] = (1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125)
    head_ratios: tuple[float, ...] = (1, 0.75, 0.5, 0.25)
    hardware_multiple: int = 8
    operations: tuple[str, ...] = variants.OPERATIONS
    groups: int = 4
    bottleneck_ratio: float = 0.25
    freeze: tuple[str, ...] = ()
    paleo_compatible: bool = False
    scope_cap: int = 2**18

    def __post_init__(self):
        for name in ("width_ratios", "head_ratios"):
            ratios = getattr(self, name)
            if not 1 <= len(ratios) <= MOST_RATIOS or not all(0 < r <= 1 for r in ratios):
                raise ValueError(
                    f"{name} is {ratios!r}; allowed: 1 to {MOST_RATIOS} ratios above 0, at most 1"
                )
        unknown = [name for name in self.operations if name not in variants.OPERATIONS]
        if unknown:
            raise ValueError(
                f"operation {unknown[0]!r} is not known; allowed: {', '.join(variants.OPERATIONS)}"
            )
        for name in ("hardware_multiple", "groups", "scope_cap"):
            if not layer_views.is_integer(getattr(self, name)) or getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; allowed: a whole number from 1"
                )
        if not 0 < self.bottleneck_ratio < 1:
            raise ValueError(
                f"bottleneck_ratio is {self.bottleneck_ratio!r}; allowed: above 0 and below 1"
            )

    @property
    def offered(self) -> tuple[str, ...]:
        """The operations offered, "given" first."""
        found = [name for name in variants.OPERATIONS if name in self.operations]
        if self.paleo_compatible:
            found = [name for name in found if name in PALEO_OPERATIONS]
        return ("given", *(name for name in found if name != "given"))


def widths(config: EditsConfig, given: int) -> tuple[int, ...]:
    """Return the widths offered for a given one: that one first, then falling, none twice.

    A width below 16 is not rounded to the hardware's multiple, whatever it is a share of.
    """

    def rounded(width: float) -> int:
        multiple = config.hardware_multiple if width >= NARROW else 1
        return max(1, math.floor(width / multiple + 0.5) * multiple)

    found = {rounded(given * ratio) for ratio in config.width_ratios if ratio < 1}
    return given, *sorted((width for width in found if width < given), reverse=True)


def inner_widths(config: EditsConfig, layer: Layer) -> tuple[int, ...]:
    """Return the heads or hidden units offered for a given layer: its own first, then falling.

    Args:
      config: What is offered.
      layer: A MultiHeadAttention or FeedForward.
    """
    given = sequence_variants.inner_width(layer)
    if layer.type == "FeedForward":
        return widths(config, given)
    groups = sequence_layers.attention(layer).key_value_heads
    found = {max(1, math.floor(groups * ratio + 0.5)) for ratio in config.head_ratios if ratio < 1}
    kept = sorted((count for count in found if count < groups), reverse=True)
    return given, *(count * (given // groups) for count in kept)


def middle(config: EditsConfig, channels: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return the channels inside a bottleneck between two widths, rounded as widths are."""
    narrower = np.minimum(channels, width)
    multiple = np.where(narrower < NARROW, 1, config.hardware_multiple)
    wanted = np.floor(narrower * config.bottleneck_ratio / multiple + 0.5).astype(np.int64)
    return np.maximum(wanted, 1) * multiple


def kernels(view: Convolution, input_shape: tuple[int, ...], resizable: bool) -> tuple[Kernel, ...]:
    """Return the kernels offered for a convolution: the given one first, then falling.

    Args:
      view: The given convolution.
      input_shape: What it reads in the given network, NHWC.
      resizable: Whether its output may change its height and width.
    """
    given = view.kernel
    odd = all(size % 2 for size in given)
    if not odd and view.padding != "SAME":
        return (given,)
    output = _window(view, input_shape, given)
    found = [given]
    for size in range(max(given) - 1 - max(given) % 2, 0, -2):
        smaller = tuple(min(k, size if k > 1 else 1) for k in given)
        smaller = tuple(k - 1 + k % 2 for k in smaller)
        kernel = (smaller[0], smaller[1])
        if kernel in found:
            continue
        if resizable or _window(view, input_shape, kernel) == output:
            found.append(kernel)
    return tuple(found)


def _window(view: Convolution, shape: tuple[int, ...], kernel: Kernel) -> Kernel:
    modes = (view.padding,) * 2 if isinstance(view.padding, str) else view.padding
    sizes = [
        shape_rules.output_size(shape[1 + axis], kernel[axis], view.strides[axis], modes[axis])
        for axis in (0, 1)
    ]
    return sizes[0], sizes[1]


def keeps_shape(layer: Layer, shapes: Shapes) -> bool:
    """Return whether a weighted layer's output has its input's shape, without striding."""
    if layer.type == "Convolution" and layer_views.convolution(layer).strides != (1, 1):
        return False
    return shapes.inputs[0] == shapes.output


def operations(
    config: EditsConfig, layer: Layer, shapes: Shapes, kernel: Kernel, taken: frozenset[str]
) -> tuple[str, ...]:
    """Return the operations offered for one given layer, `skip` aside.

    Args:
      config: What is offered at all.
      layer: A Convolution or InnerProduct.
      shapes: Its shapes in the given network.
      kernel: Its largest kernel.
      taken: Names of the given network's layers, which inserted layers must not have.
    """
    source = shapes.inputs[0]
    spatial = len(source) == 4 and (source[1], source[2]) != (1, 1)
    if layer.type == "InnerProduct":
        possible = {"pooled"} if spatial else set()
    else:
        possible = _convolution_operations(config, layer, source, kernel, spatial)
    inserted = {
        "separable": ("depthwise",),
        "bottleneck": ("reduce", "spatial"),
        "pooled": ("pool",),
    }
    free = {
        name
        for name in possible
        if not any(f"{layer.name}/{suffix}" in taken for suffix in inserted.get(name, ()))
    }
    return tuple(name for name in config.offered if name == "given" or name in free)


def _convolution_operations(
    config: EditsConfig, layer: Layer, source: tuple[int, ...], kernel: Kernel, spatial: bool
) -> set[str]:
    view = layer_views.convolution(layer)
    if view.groups > 1:
        return set()
    channels = source[3]
    if variants.is_dense_like(layer, source):
        # It is an inner product in all but name, and is edited like one.
        return {"pooled"} if spatial else set()
    found = set()
    if kernel != (1, 1) and channels > 1:
        found.add("separable")
    if math.gcd(config.groups, channels, view.out_channels) > 1:
        found.add("grouped")
    narrower = min(channels, view.out_channels)
    if int(middle(config, np.array(channels), np.array(view.out_channels))) < narrower:
        found.add("bottleneck")
    return found
