"""What became of each given layer, with its energy and parameters before and after."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from greennas_jax.report import sequence_words
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import sequence_layers, variants
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network
from greennas_jax.spec.shapes import Shapes

Change = Literal[
    "kept",
    "kept (narrower input)",
    "kept (other input)",
    "narrowed",
    "fewer heads",
    "smaller kernel",
    "replaced",
    "removed",
    "added",
]
ABSENT = "-"
_WORDS = {
    "Input": "input",
    "Deconvolution": "deconv",
    "Concatenate": "concatenate",
    "Elementwise": "elementwise",
    "UpSampling2D": "upsampling",
    "BatchNorm": "batch norm",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerChange:
    """One given layer before and after, or one layer that belongs to none of the given ones.

    Attributes:
      layer: The given layer's name.
      type: Its type.
      change: What became of it; the gravest change where there are several.
      before: What it was, for example "conv 5x5 6->16"; "-" for an added layer.
      after: What realises it now; "-" for a removed layer.
      energy_before_j: Energy [J] of one pass over a batch, None where unknown.
      energy_after_j: Energy [J] of all layers that realise it now, None where unknown.
      saved_j: Their difference [J]; negative where it costs more now.
      parameters_before: Weights and biases.
      parameters_after: Weights and biases of all layers that realise it now.
    """

    layer: str
    type: str
    change: Change
    before: str
    after: str
    energy_before_j: float | None
    energy_after_j: float | None
    saved_j: float | None
    parameters_before: int
    parameters_after: int


class _Share(NamedTuple):
    energy_j: float | None
    parameters: int


class _Side(NamedTuple):
    """A network's layers by name, their shapes, and what each given layer has of its profile."""

    layers: Mapping[str, Layer]
    shapes: Mapping[str, Shapes]
    shares: Mapping[str, _Share]


