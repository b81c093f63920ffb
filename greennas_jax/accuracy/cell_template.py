"""Networks that differ in the operation of some edges, as children of one masked template.

An edge is a convolution of the given network, with its rectifier in front. In the template it is a
sum of three branches: rectifier and convolution (whose kernel may be smaller), average pooling, and
identity. A child lives in one branch of each edge or in none; what is dead is zero, as everywhere
in the template (the supernet of one-shot search: Bender et al. 2018).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.accuracy import masks
from greennas_jax.accuracy import template as templates
from greennas_jax.spec.network import Layer, Network

# Of an edge: kernel of its convolution, or which other branch lives; None kills all.
Choice = int | str | None
BRANCHES = ("convolution", "pool", "identity")
KERNELS = (3, 1)
# Reductions keep their sizes, and no convolution becomes a bottleneck.
FREEDOM = templates.Freedom(resizing=False, middle=0.0)


class CellTemplate(NamedTuple):
    """The supernet of some edges.

    Attributes:
      network: The given network with every edge as a sum of its branches.
      edges: Names of the edges.
      template: Its template.
    """

    network: Network
    edges: tuple[str, ...]
    template: templates.Template


def make(given: Network, edges: Sequence[str]) -> CellTemplate:
    """Return the supernet of a network.

    Args:
      given: Every edge a 3x3 convolution of stride 1 behind a rectifier called EDGE/relu.
      edges: Names of the convolutions.
    """
    layers: list[Layer] = []
    sources = given.by_name()
    for layer in given.layers:
        if layer.name not in edges:
            layers.append(layer)
            continue
        source = sources[layer.parents[0]].parents
        convolution, pool, identity = (f"{layer.name}/{branch}" for branch in BRANCHES)
        window = {"ksize": [1, 3, 3, 1], "strides": [1, 1, 1, 1], "padding": "SAME"}
        layers += [
            # Of stride 1, SAME is what a padding of half a kernel is, at every kernel size.
            layer.replace(name=convolution).with_attributes(padding="SAME"),
            Layer(name=pool, type="AvgPool", parents=source, attributes=window),
            Layer(name=identity, type="Activation", parents=source, attributes={}),
            Layer(
                name=layer.name,
                type="Elementwise",
                parents=(convolution, pool, identity),
                attributes={},
            ),
        ]
    network = given.replace(layers=tuple(layers), name=f"edges of {given.name}")
    return CellTemplate(network, tuple(edges), templates.make(network, FREEDOM))


def describe(cells: CellTemplate, choices: Mapping[str, Choice]) -> masks.Child:
    """Return the arrays of one child.

    Args:
      cells: The supernet.
      choices: For each edge 3 or 1 (its convolution's kernel), "pool", "identity", or None.

    Raises:
      ValueError: If an edge has no choice, or one that is not known.
    """
    for edge in cells.edges:
        if choices.get(edge, "") not in (*KERNELS, *BRANCHES[1:], None):
            raise ValueError(
                f"edge '{edge}' is {choices.get(edge, 'not named')!r}; allowed: 3, 1, 'pool', "
                "'identity', None"
            )
    kernels: dict[str, int] = {}
    for edge in cells.edges:
        choice = choices[edge]
        # The smallest kernel costs the least where nothing of it is used.
        kernels[f"{edge}/convolution"] = choice if isinstance(choice, int) else KERNELS[-1]
    layers = [
        layer.with_attributes(filter=[*[kernels[layer.name]] * 2, *layer.attributes["filter"][2:]])
        if layer.name in kernels
        else layer
        for layer in cells.network.layers
    ]
    found = masks.describe(
        cells.network, cells.template, cells.network.replace(layers=tuple(layers))
    )
    for edge in cells.edges:
        lives = "convolution" if isinstance(choices[edge], int) else choices[edge]
        for branch in BRANCHES:
            if branch != lives:
                _kill(found, f"{edge}/{branch}")
        if lives != "convolution":
            _kill(found, f"{edge}/relu")
        if lives is None:
            _kill(found, edge)
    return found


def _kill(child: dict[str, Any], name: str) -> None:
    child[name] = {**child[name], "channels": np.zeros_like(child[name]["channels"])}
