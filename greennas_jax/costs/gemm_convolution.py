"""Convolution as one matrix product, no matrix of columns written.

Shapes: L layers. Section numbers are those of the original Paleo's rules: D forward.
"""

from greennas_jax.costs import gradient_layers, layer_table
from greennas_jax.costs.gradient_layers import Gemm
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.passes import Computation, Operand, Pass

Array = layer_table.Array


def applies(table: LayerTable) -> Array:
    """Return where a row can be computed so: every convolution, bool [L]."""
    return table.is_any(Operation.CONVOLUTION)


def amounts(table: LayerTable) -> tuple[Array, Array]:
    """Return (FLOPs of any of the three passes, bytes beside the tensors), each [L].

    2 kh kw (Cin/g) oh ow Cout N FLOPs; every tensor is read or written once, and nothing else.
    """
    pixels = table.batch * table.out_height * table.out_width
    window = 2 * table.kernel_height * table.kernel_width
    return window * pixels * table.filter_channels * table.out_channels, 0.0 * table.batch


def original(gemm: Gemm, step: str) -> Pass:
    """Return what the original counts for a layer or one of its gradient layers."""
    del step
    every = gemm.batch == gemm.batch
    operands = tuple(Operand(size, every) for size in gradient_layers.operands(gemm))
    return Pass((Computation(gradient_layers.flops(gemm)),), operands)