def compare(
    given: Network, found: Network, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[LayerChange]:
    """Return what became of every given layer, in the given network's order.

    The layers `NAME/depthwise`, `NAME/reduce`, `NAME/spatial` and `NAME/pool` of the found network
    count to `NAME`; a layer that belongs to no given one is listed at the end as "added". So the
    energies and the parameters add up to those of the two profiles.

    Args:
      given: The given network.
      found: The network found for it.
      before: Profile of the given network (`greennas.profile/1`).
      after: Profile of the found network on the same device, batch size and mode.

    Raises:
      ValueError: If the profiles are not comparable or name other layers than the networks.
      SpecError: If the shapes of a network do not fit.
    """
    for key in ("device", "batch_size", "mode", "settings"):
        if before.get(key) != after.get(key):
            raise ValueError(
                f"profiles differ in '{key}': {before.get(key)!r} before, {after.get(key)!r} "
                "after; only like profiles can be compared"
            )
    owner = owners(given, found)
    own = {layer.name: layer.name for layer in given.layers}
    old = _Side(given.by_name(), shape_rules.infer(given), _shares(given, before, own))
    new = _Side(found.by_name(), shape_rules.infer(found), _shares(found, after, owner))
    names = dict.fromkeys((*own, *owner.values()))
    return [_row(name, old, new) for name in names]


def owners(given: Network, found: Network) -> dict[str, str]:
    """Return for each layer of the found network the given layer it belongs to, or itself."""
    names = given.by_name()
    owner = {}
    for layer in found.layers:
        base, _, suffix = layer.name.rpartition("/")
        inserted = layer.name not in names and base in names and suffix in variants.SUFFIXES
        owner[layer.name] = base if inserted else layer.name
    return owner


def _shares(
    network: Network, profile: Mapping[str, Any], owners: Mapping[str, str]
) -> dict[str, _Share]:
    """Return energy and parameters by owner."""
    rows = {row["name"]: row for row in profile["layers"]}
    strange = sorted(rows.keys() ^ owners.keys())
    if strange:
        where = "the profile" if strange[0] in owners else "the network"
        raise ValueError(
            f"network '{network.name}' and its profile: layer '{strange[0]}' is missing in {where}"
        )
    shares: dict[str, _Share] = {}
    for name, owner in owners.items():
        sofar = shares.get(owner, _Share(0.0, 0))
        energy: float | None = rows[name]["energy_j"]
        if energy is not None and sofar.energy_j is not None:
            energy += sofar.energy_j
        else:
            energy = None
        shares[owner] = _Share(energy, sofar.parameters + rows[name]["parameters"])
    return shares


def _row(name: str, old: _Side, new: _Side) -> LayerChange:
    none = _Share(0.0, 0)
    was, now = old.shares.get(name, none), new.shares.get(name, none)
    saved = None
    if was.energy_j is not None and now.energy_j is not None:
        saved = was.energy_j - now.energy_j
    layer = old.layers.get(name)
    found = new.layers.get(name)
    if layer is None:
        added = new.layers[name]
        change, before, after = "added", ABSENT, describe(added, new.shapes[name])
        kind = added.type
    else:
        kind, before = layer.type, describe(layer, old.shapes[name])
        change = _change(layer, old, new)
        after = ABSENT if found is None else _describe_found(layer, found, old, new)
    return LayerChange(
        layer=name,
        type=kind,
        change=change,
        before=before,
        after=after,
        energy_before_j=was.energy_j,
        energy_after_j=now.energy_j,
        saved_j=saved,
        parameters_before=was.parameters,
        parameters_after=now.parameters,
    )


def _variant(layer: Layer, old: _Side, new: _Side) -> variants.Variant:
    """Return how a given layer is realised; another given layer's name is never an insertion."""
    others = {n: one for n, one in new.layers.items() if n == layer.name or n not in old.layers}
    return variants.recognise(layer, others)


def _change(layer: Layer, old: _Side, new: _Side) -> Change:
    found = new.layers.get(layer.name)
    if found is None:
        return "removed"
    if found.type != layer.type:
        return "replaced"
    if layer.type in ("Convolution", "InnerProduct"):
        if _variant(layer, old, new).operation != "given":
            return "replaced"
        weighted = _convolution_change if layer.type == "Convolution" else _inner_product_change
        change = weighted(layer, found, old.shapes[layer.name], new.shapes[layer.name])
        if change is not None:
            return change
    shapes = old.shapes[layer.name], new.shapes[layer.name]
    if layer.type in sequence_words.INNER:
        change = sequence_words.change(layer, found, *shapes)
        if change is not None:
            return change
    return _input_change(*shapes)


def _convolution_change(layer: Layer, found: Layer, was: Shapes, now: Shapes) -> Change | None:
    """Return the change of a convolution that is still a convolution, or None."""
    given, view = layer_views.convolution(layer), layer_views.convolution(found)
    channels = now.inputs[0][3]
    follows = variants.is_depthwise(layer, was.inputs[0])
    # Groups must divide both widths; a depthwise layer has as many as its input has channels.
    groups = channels if follows else math.gcd(given.groups, channels, view.out_channels)
    rest = given._replace(
        kernel=view.kernel, in_channels=view.in_channels, out_channels=view.out_channels
    )
    if view != rest._replace(groups=groups):
        return "replaced"
    # A kernel that covers its whole input follows the input's size.
    covers = variants.is_dense_like(layer, was.inputs[0]) and view.kernel == now.inputs[0][1:3]
    if not covers and view.kernel != given.kernel:
        smaller = all(b <= a for a, b in zip(given.kernel, view.kernel, strict=True))
        return "smaller kernel" if smaller else "replaced"
    return None if follows else _width_change(given.out_channels, view.out_channels)


def _inner_product_change(layer: Layer, found: Layer, was: Shapes, now: Shapes) -> Change | None:
    """Return the change of an inner product that is still an inner product, or None."""
    del was, now
    given, view = layer_views.inner_product(layer), layer_views.inner_product(found)
    if view != given._replace(out_features=view.out_features):
        return "replaced"
    return _width_change(given.out_features, view.out_features)


def _width_change(before: int, after: int) -> Change | None:
    if after == before:
        return None
    return "narrowed" if after < before else "replaced"


def _input_change(was: Shapes, now: Shapes) -> Change:
    """Return the change of a layer whose own text is as given."""
    if [shape[1:] for shape in was.inputs] == [shape[1:] for shape in now.inputs]:
        return "kept"
    # Channels tell of narrower parents, unless the input was flat and is not, or the reverse.
    ranks = [[len(shape) for shape in side.inputs] for side in (was, now)]
    channels = [sum(shape[-1] for shape in side.inputs) for side in (was, now)]
    if ranks[0] == ranks[1] and channels[0] != channels[1]:
        narrower = channels[1] < channels[0]
    else:
        sizes = [sum(math.prod(shape[1:]) for shape in side.inputs) for side in (was, now)]
        narrower = sizes[1] < sizes[0]
    return "kept (narrower input)" if narrower else "kept (other input)"


def describe(layer: Layer, shapes: Shapes) -> str:
    """Return a layer as a few words: kind, kernel, and channels or features.

    Examples:
      "conv 5x5 6->16", "depthwise 3x3 32->32", "inner product 400->84", "max pool 2x2",
      "attention 12 heads of 64", "feed-forward 768->3072->768".
    """
    if layer.type in sequence_layers.TYPES:
        return sequence_words.describe(layer, shapes)
    if layer.type == "Convolution":
        view = layer_views.convolution(layer)
        channels = shapes.inputs[0][3]
        kind = "conv" if view.groups == 1 else f"conv, {view.groups} groups"
        if variants.is_depthwise(layer, shapes.inputs[0]):
            kind = "depthwise"
        return f"{kind} {_kernel(view.kernel)} {channels}->{view.out_channels}"
    if layer.type == "InnerProduct":
        view = layer_views.inner_product(layer)
        read = shapes.inputs[0][-1:] if view.per_position else shapes.inputs[0][1:]
        return f"inner product {math.prod(read)}->{view.out_features}"
    if layer.type in ("Pooling", "AvgPool"):
        view = layer_views.pool(layer)
        return f"{'average' if view.average else 'max'} pool {_kernel(view.kernel)}"
    return _WORDS.get(layer.type, layer.type if layer.type.isupper() else layer.type.lower())


def _describe_found(layer: Layer, found: Layer, old: _Side, new: _Side) -> str:
    """Return the layers that realise a given layer as a few words."""
    shapes = new.shapes[layer.name]
    plain = describe(found, shapes)
    if found.type != layer.type or layer.type not in ("Convolution", "InnerProduct"):
        return plain
    variant = _variant(layer, old, new)
    if variant.operation == "separable":
        channels = new.shapes[f"{layer.name}/depthwise"].inputs[0][3]
        return f"separable {_kernel(variant.kernel)} {channels}->{variant.width}"
    if variant.operation == "bottleneck":
        channels = new.shapes[f"{layer.name}/reduce"].inputs[0][3]
        through = f"{channels}->{variant.middle}->{variant.width}"
        return f"bottleneck {_kernel(variant.kernel)} {through}"
    return f"pooled {plain}" if variant.operation == "pooled" else plain


def _kernel(kernel: tuple[int, int]) -> str:
    return f"{kernel[0]}x{kernel[1]}"
