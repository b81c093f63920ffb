"""FLOPs and memory traffic of every layer, counted from the tensors a layer really moves.

Shapes: L layers. in and out are elements of the tensors read and written, w the weights. A tensor
is read or written once per pass, unpadded, at the bytes per element of the number format: b.

Convolution, inner product (forward; data and filter gradient have the same FLOPs):
  FLOPs 2 kh kw (Cin/g) oh ow Cout N; bytes b (in + w + out) in each of the three passes: the data
  gradient reads dout and w and writes din, the filter gradient reads in and dout and writes dw, in
  fp32.
Deconvolution: the same with the roles of in and out exchanged in the FLOPs, 2 kh kw Cin Cout ih iw
N.
Another algorithm than the matrix product has its own FLOPs, and moves more than the tensors.
Behind them, in the same layer: bias and activation together read and write the output once, plus
the bias: b (2 out + Cout). Batch normalisation b (2 out + 4 Cout) in inference (mean, variance,
scale, offset); b (3 out + 4 Cout) in training (statistics first). Backward: an activation reads
the output and dout and writes the gradient, 3 b out; a bias alone reads dout, b out; batch
normalisation reads its input and dout twice and writes the gradient, 5 b out. They are charged
to the filter gradient, for they are due even where no data gradient is.
Attention, feed-forward layer and embedding: their own files. Layer normalisation reads and writes
the tensor once, for a row stays on the chip; its gradient reads input and dout, once for the data
and once for the parameters.
Pooling: 2 kh kw C oh ow N FLOPs (Paleo's count) in both directions.
A registered type has the FLOPs it states in the forward pass and in each gradient, and moves what
it states and its parameters beside its tensors; the filter gradient, where it has parameters, reads
input and dout.
Everything else is traffic only: `TRAFFIC` and `TRAINING_TRAFFIC` give the tensors moved.
A layer that reads a source has no data gradient.
Update, SGD with momentum: 4 FLOPs per parameter; weight, gradient and momentum are read, weight
and momentum written, all fp32: 4 x 5 bytes per parameter, and b more for the copy in a narrower
format (Micikevicius et al., "Mixed precision training", ICLR 2018).
"""

import numpy as np

from greennas_jax.costs import (
    attention,
    conv_algorithms,
    counts,
    embedding,
    feed_forward,
    layer_table,
)
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.passes import Amount, Amounts, Computation, Operand, Pass, Work
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array
BYTES = layer_table.BYTES_PER_ELEMENT

# Multiples of (input, output) elements moved by (the forward pass, the data gradient).
TRAFFIC = {
    Operation.INPUT: ((0, 0), (0, 0)),
    Operation.CONVOLUTION: ((1, 1), (1, 1)),
    Operation.DECONVOLUTION: ((1, 1), (1, 1)),
    Operation.INNER_PRODUCT: ((1, 1), (1, 1)),
    # The gradient of a maximum also reads where it was found.
    Operation.POOLING: ((1, 1), (1, 2)),
    Operation.AVERAGE_POOLING: ((1, 1), (1, 1)),
    # At inference the identity; its gradient reads a mask of one byte per element.
    Operation.DROPOUT: ((0, 0), (1.25, 1)),
    Operation.CONCATENATE: ((1, 1), (1, 1)),
    Operation.ELEMENTWISE: ((1, 1), (1, 1)),
    # A view.
    Operation.RESHAPE: ((0, 0), (0, 0)),
    # These four gradients also read what the forward pass kept.
    Operation.SOFTMAX: ((1, 1), (1, 2)),
    Operation.SIGMOID: ((1, 1), (1, 2)),
    Operation.RELU: ((1, 1), (1, 2)),
    Operation.LRN: ((1, 1), (2, 2)),
    Operation.UPSAMPLING: ((1, 1), (1, 1)),
    # Its input and dout twice (sums, then values), the gradient once.
    Operation.BATCH_NORM: ((1, 1), (3, 2)),
    # A type nobody described is assumed to read its input once and write its output once.
    Operation.UNKNOWN: ((1, 1), (1, 1)),
    Operation.EMBEDDING: ((0, 0), (0, 0)),
    Operation.LAYER_NORM: ((1, 1), (2, 1)),
    Operation.ATTENTION: ((0, 0), (0, 0)),
    Operation.FEED_FORWARD: ((0, 0), (0, 0)),
    Operation.ACTIVATION: ((1, 1), (1, 2)),
    # What a mean reads beside its output: see `_sequences`.
    Operation.SEQUENCE_POOL: ((0, 1), (1, 1)),
    # Its gradient also reads what the forward pass read.
    Operation.REGISTERED: ((1, 1), (2, 1)),
}
TRAINING_TRAFFIC = {
    **TRAFFIC,
    Operation.DROPOUT: ((1.25, 1), (1.25, 1)),
    Operation.BATCH_NORM: ((2, 1), (3, 2)),
}


