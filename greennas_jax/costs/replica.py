"""What one training step of a network costs, layer by layer: the unit of all parallel plans.

Shapes: L layers, in topological order; numpy float64.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from greennas_jax.costs import counts, layer_table, paleo, paleo_order, passes, power
from greennas_jax.costs.devices import Device
from greennas_jax.costs.neuralpower_model import Model
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network
from greennas_jax.spec.parallel import Expanded


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replica:
    """The costs of a network's layers at one batch size on one device.

    Attributes:
      layers: The layers.
      split: The split that each layer belongs to, -1 for none, int [L].
      times: Times of every layer and pass [ms], each [L].
      energy: Energy of a training step [J], [L]; NaN where the device states no power.
      update_energy: The update's part of it [J], [L].
      parameters: Trainable parameters [L].
      output_bytes: Bytes of each output, by name.
      device: The device.
    """

    layers: tuple[Layer, ...]
    split: np.ndarray
    times: LayerTimes
    energy: np.ndarray
    update_energy: np.ndarray
    parameters: np.ndarray
    output_bytes: Mapping[str, float]
    device: Device

    @property
    def busy(self) -> np.ndarray:
        """Return the time of a training step without any communication [ms], [L]."""
        return paleo.of_mode(self.times, "training")

    def rows(self, *, split: bool) -> np.ndarray:
        """Return the rows inside, or outside, any split."""
        return np.flatnonzero((self.split >= 0) == split)


def cost(expanded: Expanded, device: Device, settings: CostSettings, batch: int) -> Replica:
    """Return the costs of a network's layers.

    Args:
      expanded: The network without ModelParallel.
      device: The device.
      settings: The rules; its mode is taken as training.
      batch: Batch size.

    Raises:
      SpecError: If shapes disagree.
      ValueError: If the original Paleo is to be reproduced and refuses a layer, or the power model
        is a fitted one.
    """
    if isinstance(settings.power, Model):
        raise ValueError(
            "power is a fitted model, which does not divide a training step into passes; "
            "allowed: physical"
        )
    settings = dataclasses.replace(settings, mode="training")
    device = device.at(settings.dtype)
    compat = "paleo" if settings.compat == "paleo" else None
    network = expanded.network
    if compat:
        network = _reached(network)
    shapes = shape_rules.infer(network, batch, compat=compat)
    by_name = network.by_name()
    layers = tuple(by_name[name] for name in shapes)
    table = layer_table.from_network(network, batch_size=batch, compat=compat)
    paleo.check(table, settings, tuple(shapes))
    times = paleo.network_times(table, device, settings)
    energy = update_energy = np.full(len(layers), np.nan)
    if device.power_known:
        energy = power.energy(table, times, device, settings)
        update = paleo.work(table, settings, device).update
        moved = passes.moved_bytes(update)
        update_energy = power.of_work(update.flops, moved, times.update, device)
    sizes = settings.element_bytes * table.output_elements
    return Replica(
        layers=layers,
        split=np.array([expanded.split.get(layer.name, -1) for layer in layers]),
        times=times,
        energy=energy,
        update_energy=update_energy,
        parameters=counts.parameters(table, settings),
        output_bytes=dict(zip(shapes, sizes.tolist(), strict=True)),
        device=device,
    )


def _reached(network: Network) -> Network:
    """Return the network without the layers that the original's walk leaves out."""
    names = [layer.name for layer in network.layers]
    dropped = paleo_order.dropped(network, names)
    kept = [layer for layer, out in zip(network.layers, dropped, strict=True) if not out]
    return network.replace(layers=tuple(kept))
