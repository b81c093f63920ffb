"""FLOPs and bytes of every layer as the original Paleo counts them, oddities included.

Shapes: L layers. Section numbers are those of the original's rules: D forward, E backward, I
update. Only convolutions, deconvolutions, inner products, pooling and dropout cost anything;
groups are ignored.
"""

from greennas_jax.costs import counts, gradient_layers, layer_table
from greennas_jax.costs.gradient_layers import Gemm
from greennas_jax.costs.layer_table import LayerTable, Operation, Padding
from greennas_jax.costs.passes import Operand, Pass, Work
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array
BYTES = layer_table.BYTES_PER_ELEMENT


def _select(masks: tuple[Array, ...], values: tuple[Array, ...]) -> Array:
    """Return the value whose mask holds, 0 where none does."""
    xp = layer_table.array_namespace(*values)
    chosen = xp.zeros_like(values[0])
    for mask, value in zip(masks, values, strict=True):
        chosen = xp.where(mask, value, chosen)
    return chosen


def _merge(alternatives: tuple[tuple[Array, Array, tuple[Array, ...]], ...]) -> Pass:
    """Return the pass that takes, row by row, the alternative whose mask holds.

    Args:
      alternatives: (mask, FLOPs, bytes of two or three operands), masks mutually exclusive.
    """
    masks = tuple(mask for mask, _, _ in alternatives)
    operands = []
    for index in range(3):
        having = [(m, sizes[index]) for m, _, sizes in alternatives if index < len(sizes)]
        moved = having[0][0]
        for mask, _ in having[1:]:
            moved = moved | mask
        sizes = _select(tuple(m for m, _ in having), tuple(s for _, s in having))
        operands.append(Operand(sizes, moved))
    return Pass(_select(masks, tuple(flops for _, flops, _ in alternatives)), tuple(operands))


def _gemm(mask: Array, gemm: Gemm) -> tuple[Array, Array, tuple[Array, ...]]:
    return mask, gradient_layers.flops(gemm), gradient_layers.operands(gemm)


def _product(mask: Array, a: Array, b: Array, c: Array) -> tuple[Array, Array, tuple]:
    """Return D.2: [a, b] times [b, c]."""
    return mask, 2 * a * b * c, (BYTES * a * b, BYTES * b * c, BYTES * a * c)


def work(table: LayerTable, settings: CostSettings) -> Work:
    """Return FLOPs and bytes of every pass [L].

    Args:
      table: Layers [L].
      settings: Compatibility "paleo".
    """
    convolution = table.is_any(Operation.CONVOLUTION)
    deconvolution = table.is_any(Operation.DECONVOLUTION)
    inner = table.is_any(Operation.INNER_PRODUCT)
    pooling = table.is_any(Operation.POOLING, Operation.AVERAGE_POOLING)
    dropout = table.is_any(Operation.DROPOUT)
    backprop = table.reads_input == 0
    layer = gradient_layers.forward(table)
    inverted = gradient_layers.forward(table, transposed=True)
    expanded = gradient_layers.data_gradient(inverted)
    elements = BYTES * table.input_elements, BYTES * table.output_elements
    window = table.kernel_height * table.kernel_width
    unweighted = (
        (pooling, 2 * window * table.output_elements, elements),
        (dropout, table.input_elements, elements),
    )
    n, d, m = table.batch, table.in_channels, table.out_channels
    filters = gradient_layers.filter_gradient(expanded, holes=expanded.input_holes)
    parameters = counts.parameters(table, settings)
    copy = Operand(BYTES * parameters, parameters > 0)
    return Work(
        forward=_merge(
            (
                _gemm(convolution, layer),
                _gemm(deconvolution & backprop, expanded),
                _product(inner, n, d, m),
                *unweighted,
            )
        ),
        backward_data=_merge(
            (
                _gemm(convolution & backprop, gradient_layers.data_gradient(layer)),
                _gemm(deconvolution, inverted),
                _product(inner, n, m, d),
                *unweighted,
            )
        ),
        backward_filter=_merge(
            (
                _gemm(convolution, gradient_layers.filter_gradient(layer)),
                _gemm(deconvolution, filters),
                _product(inner, d, n, m),
            )
        ),
        update=Pass(2 * parameters, (copy, copy, copy)),
    )


def refusals(table: LayerTable) -> tuple[Array, Array, Array]:
    """Return where the original stops with an assertion: forward, data and filter, bool [L].

    A convolution's gradients must have the shape of what they are gradients of (E.4); a
    deconvolution must be buildable from its convolution (E.6).
    """
    t = table
    convolution = t.is_any(Operation.CONVOLUTION)
    layer = gradient_layers.forward(t)
    data = gradient_layers.data_gradient(layer)
    filters = gradient_layers.filter_gradient(layer)
    bad_data = convolution & ~gradient_layers.outputs_are(data, t.in_height, t.in_width)
    bad_filter = convolution & ~gradient_layers.outputs_are(
        filters, t.kernel_height, t.kernel_width
    )
    inverted = gradient_layers.forward(t, transposed=True)
    expanded = gradient_layers.data_gradient(inverted)
    of_filter = gradient_layers.filter_gradient(expanded, holes=expanded.input_holes)
    built = (
        gradient_layers.outputs_are(expanded, t.out_height, t.out_width)
        & gradient_layers.outputs_are(of_filter, t.kernel_height, t.kernel_width)
        & (_window_output(inverted.height, t.padding) == t.in_height)
        & (_window_output(inverted.width, t.padding) == t.in_width)
    )
    unbuilt = t.is_any(Operation.DECONVOLUTION) & ~built
    return unbuilt, bad_data, bad_filter


def _window_output(axis: gradient_layers.Axis, padding: Array) -> Array:
    """Return C.1 to C.3's output size of a window, by the padding's code."""
    xp = layer_table.array_namespace(axis.size)
    listed = (axis.size + 2 * axis.pad - axis.kernel) // axis.stride + 1
    valid = xp.ceil((axis.size - axis.kernel + 1) / axis.stride)
    same = xp.ceil(axis.size / axis.stride)
    chosen = xp.where(padding == int(Padding.VALID), valid, listed)
    return xp.where(padding == int(Padding.SAME), same, chosen)
