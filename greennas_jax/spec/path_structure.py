"""Descriptors of the paths through a network's live graph, for predictors of accuracy.

What a path goes through decides more than what a network is made of: how many weighted layers, how
many that look at neighbouring pixels, how many that pool, on the longest, the shortest and the mean
path. Dead ends are no part of any path; a join is a layer with several inputs.
"""

import math
from collections.abc import Callable

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import structure
from greennas_jax.spec.network import SOURCE_TYPE, Layer, Network

POOLS = ("Pooling", "AvgPool")
MEASURES = ("weighted", "spatial", "pooled")
NAMES = (
    "spatial",
    "pointwise",
    "pooled",
    "shortcuts",
    "log2_paths",
    *(f"{measure}_{which}" for measure in MEASURES for which in ("longest", "mean", "shortest")),
    "shortest",
    "fewest_joins",
)


def is_spatial(layer: Layer) -> bool:
    """Return whether a layer multiplies by weights and looks at more than one position."""
    if layer.type in ("Convolution", "Deconvolution"):
        return math.prod(layer_views.integers(layer, "filter", 4, least=-1)[:2]) > 1
    return layer.type == "MultiHeadAttention"


def is_pool(layer: Layer) -> bool:
    """Return whether a layer pools."""
    return layer.type in POOLS


def _acts(layer: Layer) -> bool:
    return structure.is_weighted(layer) or is_pool(layer)


def _joins(layer: Layer) -> bool:
    return len(layer.parents) > 1


def descriptors(network: Network) -> dict[str, float]:
    """Return exact descriptors of the live graph under NAMES.

    `spatial`, `pointwise` and `pooled` count live layers; `shortcuts` counts inputs of joins that
    come straight from another join or the network's input; `log2_paths` is that of the number of
    paths; `M_longest`, `M_mean` and `M_shortest` are depths over paths that count layers of kind M
    alone; `shortest` counts weighted and pooling layers, `fewest_joins` joins.

    Raises:
      SpecError: If the network's graph is not valid.
    """
    live = structure.live_layers(network)
    layers = {layer.name: layer for layer in live}
    counted: dict[str, Callable[[Layer], bool]] = {
        "weighted": structure.is_weighted,
        "spatial": is_spatial,
        "pooled": is_pool,
    }
    shortcuts = sum(
        layers[parent].type == SOURCE_TYPE or _joins(layers[parent])
        for layer in live
        if _joins(layer)
        for parent in layer.parents
    )
    found = {measure: structure.paths_through(live, rule) for measure, rule in counted.items()}
    spatial = sum(map(is_spatial, live))
    values = [
        spatial,
        sum(map(structure.is_weighted, live)) - spatial,
        sum(map(is_pool, live)),
        shortcuts,
        math.log2(max(found["weighted"].count, 1)),
    ]
    for paths in found.values():
        values += [paths.longest, paths.total_depth / max(paths.count, 1), paths.shortest]
    values += [
        structure.paths_through(live, _acts).shortest,
        structure.paths_through(live, _joins).shortest,
    ]
    return dict(zip(NAMES, map(float, values), strict=True))
