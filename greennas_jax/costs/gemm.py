"""FLOPs and bytes of every layer as the original Paleo counts them, oddities included.

Shapes: L layers. Section numbers are those of the original's rules: D forward, E backward, I
update. Only convolutions, deconvolutions, inner products, pooling and dropout cost anything;
groups are ignored.
"""

from greennas_jax.costs import (
    conv_algorithms,
    counts,
    gemm_convolution,
    gradient_layers,
    layer_table,
    passes,
)
from greennas_jax.costs.gradient_layers import Gemm
from greennas_jax.costs.layer_table import LayerTable, Operation, Padding
from greennas_jax.costs.passes import Computation, Operand, Pass, Work
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array
BYTES = layer_table.BYTES_PER_ELEMENT


def _simple(flops: Array, *sizes: Array) -> Pass:
    every = flops == flops
    return Pass((Computation(flops),), tuple(Operand(size, every) for size in sizes))


def _product(a: Array, b: Array, c: Array) -> Pass:
    """Return Paleo's matrix product [a, b] times [b, c]."""
    return _simple(2 * a * b * c, BYTES * a * b, BYTES * b * c, BYTES * a * c)


def _convolutions(
    table: LayerTable, gemm: Gemm, settings: CostSettings, step: str, *, checked: bool
) -> list[tuple[Array, Pass]]:
    """Return how the convolutions among some layers are computed in one pass.

    Args:
      table: Layers [L].
      gemm: What is convolved in this pass.
      settings: `conv_algorithm` decides.
      step: The pass.
      checked: Whether the algorithm is used only where it applies; the original never asks.
    """
    convolution = table.is_any(Operation.CONVOLUTION)
    chosen = conv_algorithms.get(settings.conv_algorithm)
    if not checked:
        return [(convolution, chosen.original(gemm, step))]
    applies = chosen.applies(table)
    return [
        (applies, chosen.original(gemm, step)),
        (convolution & ~applies, gemm_convolution.original(gemm, step)),
    ]


def work(table: LayerTable, settings: CostSettings, *, checked: bool = False) -> Work:
    """Return FLOPs and bytes of every pass [L].

    Args:
      table: Layers [L].
      settings: Compatibility "paleo".
      checked: Whether the convolution algorithm is used only where it applies; the original
        costs whatever it is asked for.
    """
    deconvolution = table.is_any(Operation.DECONVOLUTION)
    inner = table.is_any(Operation.INNER_PRODUCT)
    backprop = table.reads_input == 0
    layer = gradient_layers.forward(table)
    inverted = gradient_layers.forward(table, transposed=True)
    expanded = gradient_layers.data_gradient(inverted)
    filters = gradient_layers.filter_gradient(expanded, holes=expanded.input_holes)
    gradients = gradient_layers.data_gradient(layer), gradient_layers.filter_gradient(layer)
    n, d, m = table.batch, table.in_channels, table.out_channels
    parameters = counts.parameters(table, settings)
    copy = Operand(BYTES * parameters, parameters > 0)

    def convolutions(gemm: Gemm, step: str) -> list[tuple[Array, Pass]]:
        return _convolutions(table, gemm, settings, step, checked=checked)

    def deconvolutions(gemm: Gemm, step: str) -> Pass:
        return gemm_convolution.original(gemm, step)

    data = [(mask & backprop, step) for mask, step in convolutions(gradients[0], "backward_data")]
    return Work(
        forward=passes.select(
            [
                *convolutions(layer, "forward"),
                (deconvolution & backprop, deconvolutions(expanded, "forward")),
                (inner, _product(n, d, m)),
                *_unweighted(table),
            ]
        ),
        backward_data=passes.select(
            [
                *data,
                (deconvolution, deconvolutions(inverted, "backward_data")),
                (inner, _product(n, m, d)),
                *_unweighted(table),
            ]
        ),
        backward_filter=passes.select(
            [
                *convolutions(gradients[1], "backward_filter"),
                (deconvolution, deconvolutions(filters, "backward_filter")),
                (inner, _product(d, n, m)),
            ]
        ),
        update=Pass((Computation(2 * parameters),), (copy, copy, copy)),
    )


def _unweighted(table: LayerTable) -> list[tuple[Array, Pass]]:
    """Return pooling and dropout, forward and backward alike."""
    pooling = table.is_any(Operation.POOLING, Operation.AVERAGE_POOLING)
    elements = BYTES * table.input_elements, BYTES * table.output_elements
    window = table.kernel_height * table.kernel_width
    return [
        (pooling, _simple(2 * window * table.output_elements, *elements)),
        (table.is_any(Operation.DROPOUT), _simple(table.input_elements, *elements)),
    ]


def has_no_such_layer(table: LayerTable) -> Array:
    """Return which layers are of a type that came after the original, bool [L].

    It would cost them nothing and pass their input through, so that a network of them would be
    another one; an inner product for each position would be flattened.
    """
    per_position = table.is_any(Operation.INNER_PRODUCT) & (table.out_height > 1)
    return per_position | table.is_any(*counts.SEQUENCE)


def refusals(table: LayerTable) -> tuple[Array, Array, Array]:
    """Return where the original stops with an assertion: forward, data and filter, bool [L].

    A convolution's gradients must have the shape of what they are gradients of; a
    deconvolution must be buildable from its convolution.
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
    """Return the output size of a window, by the padding's code."""
    xp = layer_table.array_namespace(axis.size)
    listed = (axis.size + 2 * axis.pad - axis.kernel) // axis.stride + 1
    valid = xp.ceil((axis.size - axis.kernel + 1) / axis.stride)
    same = xp.ceil(axis.size / axis.stride)
    chosen = xp.where(padding == int(Padding.VALID), valid, listed)
    return xp.where(padding == int(Padding.SAME), same, chosen)
