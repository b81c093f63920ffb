"""What a feed-forward layer of a transformer computes and moves.

Shapes: L layers. Elements: x read, y written, f hidden, at N S positions. Two products with
weights, D F and F D; gated (Shazeer, GLU variants, 2020), two of D F, whose results are multiplied.
Each reads its input and writes its output once. Bias and activation together read and write the
hidden values once; a gate reads both and writes their product.
"""

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.passes import Amount, Amounts

Array = layer_table.Array


def _sizes(table: LayerTable) -> tuple[Array, Array, Array]:
    """Return the elements read, hidden and written [L]."""
    positions = table.batch * table.in_height * table.in_width
    return (
        positions * table.in_channels,
        positions * table.hidden,
        positions * table.out_channels,
    )


def parameters(table: LayerTable) -> Array:
    """Return the weights and biases, whatever the row is [L]."""
    wide = 1 + table.gated
    weights = wide * table.in_channels + table.out_channels
    return table.hidden * weights + table.bias * (wide * table.hidden + table.out_channels)


def amounts(table: LayerTable) -> Amounts:
    """Return what every row would compute and move, were it a feed-forward layer [L]."""
    xp = table.namespace
    x, f, y = _sizes(table)
    wide = 1 + table.gated
    up, down = table.in_channels * table.hidden, table.hidden * table.out_channels
    up_flops, down_flops = 2 * x * table.hidden, 2 * f * table.out_channels
    tensors, weights = wide * (x + f) + (f + y), wide * up + down
    biases = wide * table.hidden + table.out_channels
    fused = xp.where(table.bias + table.activation > 0, 2.0, 0.0)
    between = xp.where(table.gated > 0, 3.0, fused)
    # A gate's gradient reads both sides and one gradient and writes two.
    between_backward = xp.where(table.gated > 0, 5.0, 3 * table.activation)
    gradient = 1 - table.reads_input
    return Amounts(
        forward=Amount(
            wide * up_flops + down_flops,
            tensors + weights + between * f + table.bias * (2 * y + biases),
        ),
        data=Amount(
            down_flops + gradient * wide * up_flops,
            (y + down + f)
            + between_backward * f
            + gradient * (wide * (f + up + x) + 3 * table.gated * x),
        ),
        filters=Amount(
            wide * up_flops + down_flops,
            tensors + table.bias * (wide * f + y),
            weights + table.bias * biases,
        ),
    )


def kept_elements(table: LayerTable) -> Array:
    """Return the hidden elements that the gradient reads, before and after the activation [L]."""
    xp = table.namespace
    _, f, _ = _sizes(table)
    changed = (table.activation + table.gated) > 0
    return f + xp.where(changed, (1 + table.gated) * f, 0.0)


def working_elements(table: LayerTable) -> Array:
    """Return the most hidden elements that are alive at once in a forward pass [L]."""
    return (1 + table.gated) * _sizes(table)[1]
