"""What a layer holds: parameters and activations.

Shapes: L layers.
"""

from collections.abc import Callable

from greennas_jax.costs import attention, embedding, feed_forward, layer_table
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array
# Of gradients, momenta and the weights that an update changes, in any number format.
BYTES = layer_table.BYTES_PER_ELEMENT

WEIGHTED = (Operation.CONVOLUTION, Operation.DECONVOLUTION, Operation.INNER_PRODUCT)
SEQUENCE = (
    Operation.EMBEDDING,
    Operation.LAYER_NORM,
    Operation.ATTENTION,
    Operation.FEED_FORWARD,
    Operation.ACTIVATION,
    Operation.SEQUENCE_POOL,
)
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


def layer_norms(table: LayerTable) -> Array:
    """Return the scales and offsets of layer normalisation [L]."""
    xp = table.namespace
    held = table.out_channels * (1 + table.bias)
    return xp.where(table.is_any(Operation.LAYER_NORM), held, 0.0)


def parameters(table: LayerTable, settings: CostSettings) -> Array:
    """Return the trainable parameters [L].

    kh kw Cin/g Cout, plus Cout where a bias is used, plus scale and offset of normalisation; what
    attentions, feed-forward layers and embeddings hold, and registered types state. Weights that
    are another layer's count there. Paleo: no groups, always a bias (of Cin for a deconvolution),
    nothing for normalisation and the layers of transformers.

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
    own = weights(table) * (1 - table.shared) + bias
    own = own + 2 * normalized_channels(table) + layer_norms(table) + table.own_parameters
    for operation, held in (
        (Operation.ATTENTION, attention.parameters),
        (Operation.FEED_FORWARD, feed_forward.parameters),
        (Operation.EMBEDDING, embedding.parameters),
    ):
        if table.may_hold(operation):
            own = own + xp.where(table.is_any(operation), held(table), 0.0)
    return own


def views(table: LayerTable, settings: CostSettings) -> Array:
    """Return whether a layer's output is its input's memory under another name, bool [L].

    A reshape is; so is dropout outside training. Paleo counts every output.
    """
    if settings.compat == "paleo":
        return table.is_any(Operation.INPUT) & False
    if settings.trains:
        return table.is_any(Operation.RESHAPE)
    return table.is_any(Operation.RESHAPE, Operation.DROPOUT)


def activation_bytes(table: LayerTable, settings: CostSettings) -> Array:
    """Return the bytes of the outputs, views aside, and of what is kept for the gradients [L].

    While training, an attention and a feed-forward layer keep what is inside them as well. Paleo
    knows no such layers.
    """
    xp = table.namespace
    held = xp.where(views(table, settings), 0.0, settings.element_bytes * table.output_elements)
    if settings.compat == "paleo" or not settings.trains:
        return held
    return held + settings.element_bytes * _inside(
        table, lambda: attention.kept_elements(table, settings), feed_forward.kept_elements
    )


def working_bytes(table: LayerTable, settings: CostSettings) -> Array:
    """Return the most bytes inside each layer that are alive while its forward pass runs [L].

    Those of attentions and feed-forward layers; of others a result is written straight away.
    """
    return settings.element_bytes * _inside(
        table, lambda: attention.working_elements(table, settings), feed_forward.working_elements
    )


def cache_bytes(table: LayerTable, settings: CostSettings) -> Array:
    """Return the bytes of the keys and values that stand in a cache after the forward pass [L].

    Only "prefill" and "decode" keep any.
    """
    xp = table.namespace
    if not settings.caches:
        return xp.zeros_like(table.batch)
    return settings.element_bytes * attention.cached_elements(table)


def _inside(
    table: LayerTable,
    of_attention: Callable[[], Array],
    of_feed_forward: Callable[[LayerTable], Array],
) -> Array:
    xp = table.namespace
    found = xp.where(table.is_any(Operation.ATTENTION), of_attention(), 0.0)
    return xp.where(table.is_any(Operation.FEED_FORWARD), of_feed_forward(table), found)


def weight_bytes(table: LayerTable, settings: CostSettings) -> Array:
    """Return the bytes of the parameters, with gradient and momentum in training [L].

    In training weights, gradients and momenta are fp32; a narrower number format adds its own copy
    of the weights.
    """
    each = settings.element_bytes
    if settings.trains:
        each = COPIES_IN_TRAINING * BYTES + working_copy_bytes(settings)
    return each * parameters(table, settings)


def working_copy_bytes(settings: CostSettings) -> int:
    """Return the bytes per parameter of the copy that is computed with in training [bytes].

    None where the weights that the update changes are computed with themselves.
    """
    return settings.element_bytes if settings.element_bytes < BYTES else 0
