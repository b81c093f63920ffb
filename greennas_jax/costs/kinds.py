"""Kinds of layers: what efficiencies, power models and calibration are stated for.

Shapes: L layers.
"""

import enum

import numpy as np

from greennas_jax.costs import kind_names, layer_table
from greennas_jax.costs.layer_table import LayerTable, Operation

Array = layer_table.Array

KINDS = kind_names.KINDS
CODES = {kind: code for code, kind in enumerate(KINDS)}

# By name, so that an operation may be listed before anything computes it. What is not listed moves
# data only: "elementwise".
_KIND_OF_OPERATION = {
    "CONVOLUTION": "convolution",
    "DECONVOLUTION": "convolution",
    "INNER_PRODUCT": "inner_product",
    "POOLING": "pooling",
    "AVERAGE_POOLING": "pooling",
    "SEQUENCE_POOL": "pooling",
    "BATCH_NORM": "normalisation",
    "LRN": "normalisation",
    "LAYER_NORM": "normalisation",
    "ATTENTION": "attention",
    "FEED_FORWARD": "feed_forward",
    "EMBEDDING": "embedding",
    "INPUT": "free",
    "RESHAPE": "free",
}


def code_of_each(operations: type[enum.IntEnum] = Operation) -> np.ndarray:
    """Return the code of the kind of each operation, convolutions taken as plain, int32.

    Args:
      operations: The operations, numbered from 0 without gaps.
    """
    return np.array(
        [CODES[_KIND_OF_OPERATION.get(each.name, "elementwise")] for each in operations],
        dtype=np.int32,
    )


def kind_codes(table: LayerTable) -> Array:
    """Return the kind of each layer as an index into KINDS, int32 [L].

    A convolution whose filters each read one channel is depthwise, one of several groups grouped.
    """
    xp = table.namespace
    code = xp.asarray(code_of_each())[table.operation]
    own = xp.asarray(table.own_kind, dtype=code.dtype)
    code = xp.where(table.is_any(Operation.REGISTERED), own, code)
    convolves = table.is_any(Operation.CONVOLUTION)
    code = xp.where(convolves & (table.groups > 1), CODES["grouped_convolution"], code)
    return xp.where(convolves & (table.depthwise > 0), CODES["depthwise_convolution"], code)
