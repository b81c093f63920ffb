"""What became of the layers of a network, counted: what recurs from network to network."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from greennas_jax.spec import sequence_variants, variants
from greennas_jax.spec.network import Layer, Network
from greennas_jax.spec.variants import Variant

FATES = (
    "as given",
    "removed",
    "narrower",
    "smaller kernel",
    "separable",
    "grouped",
    "bottleneck",
    "pooled",
)
KINDS = ("convolution", "inner product", "sequence layer")
_KIND_OF = {"Convolution": "convolution", "InnerProduct": "inner product"}


class Fate(NamedTuple):
    """What became of one given layer.

    Attributes:
      layer: Its name.
      kind: One of KINDS.
      fates: Those of FATES that hold for it, at least one.
    """

    layer: str
    kind: str
    fates: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Count:
    """How many layers of a kind there are, and for how many of them each fate holds."""

    layers: int
    fates: dict[str, int]

    def share(self, fate: str) -> float | None:
        """Return the share of the layers that a fate holds for; None where there is no layer."""
        return self.fates[fate] / self.layers if self.layers else None


def fates(given: Network, found: Network) -> list[Fate]:
    """Return what became of every layer of a given network that a space can change.

    Args:
      given: The given network.
      found: A network of the space of edits around it.

    Raises:
      SpecError: If the other one is not.
    """
    known, layers = given.by_name(), found.by_name()
    rows = []
    for layer in given.layers:
        kind = _KIND_OF.get(layer.type)
        kind = "sequence layer" if layer.type in sequence_variants.TYPES else kind
        if kind is None:
            continue
        # Another given layer's name is never an insertion.
        own = {n: one for n, one in layers.items() if n == layer.name or n not in known}
        was = variants.recognise(layer, {layer.name: layer})
        rows.append(Fate(layer.name, kind, _fates(layer, was, variants.recognise(layer, own))))
    return rows


def _fates(layer: Layer, was: Variant, now: Variant) -> frozenset[str]:
    if now.operation == "skip":
        return frozenset({"removed"})
    told = set() if now.operation == "given" else {now.operation}
    # A depthwise layer's width is its input's, and a pooled one's kernel is.
    if now.width < was.width and not variants.is_follower(layer):
        told.add("narrower")
    smaller = any(b < a for a, b in zip(was.kernel, now.kernel, strict=True))
    if smaller and now.operation != "pooled":
        told.add("smaller kernel")
    return frozenset(told or {"as given"})


def count(rows: Iterable[Fate], kind: str) -> Count:
    """Return how often each fate holds for the layers of one kind."""
    own = [row for row in rows if row.kind == kind]
    return Count(len(own), {fate: sum(fate in row.fates for row in own) for fate in FATES})


def total(counts: Sequence[Count]) -> Count:
    """Return the sum of counts."""
    summed = {fate: sum(one.fates[fate] for one in counts) for fate in FATES}
    return Count(sum(one.layers for one in counts), summed)
