"""Canonical strings and structure labels of an edits space, for many strings at once.

Shapes: n strings, T positions, F labels.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from greennas_jax.spaces import edits_graph, edits_values, factors, values
from greennas_jax.spaces.edits_plan import LayerPlan, Plan
from greennas_jax.spaces.edits_values import SpaceValues
from greennas_jax.spaces.factors import Factors
from greennas_jax.spec import variants


class Found(NamedTuple):
    """What some strings make of every weighted layer.

    Attributes:
      there: Whether the layer's blocks are all kept, bool [n], by layer.
      operation: Operation code, [n], by layer.
      kernel: Kernel [n, 2], by layer.
      width: Output channels (or heads, or hidden units) if it is live, [n], by layer.
      kept: Whether a droppable block's own token keeps it, bool [n], by its Elementwise.
    """

    there: Mapping[str, np.ndarray]
    operation: Mapping[str, np.ndarray]
    kernel: Mapping[str, np.ndarray]
    width: Mapping[str, np.ndarray]
    kept: Mapping[str, np.ndarray]

    def live(self, name: str) -> np.ndarray:
        """Return whether a layer is there and not skipped, bool [n]."""
        return self.there[name] & (self.operation[name] != edits_values.SKIP)


def read(plan: Plan, space: SpaceValues, tokens: np.ndarray) -> Found:
    """Return what strings make of every weighted layer.

    Operations that come to the same are named alike: separable with a 1 x 1 kernel and grouped
    with one group are as given.
    """
    numbers = values.evaluate(space.nodes, tokens)

    def value(node: int) -> np.ndarray:
        return values.value(space.nodes, numbers, node)

    there: dict[str, np.ndarray] = {}
    operations: dict[str, np.ndarray] = {}
    kernels: dict[str, np.ndarray] = {}
    widths: dict[str, np.ndarray] = {}
    for name, layer in plan.layers.items():
        choice = space.realised[name]
        source = space.outputs[plan.graph.layers[name].parents[0]]
        operation, kernel = value(choice.operation)[:, 0], value(choice.kernel)
        width, channels = value(choice.width)[:, 0], value(source.channels)[:, 0]
        degenerate = (operation == edits_values.SEPARABLE) & (kernel == 1).all(axis=1)
        groups = np.gcd(np.gcd(channels, width), plan.config.groups)
        degenerate |= (operation == edits_values.GROUPED) & (groups == 1)
        operations[name] = np.where(degenerate, edits_values.GIVEN, operation)
        kernels[name], widths[name] = kernel, width
        there[name] = (tokens[:, list(layer.keeps)] == 0).all(axis=1)
    kept = {join: tokens[:, position] == 0 for join, position in plan.drops.items()}
    return Found(there, operations, kernels, widths, kept)


def canonical(plan: Plan, space: SpaceValues, tokens: np.ndarray) -> np.ndarray:
    """Return the strings with choice 0 wherever nothing depends on the position, int32 [n, T]."""
    found = read(plan, space, tokens)
    strings = np.zeros_like(tokens)
    for join, position in plan.drops.items():
        outer = list(plan.keeps.get(join, ()))
        kept = (tokens[:, outer] == 0).all(axis=1)
        strings[:, position] = np.where(kept, tokens[:, position], 0)
    for name, layer in plan.layers.items():
        there, live = found.there[name], found.live(name)
        if layer.operation >= 0:
            token = tokens[:, layer.operation]
            same = _codes(layer)[token] == found.operation[name]
            strings[:, layer.operation] = np.where(there & same, token, 0)
        if layer.kernel >= 0:
            strings[:, layer.kernel] = np.where(live, tokens[:, layer.kernel], 0)
        if layer.width >= 0:
            strings[live, layer.width] = tokens[live, layer.width]
    return strings


def _codes(layer: LayerPlan) -> np.ndarray:
    return np.array([variants.OPERATIONS.index(name) for name in layer.operations])


def _layer_labels(plan: Plan, found: Found) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the labels of single layers that can change."""
    for name, layer in plan.layers.items():
        live = found.live(name)
        codes = _codes(layer)
        if layer.keeps or edits_values.SKIP in codes:
            yield f"{name}.live", live
        if layer.width >= 0 or layer.follows:
            yield (
                f"{name}.log2_{layer.inner or 'width'}",
                np.log2(np.where(live, found.width[name], 1)),
            )
        if layer.kernel >= 0 or layer.fits_input:
            area = found.kernel[name].prod(axis=1)
            yield f"{name}.log2_kernel_area", np.log2(np.where(live, area, 1))
        if len(codes) > 1:
            for code in codes:
                same = found.there[name] & (found.operation[name] == code)
                yield f"{name}.{variants.OPERATIONS[code]}", same


