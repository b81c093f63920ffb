"""Descriptors of the paths through a network's live graph, for predictors of accuracy.

What a path goes through decides more than what a network is made of: how many weighted layers, how
many that look at neighbouring pixels, how many that pool, on the longest, the shortest and the mean
path. Layers that look at neighbouring pixels, with weights or without, make the receptive field.
Dead ends are no part of any path.
"""

import collections
import math
from collections.abc import Callable, Sequence

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import structure
from greennas_jax.spec.network import Layer, Network

POOLS = ("Pooling", "AvgPool")
MEASURES = ("weighted", "spatial", "pooled", "neighbouring")
NAMES = (
    "spatial",
    "pointwise",
    "pooled",
    "shortcuts",
    "log2_paths",
    *(f"{measure}_{which}" for measure in MEASURES for which in ("longest", "mean", "shortest")),
    "shortest",
    "identity",
)


def is_spatial(layer: Layer) -> bool:
    """Return whether a layer multiplies by weights and looks at more than one position."""
    if layer.type in ("Convolution", "Deconvolution"):
        return math.prod(layer_views.integers(layer, "filter", 4, least=-1)[:2]) > 1
    return layer.type == "MultiHeadAttention"


def is_pool(layer: Layer) -> bool:
    """Return whether a layer pools."""
    return layer.type in POOLS


def is_neighbouring(layer: Layer) -> bool:
    """Return whether a layer looks at more than one position, with weights or without."""
    return is_spatial(layer) or is_pool(layer)


def acts(layer: Layer) -> bool:
    """Return whether a layer weights or pools."""
    return structure.is_weighted(layer) or is_pool(layer)


def shortcuts(live: Sequence[Layer]) -> int:
    """Return how many addends of sums are no branch's own result but pass something on as it is.

    Such an addend is an input, a sum itself, or read by other layers too.

    Args:
      live: Live layers in topological order.
    """
    layers = {layer.name: layer for layer in live}
    readers = collections.Counter(parent for layer in live for parent in layer.parents)
    addends = [p for layer in live if len(layer.parents) > 1 for p in layer.parents]
    return sum(readers[name] > 1 or len(layers[name].parents) != 1 for name in addends)


def directness(live: Sequence[Layer]) -> float:
    """Return 1 over the fewest sums on a path that neither weights nor pools; 0 without one.

    Args:
      live: Live layers in topological order.
    """
    sums: dict[str, float] = {}
    for layer in live:
        reached = min((sums[parent] for parent in layer.parents), default=0.0)
        sums[layer.name] = math.inf if acts(layer) else reached + (len(layer.parents) > 1)
    read = {parent for layer in live for parent in layer.parents}
    fewest = min((sums[layer.name] for layer in live if layer.name not in read), default=math.inf)
    return 1 / max(fewest, 1)


RULES: dict[str, Callable[[Layer], bool]] = {
    "weighted": structure.is_weighted,
    "spatial": is_spatial,
    "pooled": is_pool,
    "neighbouring": is_neighbouring,
}


def descriptors(network: Network) -> dict[str, float]:
    """Return exact descriptors of the live graph under NAMES.

    `spatial`, `pointwise` and `pooled` count live layers; `shortcuts` counts what sums add up as it
    is; `log2_paths` is that of the number of paths; `M_longest`, `M_mean` and `M_shortest` are
    depths over paths that count layers of kind M alone; `shortest` is the least depth in layers
    that weight or pool; `identity` tells how directly the output sees the input.

    Raises:
      SpecError: If the network's graph is not valid.
    """
    live = structure.live_layers(network)
    found = {measure: structure.paths_through(live, rule) for measure, rule in RULES.items()}
    count = max(found["weighted"].count, 1)
    spatial = sum(map(is_spatial, live))
    values = [
        spatial,
        sum(map(structure.is_weighted, live)) - spatial,
        sum(map(is_pool, live)),
        shortcuts(live),
        math.log2(count),
    ]
    for paths in found.values():
        values += [paths.longest, paths.total_depth / count, paths.shortest]
    values.append(structure.paths_through(live, acts).shortest)
    values.append(directness(live))
    return dict(zip(NAMES, map(float, values), strict=True))
