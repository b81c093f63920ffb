"""Peak memory of running a network, layer after layer in topological order."""

from collections.abc import Sequence

import numpy as np

from greennas_jax.costs import counts, layer_table
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import network as networks
from greennas_jax.spec.network import Layer, Network


def largest_live_set(
    layers: Sequence[Layer],
    sizes: np.ndarray,
    views: np.ndarray,
    inside: np.ndarray | None = None,
) -> float:
    """Return the most bytes of activations that are alive at once.

    An output lives from the layer that writes it to the last one that reads it, both included;
    one that nothing reads lives to the end. A view keeps its source alive and adds nothing.

    Args:
      layers: Layers in topological order.
      sizes: Bytes of each output [L].
      views: Whether each output is its only input's memory, bool [L].
      inside: Bytes that are alive within a layer while it runs [L].
    """
    within = np.zeros(len(layers)) if inside is None else inside
    root: dict[str, str] = {}
    size: dict[str, float] = {}
    last: dict[str, int] = {}
    for index, layer in enumerate(layers):
        is_view = bool(views[index]) and len(layer.parents) == 1
        root[layer.name] = root[layer.parents[0]] if is_view else layer.name
        for parent in layer.parents:
            last[root[parent]] = index
        if not is_view:
            size[layer.name] = float(sizes[index])
    read = {parent for layer in layers for parent in layer.parents}
    for layer in layers:
        if layer.name not in read:
            last[root[layer.name]] = len(layers)
    dying: dict[int, list[str]] = {}
    for name, index in last.items():
        dying.setdefault(index, []).append(name)
    live = peak = 0.0
    for index, layer in enumerate(layers):
        live += size.get(layer.name, 0.0)
        peak = max(peak, live + float(within[index]))
        live -= sum(size[name] for name in dying.get(index, ()))
    return peak


def peak_bytes(
    layers: Sequence[Layer],
    table: LayerTable,
    settings: CostSettings,
    held: LayerTable | None = None,
) -> float:
    """Return the peak memory of inference or of a training step [bytes].

    Inference: weights and the largest set of activations alive at once, those within a layer
    included; prefilling and decoding, the cache of all layers as well. Training: weights, their
    gradients and momenta, and every activation, for the backward pass reads them.

    Args:
      layers: Layers in topological order, the rows of the table.
      table: Their table, with numpy arrays [L].
      settings: `mode` and `compat` matter.
      held: The table of all layers, where some of them do not run and hold their weights only.
    """
    weights = float(counts.weight_bytes(table if held is None else held, settings).sum())
    sizes = counts.activation_bytes(table, settings)
    if settings.trains:
        return weights + float(sizes.sum())
    inside, cache = counts.working_bytes(table, settings), counts.cache_bytes(table, settings)
    live = largest_live_set(layers, sizes, counts.views(table, settings), inside)
    return weights + live + float(cache.sum())


def of_network(network: Network, settings: CostSettings, batch_size: int | None = None) -> float:
    """Return the peak memory of a network that runs whole [bytes], as its profile tells it.

    Args:
      network: A network without ModelParallel.
      settings: What is costed, inference or a training step.
      batch_size: Replaces the batch size of every input where given.

    Raises:
      SpecError: If the network's shapes disagree.
    """
    compat = "paleo" if settings.compat == "paleo" else None
    table = layer_table.from_network(network, batch_size=batch_size, compat=compat)
    return peak_bytes(networks.topological_order(network), table, settings)
