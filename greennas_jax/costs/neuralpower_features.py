"""Features of NeuralPower's layer models (Cai, Juan, Stamoulis, Marculescu, ACML 2017).

Shapes: L layers. Hyper-parameters enter polynomials; products of them count operations and data
("special terms" of section 4.1 in that paper: FLOPs and the sizes of input, filters and output).
The work of a matrix product M x K by K x N adds M K, M and K, which scale what a partly filled
device takes.
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

_WINDOW = ("batch", "size", "in_channels", "kernel", "stride", "padding")
_MAP = ("batch", "size", "in_channels")
HYPER_PARAMETERS = {
    "convolution": (*_WINDOW, "out_channels"),
    "grouped_convolution": (*_WINDOW, "out_channels", "groups"),
    "depthwise_convolution": _WINDOW,
    "inner_product": ("batch", "size", "in_channels", "out_channels"),
    "pooling": _WINDOW,
    "normalisation": _MAP,
    "attention": _MAP,
    "feed_forward": _MAP,
    "embedding": (*_MAP, "out_channels"),
    "elementwise": (*_MAP, "inputs"),
}
_DATA = ("operations", "input_data", "output_data")
_MATRICES = (*_DATA, "filter_data", "unfolded_data", "positions", "depth")
PRODUCTS = {
    kind: _MATRICES
    if kind.endswith("convolution") or kind in ("inner_product", "attention", "feed_forward")
    else _DATA
    for kind in HYPER_PARAMETERS
}

# Terms summed at a time: bounds the memory of a prediction without one operation per term.
_BLOCK = 16


def _root(product: Array) -> Array:
    """Return the square root, with a finite gradient at zero."""
    xp = layer_table.array_namespace(product)
    positive = product > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, product, 1.0)), 0.0)


def values(table: LayerTable) -> dict[str, Array]:
    """Return every feature of every layer, each [L].

    Windows and maps that are not square count by the geometric mean of their sides. What a layer
    does behind its own work (bias, activation, normalisation) is not counted.
    """
    xp = table.namespace
    bare = table.replace(**dict.fromkeys(FUSED, xp.zeros_like(table.batch)))
    filters = counts.weights(bare)
    positions = table.batch * table.out_height * table.out_width
    depth = table.kernel_height * table.kernel_width * table.filter_channels
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
        "operations": traffic.work(bare, CostSettings()).forward.flops,
        "input_data": table.input_elements,
        "output_data": table.output_elements,
        "filter_data": filters,
        "unfolded_data": positions * depth * table.groups,
        "positions": positions,
        "depth": depth,
    } | {
        f"{IS}{operation.name.lower()}": xp.where(table.is_any(operation), 1.0, 0.0)
        for operation in Operation
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


def total(terms: Sequence[Term], found: Mapping[str, Array], ranges: Mapping[str, Range]) -> Array:
    """Return the sum of some terms [L].

    Args:
      terms: Terms of at most three factors, without a constant.
      found: Features [L].
      ranges: Their measured ranges, by name.
    """
    first: Any = next(iter(found.values()))
    xp = layer_table.array_namespace(*found.values())
    names = sorted({name for term in terms for name in term.factors})
    one = xp.ones_like(first)
    columns = xp.stack([*(_factor(name, found, ranges) for name in names), one], axis=-1)
    index = (
        np.array(
            [
                [*(names.index(name) for name in term.factors), *(3 - len(term.factors)) * [-1]]
                for term in terms
            ],
            dtype=np.int64,
        ).reshape(-1, 3)
        % columns.shape[-1]
    )
    weights = np.array([term.coefficient for term in terms])
    result = xp.zeros_like(first)
    for start in range(0, len(terms), _BLOCK):
        part = slice(start, start + _BLOCK)
        product = xp.asarray(weights[part], dtype=columns.dtype)
        for power in range(3):
            product = product * columns[..., index[part, power]]
        result = result + product.sum(axis=-1)
    return result
