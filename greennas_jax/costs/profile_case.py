"""What a profile is of: a network as it runs, its layers' table and their times.

Shapes: L layers; numpy float64.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import generation, paleo, paleo_order, power
from greennas_jax.costs.devices import Device
from greennas_jax.costs.generation import Run
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.neuralpower_model import Model
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import parallel
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer, Network
from greennas_jax.spec.shapes import Shapes


class Extent(NamedTuple):
    """How much of a network is costed at once; None is what its text says.

    Attributes:
      batch_size: Batch size of every input.
      sequence_length: Length of every sequence that is read.
      context: Tokens that a new one attends to, itself included, in the mode "decode".
    """

    batch_size: int | None = None
    sequence_length: int | None = None
    context: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A network on a device under some settings.

    Attributes:
      network: The network as it runs, splits written out.
      split: Which split each layer of a ModelParallel is of.
      run: What of it runs in the mode.
      shapes: Shapes by layer, in topological order.
      table: The layers as they run [L].
      whole: The layers with whole sequences: what is held in memory [L].
      dropped: Which layers the rules leave out, bool [L].
      times: Their times, measured in all where that is given [ms], [L].
      device: The device, at the settings' number format.
      settings: What is costed, and by which rules.
      measured_ms: The time of the mode's passes in all, measured elsewhere [ms].
      predicted_ms: The same as predicted [ms].
    """

    network: Network
    split: Mapping[str, int]
    run: Run
    shapes: Mapping[str, Shapes]
    table: LayerTable
    whole: LayerTable
    dropped: np.ndarray
    times: LayerTimes
    device: Device
    settings: CostSettings
    measured_ms: float | None
    predicted_ms: float

    @property
    def layers(self) -> list[Layer]:
        """Return the layers, in the order of the table's rows."""
        by_name = self.network.by_name()
        return [by_name[name] for name in self.shapes]

    @property
    def batch(self) -> int:
        """Return the batch size."""
        return shape_rules.batch_size(self.shapes)

    @property
    def model(self) -> Model | None:
        """Return the fitted model of runtime and power, None where the physical one is asked."""
        return self.settings.power if isinstance(self.settings.power, Model) else None

    @property
    def as_original(self) -> bool:
        """Return whether the original Paleo's figures are reproduced."""
        return self.settings.compat == "paleo"


def prepare(
    network: Network,
    device: Device,
    settings: CostSettings,
    extent: Extent,
    measured_ms: float | None = None,
) -> Case:
    """Return the case of a network.

    Args:
      network: The network.
      device: The device.
      settings: What is costed, and by which rules.
      extent: Batch and sequences.
      measured_ms: The time of the mode's passes in all, measured elsewhere [ms].

    Raises:
      SpecError: If the network's shapes disagree, splits do not divide a layer, or the mode is for
        other networks.
      ValueError: If a size is not positive, the device does not state the number format, the
        original Paleo refuses a layer, or nothing says how layers share a measured time.
    """
    batch = extent.batch_size
    if batch is not None and batch < 1:
        raise ValueError(f"batch_size is {batch}; allowed: whole numbers from 1")
    compat = "paleo" if settings.compat == "paleo" else None
    device = device.at(settings.dtype)
    network, split = parallel.expand(network, compat=compat)
    run = generation.prepare(network, settings.mode, extent.sequence_length, extent.context)
    unbroken = generation.prepare(network, "inference", extent.sequence_length)
    shapes = shape_rules.infer(run.network, batch, compat=compat)
    table = generation.table(run, batch, compat=compat)
    names = tuple(shapes)
    paleo.check(table, settings, names)
    dropped = np.zeros(len(names), bool)
    if compat:
        dropped = paleo_order.dropped(run.network, names)
    times = paleo.network_times(table, device, settings, kept=~dropped)
    predicted = float(paleo.of_mode(times, settings.mode).sum())
    if measured_ms is not None:
        times = _measured(times, settings, measured_ms, split=bool(split and compat))
    return Case(
        network=run.network,
        split=split,
        run=run,
        shapes=shapes,
        table=table,
        whole=generation.table(unbroken, batch, compat=compat),
        dropped=dropped,
        times=times,
        device=device,
        settings=settings,
        measured_ms=measured_ms,
        predicted_ms=predicted,
    )


def _measured(
    times: LayerTimes, settings: CostSettings, measured_ms: float, *, split: bool
) -> LayerTimes:
    """Return times that add up to a measured one.

    Raises:
      ValueError: If nothing says how they share it.
    """
    if settings.power != "physical":
        raise ValueError("a measured time goes with power 'physical', not with a fitted model")
    if split:
        raise ValueError(
            "a measured time is for a network without ModelParallel where 'compat' is 'paleo'"
        )
    return power.at_time(times, settings.mode, measured_ms)