def _tensors_moved(table: LayerTable, mode: str) -> tuple[Array, Array]:
    """Return elements that the forward pass and the data gradient move, weights aside [L]."""
    xp = table.namespace
    multiples = TRAINING_TRAFFIC if mode == "training" else TRAFFIC
    columns = np.array([multiples[operation] for operation in Operation], dtype=np.float64)
    of_row = xp.asarray(columns, dtype=table.batch.dtype)[table.operation]
    elements = table.input_elements, table.output_elements
    forward = of_row[..., 0, 0] * elements[0] + of_row[..., 0, 1] * elements[1]
    backward = of_row[..., 1, 0] * elements[0] + of_row[..., 1, 1] * elements[1]
    return forward, backward


def _products(table: LayerTable, settings: CostSettings) -> tuple[Array, Array]:
    """Return (FLOPs of layers with weights in any of their passes, bytes beside tensors) [L]."""
    xp = table.namespace
    window = 2 * table.kernel_height * table.kernel_width
    transposed = table.is_any(Operation.DECONVOLUTION)
    pixels = table.batch * xp.where(
        transposed, table.in_height * table.in_width, table.out_height * table.out_width
    )
    product = window * pixels * table.filter_channels * table.out_channels
    product = xp.where(table.is_any(*counts.WEIGHTED), product, 0.0)
    if settings.conv_algorithm == "gemm":
        return product, xp.zeros_like(product)
    algorithm = conv_algorithms.get(settings.conv_algorithm)
    applies = algorithm.applies(table)
    flops, beside = algorithm.amounts(table)
    # An algorithm states its bytes in fp32.
    beside = beside * (settings.element_bytes / BYTES)
    return xp.where(applies, flops, product), xp.where(applies, beside, 0.0)


def _flops(table: LayerTable, product: Array, mode: str) -> tuple[Array, Array, Array]:
    """Return FLOPs of the forward pass, the data gradient and the filter gradient [L]."""
    xp = table.namespace
    window = 2 * table.kernel_height * table.kernel_width
    pooled = xp.where(
        table.is_any(Operation.POOLING, Operation.AVERAGE_POOLING),
        window * table.output_elements,
        0.0,
    )
    dropped = xp.where(table.is_any(Operation.DROPOUT), table.output_elements, 0.0)
    forward = product + pooled + (dropped if mode == "training" else 0.0) + table.own_flops
    of_parameters = xp.where(table.own_parameters > 0, table.own_flops, 0.0)
    return forward, product + pooled + dropped + table.own_flops, product + of_parameters


