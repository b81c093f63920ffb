"""Registry of differentiable cost terms: what a search may minimise or bound.

Shapes: L layers. A term is additive over layers, so registering one function
`(LayerTable, Device, CostSettings) -> [L]` is all that exact costs, relaxed costs and profiles
need. It must run on numpy and on JAX arrays alike.
"""

from collections.abc import Callable
from typing import NamedTuple

from greennas_jax.costs import counts, estimates, layer_table, paleo
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array
TermFunction = Callable[[LayerTable, Device, CostSettings], Array]


class Term(NamedTuple):
    """A cost term: its name, unit, function and what it counts."""

    name: str
    unit: str
    function: TermFunction
    description: str


_TERMS: dict[str, Term] = {}


def register(term: Term) -> Term:
    """Add a term to the registry and return it.

    Raises:
      ValueError: If the name is taken.
    """
    if term.name in _TERMS:
        raise ValueError(f"cost term '{term.name}' is already registered")
    _TERMS[term.name] = term
    return term


def names() -> tuple[str, ...]:
    """Return the names of all terms, in the order they were registered."""
    return tuple(_TERMS)


def get(name: str) -> Term:
    """Return a term.

    Raises:
      ValueError: If no term has the name; the known ones are listed.

    Examples:
      >>> get("energy").unit
      'J'
      >>> get("beauty")
      Traceback (most recent call last):
      ValueError: cost term 'beauty' is not known; allowed: energy, time, memory, parameters, flops
    """
    if name not in _TERMS:
        raise ValueError(f"cost term '{name}' is not known; allowed: {', '.join(_TERMS)}")
    return _TERMS[name]


def _memory(table: LayerTable, device: Device, settings: CostSettings) -> Array:
    del device
    activations = counts.activation_bytes(table, settings) + counts.cache_bytes(table, settings)
    return counts.weight_bytes(table, settings) + activations


def _parameters(table: LayerTable, device: Device, settings: CostSettings) -> Array:
    del device
    return counts.parameters(table, settings)


def _flops(table: LayerTable, device: Device, settings: CostSettings) -> Array:
    return paleo.totals(table, settings, device)[0]


register(Term("energy", "J", estimates.energy, "energy of inference or a training step"))
register(Term("time", "ms", estimates.time, "time of inference or a training step"))
register(Term("memory", "bytes", _memory, "weights (three copies in training), activations, cache"))
register(Term("parameters", "count", _parameters, "trainable parameters"))
register(Term("flops", "FLOP", _flops, "operations; a multiply-add is two"))
