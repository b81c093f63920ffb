"""Layers that wait for what their parents left on other devices, as the original Paleo costs it.

Shapes: L layers. Section H of the original's rules.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from greennas_jax.costs import paleo
from greennas_jax.costs.devices import Device
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.spec.network import Layer

# Devices whose links are not shared with others.
GROUP = 4


def times(
    layers: Sequence[Layer],
    split: np.ndarray,
    output_bytes: Mapping[str, float],
    device: Device,
    *,
    bandwidth: float | None = None,
    share: float = 1.0,
) -> np.ndarray:
    """Return how long each layer waits for its parents' outputs [ms], [L].

    What is outside any split counts as another device than split 0; from group to group the
    bandwidth is halved, again and again.

    Args:
      layers: The layers.
      split: The split that each is in, -1 for none, int [L].
      output_bytes: Bytes of each output, by name.
      device: The device.
      bandwidth: Bandwidth between devices [GB/s]; None for that of the device's memory.
      share: Attainable share of it.

    Raises:
      ValueError: If the bandwidth is None and devices of two groups meet: the original stops there.
    """
    floor = 1 / device.paleo_clock_mhz / 1000
    found = np.zeros(len(layers))
    of_layer = {layer.name: int(own) for layer, own in zip(layers, split, strict=True)}
    for row, layer in enumerate(layers):
        current, speed = of_layer[layer.name], bandwidth
        for parent in layer.parents:
            if of_layer[parent] == current:
                continue
            groups = {max(of_layer[parent], 0) // GROUP, max(current, 0) // GROUP}
            if len(layer.parents) > 1 and len(groups) > 1:
                if speed is None:
                    raise ValueError(
                        f"layer '{layer.name}': Paleo stops here, because more than {GROUP} splits "
                        "meet without a network; leave 'compat' out, or use hybrid parallelism"
                    )
                speed = speed / 2
            gigabytes = output_bytes[parent] / paleo.PALEO_GIGABYTE
            used = device.bandwidth_gbs if speed is None else speed
            found[row] += max(floor, gigabytes / used * 1000 / share)
    return found


def added(of_layers: LayerTimes, fetch: np.ndarray) -> LayerTimes:
    """Return times in which each layer fetches in the forward and in the backward pass.

    Args:
      of_layers: Times without fetching.
      fetch: Time of fetching, which counts as memory time [ms], [L].
    """
    return dataclasses.replace(
        of_layers,
        forward_memory=of_layers.forward_memory + fetch,
        backward_data_memory=of_layers.backward_data_memory + fetch,
    )
