"""What a layer holds: parameters and activations.

Shapes: L layers.
"""

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array
# Of gradients, momenta and the weights that an update changes, in any number format.
BYTES = layer_table.BYTES_PER_ELEMENT

WEIGHTED = (Operation.CONVOLUTION, Operation.DECONVOLUTION, Operation.INNER_PRODUCT)
# Weight, gradient and momentum are kept while training with momentum.
COPIES_IN_TRAINING = 3


def weights(table: LayerTable) -> Array:
    """Return the weights of convolutions and inner products, without biases [L]."""
    xp = table.namespace
    window = table.kernel_height * table.kernel_width
    return xp.where(
        table.is_any(*WEIGHTED), window * table.filter_channels * table.out_channels, 0.0
    )


def normalized_channels(table: LayerTable) -> Array:
    """Return the channels that pass through batch normalisation [L]."""
    xp = table.namespace
    normalizes = table.is_any(Operation.BATCH_NORM) | (table.normalizer > 0)
    return xp.where(normalizes, table.out_channels, 0.0)


def parameters(table: LayerTable, settings: CostSettings) -> Array:
    """Return the trainable parameters [L].

    kh kw Cin/g Cout, plus Cout where a bias is used, plus scale and offset of batch normalisation.
    Paleo: no groups, always a bias (of Cin for a deconvolution),
    nothing for batch normalisation.

    Args:
      table: Layers [L].
      settings: Only `compat` matters.
    """
    xp = table.namespace
    if settings.compat == "paleo":
        dense = table.kernel_height * table.kernel_width * table.in_channels * table.out_channels
        bias = xp.where(
            table.is_any(Operation.DECONVOLUTION), table.in_channels, table.out_channels
        )
        return xp.where(table.is_any(*WEIGHTED), dense + bias, 0.0)
    bias = xp.where(table.is_any(*WEIGHTED), table.bias * table.out_channels, 0.0)
    return weights(table) + bias + 2 * normalized_channels(table)


def views(table: LayerTable, settings: CostSettings) -> Array:
    """Return whether a layer's output is its input's memory under another name, bool [L].

    A reshape is; so is dropout in inference. Paleo counts every output.
    """
    if settings.compat == "paleo":
        return table.is_any(Operation.INPUT) & False
    if settings.mode == "inference":
        return table.is_any(Operation.RESHAPE, Operation.DROPOUT)
    return table.is_any(Operation.RESHAPE)


def activation_bytes(table: LayerTable, settings: CostSettings) -> Array:
    """Return the bytes of the outputs, views aside [L]."""
    xp = table.namespace
    size = settings.element_bytes * table.output_elements
    return xp.where(views(table, settings), 0.0, size)


def weight_bytes(table: LayerTable, settings: CostSettings) -> Array:
    """Return the bytes of the parameters, with gradient and momentum in training [L].

    In training weights, gradients and momenta are fp32; a narrower number format adds its own copy
    of the weights.
    """
    each = settings.element_bytes
    if settings.mode == "training":
        each = COPIES_IN_TRAINING * BYTES + working_copy_bytes(settings)
    return each * parameters(table, settings)


def working_copy_bytes(settings: CostSettings) -> int:
    """Return the bytes per parameter of the copy that is computed with in training [bytes].

    None where the weights that the update changes are computed with themselves.
    """
    return settings.element_bytes if settings.element_bytes < BYTES else 0
