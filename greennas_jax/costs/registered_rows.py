"""Columns of a layer table that the layers of registered types need beside the common ones."""

import math
from typing import NamedTuple

from greennas_jax.costs import kind_names
from greennas_jax.spec import layer_types
from greennas_jax.spec.network import Layer, SpecError
from greennas_jax.spec.shapes import Shapes


class Columns(NamedTuple):
    """One row's entries, in the order of LayerTable's last fields; zero where nothing applies.

    Attributes:
      own_kind: Number of the kind whose efficiency holds.
      own_flops: Operations of a forward pass [FLOP].
      own_elements: Numbers moved beside inputs, output and parameters.
      own_parameters: Trainable parameters.
    """

    own_kind: int = 0
    own_flops: float = 0.0
    own_elements: float = 0.0
    own_parameters: int = 0


NONE = Columns()


def columns(layer: Layer, shapes: Shapes) -> Columns:
    """Return the columns of any layer.

    Raises:
      SpecError: If the layer's type names no kind or states work that is no finite number from 0.
    """
    found = layer_types.find(layer.type)
    if found is None:
        return NONE
    if found.kind not in kind_names.KINDS:
        raise SpecError(
            f"layer type '{found.name}': kind is {found.kind!r}; "
            f"allowed: {', '.join(kind_names.KINDS)}"
        )
    work = found.work(layer, shapes.inputs, shapes.output)
    for name, value in work._asdict().items():
        if not 0 <= value < math.inf:
            raise SpecError(f"layer '{layer.name}' ({layer.type}): {name} are {value!r}; from 0")
    held = found.parameters(layer, shapes.inputs, shapes.output)
    return Columns(
        kind_names.KINDS.index(found.kind),
        float(work.flops),
        float(work.elements),
        sum(math.prod(parameter.shape) for parameter in held.values()),
    )
