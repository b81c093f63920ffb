"""A network while it is read from another format: layers with their shapes, and remarks.

Other formats write images NCHW; the specification writes them NHWC. Tensors of other ranks keep
their order.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from greennas_jax.importers import folding
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import network as networks
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import SOURCE_TYPE, Layer, Network, SpecError
from greennas_jax.spec.shapes import Shape

INPUT_NAME = "data"  # The only name that the original Paleo takes for an input.
# Types that mean something to the specification: no layer of another format gets one by chance.
RESERVED_TYPES = (*layer_views.KNOWN_TYPES, networks.PARALLEL_TYPE, paleo_json.BLOCK_TYPE)
_LONGEST_NAME = 200


class Asked(NamedTuple):
    """What the user states about the input.

    Attributes:
      batch_size: Replaces the batch size of the file.
      image: Height, width and channels, where the file does not state them.
    """

    batch_size: int | None = None
    image: tuple[int, int, int] | None = None


NOTHING_ASKED = Asked()


class Imported(NamedTuple):
    """A network and what its reader should know: assumptions, and what was left out."""

    network: Network
    notes: tuple[str, ...]


@dataclasses.dataclass
class Draft:
    """Layers so far, their NHWC output shapes, and remarks."""

    layers: dict[str, Layer] = dataclasses.field(default_factory=dict)
    shapes: dict[str, Shape] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    suffixes: dict[str, int] = dataclasses.field(default_factory=dict)


def nhwc(shape: Sequence[int]) -> Shape:
    """Return an NCHW shape as NHWC; other ranks as they are."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else tuple(shape)


def nchw(shape: Sequence[int]) -> Shape:
    """Return an NHWC shape as NCHW; other ranks as they are."""
    return (shape[0], shape[3], *shape[1:3]) if len(shape) == 4 else tuple(shape)


def nhwc_axis(axis: int, rank: int) -> int:
    """Return where an NCHW axis stands in NHWC; axes count from the end where negative.

    Raises:
      SpecError: If there is no such axis.
    """
    if not -rank <= axis < rank:
        raise SpecError(f"axis {axis} of a tensor of rank {rank}")
    axis %= rank
    return (0, 3, 1, 2)[axis] if rank == 4 else axis


def free_name(draft: Draft, wanted: str) -> str:
    """Return a name that no layer has yet, printable and not too long."""
    plain = "".join(c if c.isprintable() else "_" for c in wanted[:_LONGEST_NAME]) or "layer"
    name = plain
    while name in draft.layers:
        draft.suffixes[plain] = draft.suffixes.get(plain, 1) + 1
        name = f"{plain}_{draft.suffixes[plain]}"
    return name


def add(
    draft: Draft,
    name: str,
    kind: str,
    parents: Sequence[str],
    attributes: Mapping[str, Any] | None = None,
) -> str:
    """Add a layer and return its name.

    Raises:
      SpecError: If the layer does not fit its parents' shapes, or there are too many layers.
    """
    if len(draft.layers) >= paleo_json.MOST_LAYERS:
        raise SpecError(f"more than {paleo_json.MOST_LAYERS} layers, the most that are read")
    layer = Layer(
        name=free_name(draft, name), type=kind, parents=tuple(parents), attributes=attributes or {}
    )
    inputs = tuple(draft.shapes[parent] for parent in layer.parents)
    draft.shapes[layer.name] = shapes.layer_output(layer, inputs)
    draft.layers[layer.name] = layer
    return layer.name


def add_input(draft: Draft, name: str, shape: Shape, asked: Asked) -> str:
    """Add an input of an NHWC shape and return its name.

    Raises:
      SpecError: If its size is not the one that the user states, or makes no tensor.
    """
    if asked.image is not None and len(shape) == 4 and shape[1:] != asked.image:
        raise SpecError(
            f"the file's input '{name}' has height, width, channels {list(shape[1:])}; "
            f"--input_shape says {list(asked.image)}"
        )
    return add(draft, name, SOURCE_TYPE, (), {"tensor": list(shape)})


def finish(
    draft: Draft,
    name: str,
    source: str,
    *,
    outputs: Collection[str] | None = None,
    batch_size: int | None = None,
) -> Imported:
    """Return the network: folded, without what no output needs, checked.

    Args:
      draft: All layers.
      name: The network's name.
      source: Where it came from, kept in its text.
      outputs: Layers that the network is for; by default those that nothing reads.
      batch_size: Replaces the batch size of every input where given.

    Raises:
      SpecError: If nothing is computed, or the graph or its shapes are not valid.
    """
    layers = _needed(draft.layers, outputs)
    if all(layer.type == SOURCE_TYPE for layer in layers):
        raise SpecError("no layer computes anything; a network is needed")
    plain = "".join(c if c.isprintable() else "_" for c in name[:_LONGEST_NAME]) or "network"
    network = Network(name=plain, layers=layers, attributes={"source": source})
    networks.check_graph(network)
    network = folding.fold(network, keep=outputs or ())
    network = _with_usual_input(network)
    if batch_size is not None:
        given = shapes.given_batches(network.layers)
        network = network.replace(
            layers=tuple(shapes.with_batch(layer, given, batch_size) for layer in network.layers)
        )
    shapes.infer(network)
    return Imported(network, tuple(draft.notes))


def _needed(layers: Mapping[str, Layer], outputs: Collection[str] | None) -> tuple[Layer, ...]:
    """Return the layers that the outputs need, in order."""
    if outputs is None:
        return tuple(layers.values())
    needed = set(outputs)
    for layer in reversed(list(layers.values())):
        if layer.name in needed:
            needed.update(layer.parents)
    return tuple(layer for layer in layers.values() if layer.name in needed)


def _with_usual_input(network: Network) -> Network:
    """Return the network with its only input named as Paleo names it."""
    sources = [layer.name for layer in network.layers if layer.type == SOURCE_TYPE]
    if len(sources) != 1 or INPUT_NAME in network.by_name():
        return network
    named = {sources[0]: INPUT_NAME}
    return network.replace(
        layers=tuple(
            layer.replace(
                name=named.get(layer.name, layer.name),
                parents=tuple(named.get(parent, parent) for parent in layer.parents),
            )
            for layer in network.layers
        )
    )
