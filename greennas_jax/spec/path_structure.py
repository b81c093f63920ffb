"""Descriptors of the paths through a network's live graph, for predictors of accuracy.

What a path goes through decides more than what a network is made of: how many weighted layers, how
many that look at neighbouring pixels, how many that pool, on the longest, the shortest and the mean
path. Layers that look at neighbouring pixels, with weights or without, make the receptive field.
Dead ends are no part of any path.
"""

import collections
import math
from collections.abc import Sequence

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import structure
from greennas_jax.spec.network import Layer, Network

POOLS = ("Pooling", "AvgPool")
NAMES = (
    "spatial",
    "pointwise",
    "pooled",
    "shortcuts",
    "paths",
    "weighted_longest",
    "weighted_mean",
    "weighted_shortest",
    "spatial_longest",
    "spatial_mean",
    "pooled_longest",
    "pooled_mean",
    "field",
    "identity",
    "direct",
)
# Numbers of paths beyond it count by their doublings.
MANY_PATHS = 64


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


def field(live: Sequence[Layer]) -> int:
    """Return the most layers that look at neighbouring pixels on a path that weights; 0 without.

    Such layers make the receptive field of what is learned; pooling beside it does not count.

    Args:
      live: Live layers in topological order.
    """
    most: dict[str, tuple[float, float]] = {}
    for layer in live:
        plain, learned = (
            (max(found) for found in zip(*(most[name] for name in layer.parents), strict=True))
            if layer.parents
            else (0.0, -math.inf)
        )
        if structure.is_weighted(layer):
            plain, learned = -math.inf, max(plain, learned)
        looks = is_neighbouring(layer)
        most[layer.name] = (plain + looks, learned + looks)
    read = {parent for layer in live for parent in layer.parents}
    ends = [most[layer.name][1] for layer in live if layer.name not in read]
    return int(max([0.0, *ends]))


def _paths(count: int) -> float:
    """Return a number of paths, large ones by their doublings."""
    if count <= MANY_PATHS:
        return float(count)
    return MANY_PATHS * (1 + math.log2(count) - math.log2(MANY_PATHS))


def descriptors(network: Network) -> dict[str, float]:
    """Return exact descriptors of the live graph under NAMES.

    `spatial`, `pointwise` and `pooled` count live layers; `shortcuts` counts what sums add up as it
    is; `paths` counts paths, beyond 64 by their doublings; `M_longest`, `M_mean` and `M_shortest`
    are depths over paths that count layers of kind M alone; `field` is that of the function of
    this name; `identity` tells whether a path neither weights nor pools, `direct` whether the
    output's own sum is the only one on such a path.

    Raises:
      SpecError: If the network's graph is not valid.
    """
    live = structure.live_layers(network)
    weighted = structure.paths_through(live, structure.is_weighted)
    across = structure.paths_through(live, is_spatial)
    pooling = structure.paths_through(live, is_pool)
    count = max(weighted.count, 1)
    spatial = sum(map(is_spatial, live))
    near = directness(live)
    values = (
        spatial,
        sum(map(structure.is_weighted, live)) - spatial,
        sum(map(is_pool, live)),
        shortcuts(live),
        _paths(weighted.count),
        weighted.longest,
        weighted.total_depth / count,
        weighted.shortest,
        across.longest,
        across.total_depth / count,
        pooling.longest,
        pooling.total_depth / count,
        field(live),
        near > 0,
        near == 1,
    )
    return dict(zip(NAMES, map(float, values), strict=True))