def _path_labels(plan: Plan, found: Found) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the number of paths and their depths in weighted layers, by dynamic programming."""
    count: dict[str, np.ndarray] = {}
    total: dict[str, np.ndarray] = {}
    least: dict[str, np.ndarray] = {}
    most: dict[str, np.ndarray] = {}
    some = next(iter(found.there.values()))
    for layer in plan.graph.order:
        name, parents = layer.name, layer.parents
        weight = np.zeros(len(some))
        if name in plan.layers:
            weight = found.live(name).astype(np.float64)
        elif layer.type == "Deconvolution":
            weight = np.ones(len(some))
        if not parents:
            count[name], total[name] = np.ones(len(some)), weight
            least[name], most[name] = weight, weight
            continue
        count[name] = np.sum([count[p] for p in parents], axis=0)
        total[name] = np.sum([total[p] for p in parents], axis=0) + weight * count[name]
        least[name] = np.min([least[p] for p in parents], axis=0) + weight
        most[name] = np.max([most[p] for p in parents], axis=0) + weight
        if name in plan.drops:
            source = plan.shortcuts[name].source
            for table in (count, total, least, most):
                table[name] = np.where(found.kept[name], table[name], table[source])
    ends = [layer.name for layer in edits_graph.output_layers(plan.graph)]
    paths = np.sum([count[end] for end in ends], axis=0)
    yield "depth.longest", np.max([most[end] for end in ends], axis=0)
    if any(len(layer.parents) > 1 for layer in plan.graph.order):
        yield "depth.shortest", np.min([least[end] for end in ends], axis=0)
        yield "depth.mean", np.sum([total[end] for end in ends], axis=0) / paths
        yield "log2_paths", np.log2(paths)


def _total_labels(plan: Plan, found: Found) -> Iterator[tuple[str, np.ndarray]]:
    """Yield sums over layers: live ones, operations, and live 3 x 3 kernels and larger ones."""
    mutable = [name for name, layer in plan.layers.items() if layer.mutable or layer.keeps]
    if not mutable:
        return
    offered = {name for layer in plan.layers.values() for name in layer.operations}
    for code, operation in enumerate(variants.OPERATIONS):
        if operation in offered:
            same = [found.there[name] & (found.operation[name] == code) for name in mutable]
            yield f"count.{operation}", np.sum(same, axis=0)
    convolutions = [n for n in mutable if plan.graph.layers[n].type == "Convolution"]
    for size, name in ((1, "1x1"), (3, "3x3")):
        same = [found.live(n) & (found.kernel[n].max(axis=1) == size) for n in convolutions]
        if same:
            yield f"count.kernel_{name}", np.sum(same, axis=0)


def labels(
    plan: Plan, space: SpaceValues, counts: Factors, tokens: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names and values of exact structure labels of canonical strings.

    Args:
      plan: The plan.
      space: Its nodes.
      counts: Factors of the terms `flops` and `parameters`.
      tokens: Canonical strings, int32 [n, T].

    Returns:
      Names [F], and labels float64 [n, F].
    """
    found = read(plan, space, tokens)
    columns: dict[str, np.ndarray] = {}
    if found.there:
        columns.update(_layer_labels(plan, found))
        columns.update(_total_labels(plan, found))
        columns.update(_path_labels(plan, found))
    flops, parameters = factors.exact(counts, tokens.T)
    columns["log2_flops"] = np.log2(np.maximum(flops, 1.0))
    columns["log2_parameters"] = np.log2(np.maximum(parameters, 1.0))
    return tuple(columns), np.stack(list(columns.values()), axis=1).astype(np.float64)
