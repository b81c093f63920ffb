"""Paleo's convolution as a matrix product, and its two gradients as convolutions.

Shapes: L layers. Section numbers are those of the original's rules: D forward, E backward. Values
on rows that are no convolutions are finite and mean nothing.
"""

from typing import NamedTuple

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import LayerTable, Padding

Array = layer_table.Array
BYTES = layer_table.BYTES_PER_ELEMENT


class Axis(NamedTuple):
    """One spatial dimension of a convolution: sizes, window and padding per side, each [L]."""

    size: Array
    kernel: Array
    stride: Array
    pad: Array
    output: Array


class Gemm(NamedTuple):
    """A convolution costed as a matrix product.

    Attributes:
      batch: Batch size [L].
      in_channels: Input channels [L].
      out_channels: Output channels [L].
      height: The vertical dimension.
      width: The horizontal dimension.
      valid: Whether it is unpadded by its text, bool [L].
      filter_holes: Share of the filter that is zero [L].
      input_holes: Share of the input that is zero [L].
    """

    batch: Array
    in_channels: Array
    out_channels: Array
    height: Axis
    width: Axis
    valid: Array
    filter_holes: Array
    input_holes: Array


def forward(table: LayerTable, *, transposed: bool = False) -> Gemm:
    """Return the convolution of each row; transposed, the one a deconvolution inverts."""
    t = table
    sizes = (t.in_height, t.in_width, t.in_channels, t.out_height, t.out_width, t.out_channels)
    if transposed:
        sizes = (*sizes[3:], *sizes[:3])
    zero = t.batch * 0.0
    return Gemm(
        batch=t.batch,
        in_channels=sizes[2],
        out_channels=sizes[5],
        height=Axis(sizes[0], t.kernel_height, t.stride_height, t.pad_height, sizes[3]),
        width=Axis(sizes[1], t.kernel_width, t.stride_width, t.pad_width, sizes[4]),
        valid=t.padding == int(Padding.VALID),
        filter_holes=zero,
        input_holes=zero,
    )


def flops(gemm: Gemm) -> Array:
    """Return Paleo's FLOPs: products where the filter is not zero, and every element moved."""
    xp = layer_table.array_namespace(gemm.batch, gemm.in_channels, gemm.out_channels)
    window = 2 * gemm.height.kernel * gemm.width.kernel * gemm.in_channels
    product = window * gemm.height.output * gemm.width.output * gemm.out_channels * gemm.batch
    source = gemm.batch * gemm.height.size * gemm.width.size * gemm.in_channels
    moved = 2 * source * (1.0 - gemm.input_holes)
    return product * (1.0 - gemm.filter_holes) + xp.where(gemm.input_holes > 0, moved, 0.0)


def operands(gemm: Gemm) -> tuple[Array, Array, Array]:
    """Return Paleo's bytes: padded input, filter without its holes, output [L]."""
    rows = gemm.height.size + 2 * gemm.height.pad
    columns = gemm.width.size + 2 * gemm.width.pad
    window = gemm.height.kernel * gemm.width.kernel * gemm.in_channels * gemm.out_channels
    pixels = gemm.height.output * gemm.width.output
    return (
        BYTES * gemm.batch * rows * columns * gemm.in_channels,
        window * (1.0 - gemm.filter_holes) * BYTES,
        BYTES * gemm.batch * pixels * gemm.out_channels,
    )


def _expanded(axis: Axis) -> tuple[Array, Array]:
    """Return the expanded output size and padding per side, one dimension."""
    xp = layer_table.array_namespace(*axis)
    size = (axis.output - 1) * axis.stride + 1
    before = axis.kernel - 1 - axis.pad
    after = (axis.size + axis.kernel - 1) - size - before
    return xp.where(abs(before - after) == 1, size + 1, size), xp.minimum(before, after)


def _data_axis(axis: Axis) -> Axis:
    size, pad = _expanded(axis)
    return Axis(size, axis.kernel, axis.stride * 0 + 1, pad, size + 2 * pad - axis.kernel + 1)


def _filter_axis(axis: Axis, valid: Array) -> Axis:
    xp = layer_table.array_namespace(*axis)
    size, pad = _expanded(axis)
    pad = xp.where(valid, 0.0, pad)
    return Axis(axis.size, size, axis.stride * 0 + 1, pad, axis.size + 2 * pad - size + 1)


def data_gradient(gemm: Gemm) -> Gemm:
    """Return the convolution of the expanded output gradient with the turned filter."""
    height, width = _data_axis(gemm.height), _data_axis(gemm.width)
    pixels = gemm.height.output * gemm.width.output
    xp = layer_table.array_namespace(*height, *width)
    # Sizes are zero only where nothing is convolved.
    rows, columns = (xp.where(axis.size == 0, 1.0, axis.size) for axis in (height, width))
    holes = (height.size * width.size - pixels) / rows / columns
    return Gemm(
        batch=gemm.batch,
        in_channels=gemm.out_channels,
        out_channels=gemm.in_channels,
        height=height,
        width=width,
        valid=gemm.valid & False,
        filter_holes=gemm.filter_holes * 0,
        input_holes=holes,
    )


def filter_gradient(gemm: Gemm, holes: Array | None = None) -> Gemm:
    """Return the convolution of the input with the expanded output gradient.

    Args:
      gemm: The forward convolution.
      holes: Share of the expanded gradient that is zero; by default its own (a
        deconvolution gives others).
    """
    zero_share = data_gradient(gemm).input_holes if holes is None else holes
    return Gemm(
        batch=gemm.in_channels,
        in_channels=gemm.batch,
        out_channels=gemm.out_channels,
        height=_filter_axis(gemm.height, gemm.valid),
        width=_filter_axis(gemm.width, gemm.valid),
        valid=gemm.valid,
        filter_holes=zero_share,
        input_holes=zero_share * 0,
    )


def outputs_are(gemm: Gemm, height: Array, width: Array) -> Array:
    """Return whether the spatial output has the sizes it should have, bool [L]."""
    return (gemm.height.output == height) & (gemm.width.output == width)
