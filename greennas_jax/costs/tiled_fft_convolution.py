"""Convolution by the Fourier transform of tiles of 32 x 32 pixels.

Shapes: L layers. Section numbers are those of the original Paleo's rules: F transforms, K cuDNN.
"""

from greennas_jax.costs import gemm_convolution, layer_table, spectra
from greennas_jax.costs.gradient_layers import Gemm
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.passes import Pass

Array = layer_table.Array

TILE = 32


def applies(table: LayerTable) -> Array:
    """Return where tiles can be used: where transforms can, kernels up to a tile, bool [L]."""
    small = (table.kernel_height <= TILE) & (table.kernel_width <= TILE)
    return spectra.applies(table) & small


def amounts(table: LayerTable) -> tuple[Array, Array]:
    """Return (FLOPs of any of the three passes, bytes beside the tensors), each [L].

    Neighbouring tiles overlap by kh - 1 rows: each gives 32 - kh + 1 of the output's.
    """
    xp = table.namespace
    sizes, tiles = [], 1.0
    for output, kernel in (
        (table.out_height, table.kernel_height),
        (table.out_width, table.kernel_width),
    ):
        size = xp.where(kernel > 1, float(TILE), 1.0)
        sizes.append(size)
        tiles = tiles * xp.ceil(output / xp.maximum(size - kernel + 1, 1.0))
    return spectra.amounts(table, sizes[0], sizes[1], tiles)


def original(gemm: Gemm, step: str) -> Pass:
    """Return what the original counts for a layer or one of its gradient layers (F).

    Its tiles do not overlap, and its filter gradient knows no tiles (K).
    """
    if step == "backward_filter":
        return gemm_convolution.original(gemm, step)
    xp = layer_table.array_namespace(gemm.height.size, gemm.width.size)
    tiles = xp.ceil(gemm.height.size / TILE) * xp.ceil(gemm.width.size / TILE)
    samples, side = xp.full_like(tiles, TILE * TILE), xp.full_like(tiles, TILE)
    return spectra.original(gemm, tiles=tiles, samples=samples, side=side)
