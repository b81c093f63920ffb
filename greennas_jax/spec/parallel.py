"""ModelParallel written out: one copy of its layers per split, each with its share of the outputs.

A `ModelParallel` named `block` holds layers that read each other as `x@self` (the same split) or
`x@all` (every split, in order); outside it they are `block/x@0`, `block/x@1`, ... (Qi, Sparks and
Talwalkar, "Paleo: A performance model for deep neural networks", ICLR 2017). A layer's output
channels are shared out among the splits; what it reads is not.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from greennas_jax.spec import limits, shapes
from greennas_jax.spec import network as networks
from greennas_jax.spec.network import PARALLEL_TYPE, Layer, Network, SpecError

MOST_SPLITS = limits.MOST_SPLITS

# Where a layer type's text states its outputs, as (key, index in its list or -1 for a number).
_SHARED_OUT = {
    "Convolution": (("filter", 3),),
    "Deconvolution": (("filter", 2), ("output_shape", 3)),
    "InnerProduct": (("num_outputs", -1),),
}
_SHARED_OUT_BY_PALEO = {"Convolution": _SHARED_OUT["Convolution"]}


class Expanded(NamedTuple):
    """A network without ModelParallel.

    Attributes:
      network: Its layers written out.
      split: The split of every layer that is inside one, by name.
    """

    network: Network
    split: Mapping[str, int]


def expand(
    network: Network, *, splits: int | None = None, compat: shapes.Compat = None
) -> Expanded:
    """Return a network with every ModelParallel written out.

    One split is no split: its layers are named `block/x`, belong to no split, and a Concatenate of
    `x@all` is left out, for it joins nothing.

    Args:
      network: A network whose graph is valid.
      splits: Replaces the number of splits in the text where given.
      compat: "paleo" rounds shares down, shares out convolutions only, and keeps a text's single
        split as a split, as the original does.

    Raises:
      SpecError: If the splits do not divide a layer's outputs or are too many, or a split is read
        that there is not.
    """
    containers = [layer for layer in network.layers if layer.type == PARALLEL_TYPE]
    if not containers:
        return Expanded(network, {})
    counts = {block.name: splits or int(block.attributes["splits"]) for block in containers}
    for name, count in counts.items():
        if count > MOST_SPLITS:
            raise SpecError(
                f"ModelParallel '{name}': {count} splits; at most {MOST_SPLITS} are written out"
            )
    unsplit = {name for name, count in counts.items() if count == 1}
    blocks = _Blocks(
        counts=counts,
        whole=frozenset(unsplit if splits == 1 or compat is None else ()),
        of_layer={
            f"{b.name}/{name}": b.name for b in containers for name in b.attributes["layers"]
        },
    )
    layers: list[Layer] = []
    split: dict[str, int] = {}
    for layer in network.layers:
        if layer.type != PARALLEL_TYPE:
            layers.append(_resolved(layer, None, blocks))
            continue
        for own in range(counts[layer.name]):
            for copy in _copy(layer, counts[layer.name], compat):
                copy = _resolved(copy, own, blocks)
                if layer.name not in blocks.whole:
                    copy = copy.replace(name=f"{copy.name}@{own}")
                    split[copy.name] = own
                layers.append(copy)
    expanded = _without_lonely_joints(network.replace(layers=tuple(layers)), blocks)
    networks.check_graph(expanded)
    return Expanded(expanded, split)


class _Blocks(NamedTuple):
    """The ModelParallel blocks of a network.

    Attributes:
      counts: Splits of each block, by name.
      whole: Blocks that are not split.
      of_layer: The block of each layer `block/x`.
    """

    counts: Mapping[str, int]
    whole: frozenset[str]
    of_layer: Mapping[str, str]


def _resolved(layer: Layer, own: int | None, blocks: _Blocks) -> Layer:
    """Return a layer, of split `own` if any, with its parents `x@...` replaced by layers."""
    parents: list[str] = []
    for parent in layer.parents:
        base, _, which = parent.rpartition("@")
        if base not in blocks.of_layer:
            parents.append(parent)
            continue
        block = blocks.of_layer[base]
        count = blocks.counts[block]
        if which == "all":
            chosen = list(range(count))
        elif which == "self" and own is not None:
            chosen = [own]
        elif which.isdecimal() and int(which) < count:
            chosen = [int(which)]
        else:
            raise SpecError(
                f"layer '{layer.name}': parent '{parent}' is not a split of '{base}'; allowed "
                f"after '@': all, or 0 to {count - 1}"
            )
        parents += [base] if block in blocks.whole else [f"{base}@{i}" for i in chosen]
    return layer if tuple(parents) == layer.parents else layer.replace(parents=tuple(parents))


def _copy(block: Layer, count: int, compat: shapes.Compat) -> list[Layer]:
    """Return one split's layers, named `block/x`, their parents spelled as they are outside."""
    found = []
    for name, entry in block.attributes["layers"].items():
        told = entry.get("parents", ())
        parents = tuple(f"{block.name}/{p}" if "@" in p else f"{block.name}/{p}@self" for p in told)
        attributes = {key: v for key, v in entry.items() if key not in ("type", "parents")}
        layer = Layer(
            name=f"{block.name}/{name}",
            type=entry["type"],
            parents=parents or block.parents,
            attributes=attributes,
        )
        found.append(_share(layer, block.name, count, compat))
    return found


def _share(layer: Layer, block: str, count: int, compat: shapes.Compat) -> Layer:
    """Return a layer with one split's share of its outputs."""
    kinds = _SHARED_OUT_BY_PALEO if compat == "paleo" else _SHARED_OUT
    changes: dict[str, Any] = {}
    for key, index in kinds.get(layer.type, ()):
        value: Any = layer.attributes.get(key)
        listed = isinstance(value, (list, tuple)) and 0 <= index < len(value)
        size = value[index] if listed else value
        if listed != (index >= 0) or not isinstance(size, int):
            continue  # Malformed: shape inference says so, in its own words.
        if size % count and compat is None:
            raise SpecError(
                f"ModelParallel '{block}': {count} splits do not divide the {size} outputs of "
                f"layer '{layer.name}'; allowed: a divisor of {size}"
            )
        share = size // count
        changes[key] = [*value[:index], share, *value[index + 1 :]] if listed else share
    return layer.with_attributes(**changes)


def _without_lonely_joints(network: Network, blocks: _Blocks) -> Network:
    """Return the network without the Concatenates that one split leaves with one parent."""
    lonely = [
        layer.name
        for layer in network.layers
        if layer.type == "Concatenate"
        and len(layer.parents) == 1
        and blocks.of_layer.get(layer.parents[0]) in blocks.whole
    ]
    return networks.without(network, lonely)
