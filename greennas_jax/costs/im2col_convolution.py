"""Convolution as a matrix product behind a matrix of columns, written and read.

Shapes: L layers. Section numbers are those of the original Paleo's rules: D forward, K cuDNN.
"""

from greennas_jax.costs import gemm_convolution, layer_table
from greennas_jax.costs.gradient_layers import Gemm
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.passes import Operand, Pass

Array = layer_table.Array
BYTES = layer_table.BYTES_PER_ELEMENT


def applies(table: LayerTable) -> Array:
    """Return where a row can be computed so: windows of more than one pixel, bool [L]."""
    window = table.kernel_height * table.kernel_width
    return gemm_convolution.applies(table) & (window > 1)


def amounts(table: LayerTable) -> tuple[Array, Array]:
    """Return (FLOPs of any of the three passes, bytes beside the tensors), each [L].

    The matrix has N oh ow rows of kh kw Cin values and is written once and read once.
    """
    flops, _ = gemm_convolution.amounts(table)
    window = table.kernel_height * table.kernel_width * table.in_channels
    columns = table.batch * table.out_height * table.out_width * window
    return flops, 2 * BYTES * columns


def original(gemm: Gemm, step: str) -> Pass:
    """Return what the original counts: the matrix in the data gradient only."""
    product = gemm_convolution.original(gemm, step)
    if step != "backward_data":
        return product
    pixels = gemm.batch * gemm.height.output * gemm.width.output
    columns = pixels * gemm.height.kernel * gemm.width.kernel * gemm.in_channels
    matrix = Operand(2 * BYTES * columns, gemm.batch == gemm.batch)
    return Pass(product.computations, (*product.operands, matrix))
