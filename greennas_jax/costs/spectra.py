"""What convolution by Fourier transforms computes and moves, whatever the size of its tiles.

Shapes: L layers. Section numbers are those of the original Paleo's rules: F transforms.

A real transform of S samples takes 2.5 S log2 S FLOPs (half of Cooley and Tukey's 5 S log2 S) and
leaves about half as many complex values, for the spectrum of real values is its own mirror image;
a product of spectra takes 8 FLOPs per complex multiply-add. Input, filter and output are
transformed in every pass: the data gradient turns two of them forward and one back, as the forward
pass and the filter gradient do, hence all three passes cost the same.
"""

from typing import Any

from greennas_jax.costs import layer_table
from greennas_jax.costs.gradient_layers import Gemm
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.passes import Computation, Operand, Pass

Array = layer_table.Array
BYTES = layer_table.BYTES_PER_ELEMENT
COMPLEX_BYTES = 2 * BYTES


def applies(table: LayerTable) -> Array:
    """Return where transforms can be used: stride 1, more than one pixel, bool [L]."""
    plain = (table.stride_height == 1) & (table.stride_width == 1)
    window = table.kernel_height * table.kernel_width
    return table.is_any(Operation.CONVOLUTION) & plain & (window > 1)


def power_of_two(size: Array) -> Array:
    """Return the smallest power of two that is not below a size of at least 1."""
    xp = layer_table.array_namespace(size)
    near = _power(xp, xp.floor(xp.log2(size) + 0.5))
    # One rounding decides between two candidates, so that an exact power stays itself.
    return xp.where(near >= size, near, 2 * near)


def _power(xp: Any, exponent: Array) -> Array:
    return xp.ldexp(xp.ones_like(exponent), exponent.astype("int32"))


def _samples_and_bins(
    rows: Array, columns: Array, along_rows: Array, along_columns: Array
) -> tuple[Array, Array, Array]:
    """Return (real samples, complex values of half the spectrum, FLOPs) of one transform."""
    xp = layer_table.array_namespace(rows, columns)
    samples = rows * columns
    halved = xp.where(along_columns, rows * (columns / 2 + 1), (rows / 2 + 1) * columns)
    bins = xp.where(along_rows | along_columns, halved, samples)
    levels = xp.where(along_rows, xp.log2(rows), 0.0)
    levels = levels + xp.where(along_columns, xp.log2(columns), 0.0)
    return samples, bins, 2.5 * samples * levels


def amounts(table: LayerTable, rows: Array, columns: Array, tiles: Array) -> tuple[Array, Array]:
    """Return (FLOPs of any of the three passes, bytes beside the tensors), each [L].

    A dimension in which the kernel is 1 is not transformed.

    Args:
      table: Layers [L].
      rows: Rows of a tile [L].
      columns: Columns of a tile [L].
      tiles: Tiles of each image [L].
    """
    xp = table.namespace
    tall, wide = table.kernel_height > 1, table.kernel_width > 1
    _, bins, flops = _samples_and_bins(rows, columns, tall, wide)
    filter_rows, filter_columns = xp.where(tall, rows, 1.0), xp.where(wide, columns, 1.0)
    _, filter_bins, filter_flops = _samples_and_bins(filter_rows, filter_columns, tall, wide)
    images = table.batch * tiles * (table.in_channels + table.out_channels)
    filters = table.filter_channels * table.out_channels
    products = 8 * bins * table.batch * tiles * filters
    # Each spectrum is written once and read once.
    moved = 2 * COMPLEX_BYTES * (bins * images + filter_bins * filters)
    return flops * images + filter_flops * filters + products, moved


def original(gemm: Gemm, *, tiles: Array, samples: Array, side: Array) -> Pass:
    """Return what the original counts for a layer or one of its gradient layers.

    Args:
      gemm: The convolution.
      tiles: Tiles of each image [L].
      samples: Samples of a tile [L].
      side: What a transform in one dimension leaves of a filter [L].
    """
    xp = layer_table.array_namespace(gemm.batch, gemm.in_channels, samples)
    flat = (gemm.height.kernel == 1) | (gemm.width.kernel == 1)
    length = power_of_two(xp.sqrt(xp.maximum(samples, 1.0)))
    flops = 2 * length * 5 * length * xp.log2(length)
    flops = xp.where(flat, flops / 2, flops)
    inputs, outputs = gemm.batch * gemm.in_channels, gemm.batch * gemm.out_channels
    filters = gemm.in_channels * gemm.out_channels
    left = xp.where(flat, side, samples)
    every = gemm.batch == gemm.batch
    result = outputs * gemm.height.output * gemm.width.output
    computations = (
        Computation(inputs * flops / 2, tiles),
        Computation(4 * inputs * gemm.out_channels * samples, tiles),
        Computation(outputs * flops, tiles),
        Computation(filters * flops / 2),
    )
    moves = (
        (BYTES * inputs * samples, tiles),
        (COMPLEX_BYTES * inputs * samples, tiles),
        (COMPLEX_BYTES * inputs * samples, tiles),
        (COMPLEX_BYTES * outputs * samples, tiles),
        (COMPLEX_BYTES * outputs * samples, 1.0),
        (BYTES * result, 1.0),
        (BYTES * filters * samples, 1.0),
        (COMPLEX_BYTES * filters * left, 1.0),
        (COMPLEX_BYTES * filters * left, tiles),
    )
    return Pass(computations, tuple(Operand(size, every, calls) for size, calls in moves))
