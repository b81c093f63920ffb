"""Convolution by the Fourier transform of whole images.

Shapes: L layers. Section numbers are those of the original Paleo's rules: F transforms.
"""

from greennas_jax.costs import layer_table, spectra
from greennas_jax.costs.gradient_layers import Axis, Gemm
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.passes import Pass

Array = layer_table.Array

applies = spectra.applies


def amounts(table: LayerTable) -> tuple[Array, Array]:
    """Return (FLOPs of any of the three passes, bytes beside the tensors), each [L].

    An image of oh + kh - 1 rows (its padding included) fills a power of two of them.
    """
    xp = table.namespace
    sizes = []
    for output, kernel in (
        (table.out_height, table.kernel_height),
        (table.out_width, table.kernel_width),
    ):
        extent = xp.maximum(output + kernel - 1, 1.0)
        sizes.append(xp.where(kernel > 1, spectra.power_of_two(extent), extent))
    return spectra.amounts(table, sizes[0], sizes[1], xp.ones_like(table.batch))


def _extent(axis: Axis) -> Array:
    xp = layer_table.array_namespace(*axis)
    return xp.maximum(axis.size + 2 * axis.pad, axis.kernel)


def original(gemm: Gemm, step: str) -> Pass:
    """Return what the original counts for a layer or one of its gradient layers."""
    del step
    height, width = _extent(gemm.height), _extent(gemm.width)
    xp = layer_table.array_namespace(height, width)
    side = xp.maximum(height, width)
    return spectra.original(gemm, tiles=xp.ones_like(side), samples=height * width, side=side)