def _behind(table: LayerTable, mode: str) -> tuple[Array, Array]:
    """Return elements moved by bias, activation and normalisation, forward and backward [L]."""
    xp = table.namespace
    weighted = table.is_any(*counts.WEIGHTED)
    out = xp.where(weighted, table.output_elements, 0.0)
    biases = xp.where(weighted, table.bias * table.out_channels, 0.0)
    fused = (table.bias + table.activation) > 0
    statistics = 4 * counts.normalized_channels(table)
    forward = 2 * out * fused + biases + statistics
    forward = forward + (3 if mode == "training" else 2) * out * table.normalizer
    bias_alone = table.bias * (1 - table.activation)
    backward = out * (3 * table.activation + bias_alone + 5 * table.normalizer)
    return forward, backward + biases


def _sequences(table: LayerTable, settings: CostSettings) -> Amounts:
    """Return what the layers of transformers compute, and move beside `TRAFFIC` [L]."""
    xp = table.namespace
    none = xp.zeros_like(table.batch * table.in_channels)
    total = Amounts(*(Amount(none, none, none) for _ in Amounts._fields))
    if not table.may_hold(*counts.SEQUENCE):
        return total
    norms = counts.layer_norms(table)
    pooled = table.is_any(Operation.SEQUENCE_POOL)
    read = table.batch * table.kernel_height * table.in_channels
    total = Amounts(
        Amount(none, norms + xp.where(pooled, read, 0.0), none),
        Amount(none, (1 - table.reads_input) * xp.where(norms > 0, table.out_channels, 0.0), none),
        Amount(none, xp.where(norms > 0, 2 * table.output_elements, 0.0), norms),
    )
    for operation, found in (
        (Operation.ATTENTION, attention.amounts(table, settings)),
        (Operation.FEED_FORWARD, feed_forward.amounts(table)),
        (Operation.EMBEDDING, embedding.amounts(table)),
    ):
        rows = table.is_any(operation)
        total = Amounts(
            *(
                Amount(*(xp.where(rows, new, old) for new, old in zip(*pair, strict=True)))
                for pair in zip(found, total, strict=True)
            )
        )
    return total


def _pass(flops: Array, size: Array) -> Pass:
    return Pass((Computation(flops),), (Operand(size, size > 0),))


def work(table: LayerTable, settings: CostSettings) -> Work:
    """Return FLOPs and bytes of every pass [L].

    Args:
      table: Layers [L].
      settings: `mode` decides what batch normalisation and dropout do in the forward pass,
        `conv_algorithm` how convolutions are computed, where it applies, `dtype` the bytes of an
        element.
    """
    xp = table.namespace
    size = settings.element_bytes
    weights = counts.weights(table)
    weighted = table.is_any(*counts.WEIGHTED)
    forward, backward = _tensors_moved(table, settings.mode)
    behind, behind_backward = _behind(table, settings.mode)
    product, beside = _products(table, settings)
    forward_flops, data_flops, filter_flops = _flops(table, product, settings.mode)
    gradient = 1 - table.reads_input
    parameters = counts.parameters(table, settings)
    trained = weighted | (table.own_parameters > 0)
    tensors = xp.where(trained, table.input_elements + table.output_elements, 0.0)
    own = table.own_elements + table.own_parameters
    beside_own = xp.where(table.own_parameters > 0, table.own_elements, 0.0)
    sequence = _sequences(table, settings)
    # Of a table that an embedding has as well, both gradients are added: two read, one written.
    return Work(
        forward=_pass(
            forward_flops + sequence.forward.flops,
            size * (forward + weights + own + behind + sequence.forward.elements) + beside,
        ),
        backward_data=_pass(
            data_flops * gradient + sequence.data.flops,
            (size * (backward + weights + own) + beside) * gradient + size * sequence.data.elements,
        ),
        backward_filter=_pass(
            filter_flops + sequence.filters.flops,
            size * (tensors + beside_own + behind_backward + sequence.filters.elements)
            + BYTES * ((1 + 3 * table.shared) * weights + sequence.filters.gradients)
            + BYTES * table.own_parameters
            + beside,
        ),
        update=_pass(
            4 * parameters, (5 * BYTES + counts.working_copy_bytes(settings)) * parameters
        ),
    )
