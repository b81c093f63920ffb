"""Registry of layer types that are added from outside: shape, work, parameters and forward pass.

A layer type is one record of pure functions and one registration; reading and writing text, costs
of every mode, search spaces, trainings and rebuilt networks follow. The types that come along are
not in it: their rows hold what Paleo and published models of layers ask of them.

Shapes of tensors are the text's, batch first: [N, H, W, C], [N, S, D] or [N, D].
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import Layer, SpecError

Shape = tuple[int, ...]
Array = Any  # Whatever the array library of an executable network uses.


class Parameter(NamedTuple):
    """Trainable numbers of a layer and how they begin.

    Attributes:
      shape: Their shape.
      deviation: Standard deviation of the normal draws they begin as; 0 for a constant.
      mean: Mean of the draws, or the constant.
    """

    shape: Shape
    deviation: float = 0.0
    mean: float = 0.0


class Work(NamedTuple):
    """What a layer does in one forward pass of its batch; each gradient does the same again.

    Attributes:
      flops: Operations; a multiply-add is two [FLOP].
      elements: Numbers moved beside inputs, output and parameters, each of which is moved once.
    """

    flops: float = 0.0
    elements: float = 0.0


def _nothing_to_view(layer: Layer) -> Hashable:
    del layer


def _no_parameters(layer: Layer, inputs: tuple[Shape, ...], output: Shape) -> dict[str, Parameter]:
    del layer, inputs, output
    return {}


def _moves_only(layer: Layer, inputs: tuple[Shape, ...], output: Shape) -> Work:
    del layer, inputs, output
    return Work()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerType:
    """A layer type.

    Attributes:
      name: What `type` says in the text.
      output: (layer, shapes of its parents) -> shape of its output; SpecError where they do not
        fit.
      view: layer -> its attributes, checked, as a hashable value for `forward`.
      parameters: (layer, inputs, output) -> its trainable numbers by role.
      work: (layer, inputs, output) -> what it does beside moving its tensors.
      forward: (view, parameters by role, inputs) -> output, written with jax.numpy for any batch
        size; None where the type is only costed.
      kind: The kind of layer whose efficiency of a device holds for it, one of `kinds.KINDS`.
      pointwise: Whether it has one parent and each number that it writes depends on the number it
        reads there and on its channel alone; its parameters are then [C] each, and it is finite
        where it reads zero. Such a layer follows whatever width and size a search gives its input;
        what any other registered layer reads and writes stays as given.
    """

    name: str
    output: Callable[[Layer, tuple[Shape, ...]], Shape]
    view: Callable[[Layer], Hashable] = _nothing_to_view
    parameters: Callable[[Layer, tuple[Shape, ...], Shape], Mapping[str, Parameter]] = (
        _no_parameters
    )
    work: Callable[[Layer, tuple[Shape, ...], Shape], Work] = _moves_only
    forward: Callable[[Any, Mapping[str, Array], list[Array]], Array] | None = None
    kind: str = "elementwise"
    pointwise: bool = False


class View(NamedTuple):
    """What an executable form knows of a layer of a registered type.

    Attributes:
      of_type: Its type's view of its attributes.
      parameters: Its trainable numbers by role.
    """

    of_type: Hashable
    parameters: tuple[tuple[str, Parameter], ...]


_TYPES: dict[str, LayerType] = {}


def register(layer_type: LayerType) -> LayerType:
    """Add a layer type to the registry and return it.

    Raises:
      ValueError: If the name is taken, by a type that comes along or a registered one.

    Examples:
      >>> register(LayerType(name="Pooling", output=lambda layer, inputs: inputs[0]))
      Traceback (most recent call last):
      ValueError: layer type 'Pooling' is already registered
    """
    if layer_type.name in (*layer_views.KNOWN_TYPES, "Block", "ModelParallel", *_TYPES):
        raise ValueError(f"layer type '{layer_type.name}' is already registered")
    _TYPES[layer_type.name] = layer_type
    return layer_type


def names() -> tuple[str, ...]:
    """Return the names of all registered types, in the order they were registered."""
    return tuple(_TYPES)


def find(name: str) -> LayerType | None:
    """Return a registered type; None where no registered type has the name."""
    return _TYPES.get(name)


def is_fixed(layer: Layer) -> bool:
    """Return whether a layer's type is registered and not pointwise."""
    found = _TYPES.get(layer.type)
    return found is not None and not found.pointwise


def output(found: LayerType, layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
    """Return the output shape of a layer of a registered type.

    Raises:
      SpecError: If its attributes or inputs do not fit, or a pointwise one changes its shape.
    """
    if found.pointwise and len(inputs) != 1:
        raise SpecError(
            f"layer '{layer.name}' ({layer.type}) has {len(inputs)} parents; one needed"
        )
    found.view(layer)
    written = tuple(found.output(layer, inputs))
    if found.pointwise and written != inputs[0]:
        raise SpecError(
            f"layer '{layer.name}' ({layer.type}): output {list(written)} differs from its input "
            f"{list(inputs[0])}; a pointwise type keeps it"
        )
    for role, parameter in found.parameters(layer, inputs, written).items():
        if found.pointwise and parameter.shape != written[-1:]:
            raise SpecError(
                f"layer '{layer.name}' ({layer.type}): parameter '{role}' is "
                f"{list(parameter.shape)}; [{written[-1]}] needed of a pointwise type"
            )
    return written


def view(found: LayerType, layer: Layer, inputs: tuple[Shape, ...], written: Shape) -> View:
    """Return what an executable form knows of a layer of a registered type."""
    return View(found.view(layer), tuple(found.parameters(layer, inputs, written).items()))
