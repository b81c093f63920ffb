"""Features of NeuralPower's layer models (Cai, Juan, Stamoulis, Marculescu, ACML 2017).

Shapes: L layers. Hyper-parameters enter polynomials; products of them count operations and data
("special terms" of section 4.1 in that paper: FLOPs and the sizes of input, filters and output).
The work of a matrix product of M rows and depth K by K x N adds M K, M and K, which scale what a
partly filled device takes.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from greennas_jax.costs import counts, layer_table, traffic
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.neuralpower_model import FUSED, Range, Term
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array

LOG = "log2 "
IS = "is "
_FORWARD = CostSettings()

_WINDOW = ("batch", "size", "in_channels", "kernel", "stride", "padding")
_MAP = ("batch", "size", "in_channels")
_SEQUENCE = ("batch", "sequence", "in_channels")
HYPER_PARAMETERS = {
    "convolution": (*_WINDOW, "out_channels"),
    "grouped_convolution": (*_WINDOW, "out_channels", "groups"),
    "depthwise_convolution": _WINDOW,
    "inner_product": (*_SEQUENCE, "out_channels"),
    "pooling": _WINDOW,
    "normalisation": _MAP,
    "attention": (
        *(*_SEQUENCE, "heads", "queries_per_key", "head_share", "causal", "rotary"),
        *("relative_buckets", "memory_length", "cached"),
    ),
    "feed_forward": (*_SEQUENCE, "hidden", "gated"),
    "embedding": ("batch", "sequence", "out_channels", "vocabulary"),
    "elementwise": (*_MAP, "inputs"),
}
_DATA = ("operations", "input_data", "output_data")
_WEIGHTS = (*_DATA, "filter_data")
_PRODUCT_OF_MATRICES = (*_WEIGHTS, "unfolded_data", "rows", "depth")
PRODUCTS = {
    "convolution": _PRODUCT_OF_MATRICES,
    "grouped_convolution": _PRODUCT_OF_MATRICES,
    "depthwise_convolution": _PRODUCT_OF_MATRICES,
    "inner_product": _PRODUCT_OF_MATRICES,
    "pooling": _DATA,
    "normalisation": _DATA,
    "attention": (*_WEIGHTS, "scores"),
    "feed_forward": (*_WEIGHTS, "hidden_data"),
    "embedding": _DATA,
    "elementwise": _DATA,
}


def _root(product: Array) -> Array:
    """Return the square root, with a finite gradient at zero."""
    xp = layer_table.array_namespace(product)
    positive = product > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, product, 1.0)), 0.0)


def values(table: LayerTable, operations: Iterable[str] = ()) -> dict[str, Array]:
    """Return every feature of every layer, each [L].

    Windows and maps that are not square count by the geometric mean of their sides. What a layer
    does behind its own work (bias, activation, normalisation) is not counted.

    Args:
      table: Layers [L].
      operations: Names of operations to mark; the mark is 1 where a layer is one.
    """
    marks = {
        f"{IS}{name.lower()}": table.namespace.where(table.is_any(Operation[name]), 1.0, 0.0)
        for name in operations
    }
    return {**_sizes(table), **_of_sequences(table), **_work(table), **marks}


def _sizes(table: LayerTable) -> dict[str, Array]:
    """Return the hyper-parameters of layers on maps [L]."""
    xp = table.namespace
    padding = (table.pad_height + table.pad_width) / 2
    return {
        "batch": table.batch,
        "size": _root(table.in_height * table.in_width),
        "in_channels": table.in_channels,
        "out_channels": table.out_channels,
        "kernel": _root(table.kernel_height * table.kernel_width),
        "stride": _root(table.stride_height * table.stride_width),
        # Paleo's rules give -1 where the stride exceeds the kernel.
        "padding": xp.where(padding > 0, padding, 0.0),
        "groups": table.groups,
        "inputs": table.inputs,
    }


def _of_sequences(table: LayerTable) -> dict[str, Array]:
    """Return the hyper-parameters of layers on sequences [L]."""
    xp = table.namespace
    return {
        "sequence": table.in_height * table.in_width,
        "heads": table.heads,
        "queries_per_key": table.heads / xp.maximum(table.key_value_heads, 1.0),
        "head_share": table.heads * table.head_width / xp.maximum(table.in_channels, 1.0),
        "causal": table.causal,
        "rotary": table.rotary,
        "relative_buckets": table.relative_buckets,
        "memory_length": table.memory_length,
        "cached": table.cached,
        "hidden": table.hidden,
        "gated": table.gated,
        "vocabulary": table.vocabulary,
    }


def _work(table: LayerTable) -> dict[str, Array]:
    """Return the products that count operations and data [L]."""
    xp = table.namespace
    bare = table.replace(**dict.fromkeys(FUSED, xp.zeros_like(table.batch)))
    filters = xp.where(
        bare.is_any(*counts.WEIGHTED), counts.weights(bare), counts.parameters(bare, _FORWARD)
    )
    rows = table.batch * table.out_height * table.out_width
    depth = table.kernel_height * table.kernel_width * table.filter_channels
    positions = table.batch * table.in_height * table.in_width
    return {
        "operations": traffic.work(bare, _FORWARD).forward.flops,
        "input_data": table.input_elements,
        "output_data": table.output_elements,
        "filter_data": filters,
        "unfolded_data": rows * depth * table.groups,
        "rows": rows,
        "depth": depth,
        "scores": positions * table.heads * table.keys,
        "hidden_data": positions * table.hidden,
    }


def of_kind(kind: str, operations: Sequence[str]) -> tuple[str, ...]:
    """Return the features of a kind of layers of which some operations were measured.

    Args:
      kind: One of `HYPER_PARAMETERS`.
      operations: Names of operations, sorted; all but the first have an indicator.
    """
    marks = (f"{IS}{operation.lower()}" for operation in operations[1:])
    return (*HYPER_PARAMETERS[kind], *PRODUCTS[kind], *marks)


def monomials(names: Sequence[str], degree: int) -> tuple[tuple[str, ...], ...]:
    """Return the factors of every monomial of the names of degree 1 to `degree`.

    A feature that is 0 or 1 equals its powers: they are left out.
    """
    found = itertools.chain.from_iterable(
        itertools.combinations_with_replacement(names, power) for power in range(1, degree + 1)
    )
    return tuple(
        factors
        for factors in found
        if not any(a == b and a.startswith(IS) for a, b in itertools.pairwise(factors))
    )


def _factor(name: str, found: Mapping[str, Array], ranges: Mapping[str, Range]) -> Array:
    """Return a feature divided by its largest measured value, or its centred logarithm [L]."""
    if not name.startswith(LOG):
        return found[name] / ranges[name].upper
    lower, upper = ranges[name.removeprefix(LOG)][1:]
    value = found[name.removeprefix(LOG)]
    xp = layer_table.array_namespace(value)
    return xp.log2(value / (lower * upper) ** 0.5)


def design(
    monomials: Iterable[tuple[str, ...]],
    found: Mapping[str, Array],
    ranges: Mapping[str, Range],
) -> np.ndarray:
    """Return the values of monomials [L, P], numpy."""
    columns = {}
    rows = []
    one = np.ones_like(next(iter(found.values())))
    for factors in monomials:
        for name in factors:
            if name not in columns:
                columns[name] = _factor(name, found, ranges)
        rows.append(np.prod([one, *(columns[name] for name in factors)], axis=0))
    return np.stack(rows, axis=-1)


def total(terms: Iterable[Term], found: Mapping[str, Array], ranges: Mapping[str, Range]) -> Array:
    """Return the sum of some terms [L].

    Args:
      terms: The terms.
      found: Features [L].
      ranges: Their measured ranges, by name.
    """
    first: Any = next(iter(found.values()))
    xp = layer_table.array_namespace(*found.values())
    columns: dict[str, Array] = {}
    result = xp.zeros_like(first)
    # Term by term: XLA compiles that faster than gathers from a table of powers.
    for coefficient, factors in terms:
        product = coefficient
        for name in factors:
            if name not in columns:
                columns[name] = _factor(name, found, ranges)
            product = product * columns[name]
        result = result + product
    return result
