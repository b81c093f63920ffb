"""Energy of every layer, and what it is spent on: arithmetic, data movement, and time.

Shapes: L layers. A busy device draws a static power whatever it does, and some energy for each
operation and for each byte of its memory. Uncalibrated, half of the TDP is static, traffic at the
peak bandwidth draws 0.4 of it, and arithmetic at the peak rate 0.35. Where the first two come from
and that the third was chosen on three Titan X rows of Cai et al. (NeuralPower, ACML 2017: VGG-16,
AlexNet, NIN) is said in `devices`. On those rows that gives +4, +5 and -5 percent of the measured
energy at measured times, and +4, -2 and -5 percent at predicted ones.
"""

import dataclasses
from typing import NamedTuple

from greennas_jax.costs import layer_table, paleo
from greennas_jax.costs.devices import Device, DeviceError
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array

MILLISECOND = 1e-3
PICOJOULE = 1e-12


class Parts(NamedTuple):
    """What energy is spent on [J], each [L].

    Attributes:
      arithmetic: Floating-point operations.
      movement: Traffic of the device memory.
      static: What the device draws for the time it is busy, whatever it does.
    """

    arithmetic: Array
    movement: Array
    static: Array

    @property
    def total(self) -> Array:
        """Return the whole energy [J], [L]."""
        return self.arithmetic + self.movement + self.static

    def scaled(self, factor: Array) -> "Parts":
        """Return every part multiplied by a factor."""
        return Parts(*(part * factor for part in self))


def energy(table: LayerTable, times: LayerTimes, device: Device, settings: CostSettings) -> Array:
    """Return the energy of each layer in inference or a training step [J], [L].

    static W x time + FLOPs x pJ/FLOP + bytes x pJ/byte, at most TDP x time.

    Args:
      table: Layers [L].
      times: Their times [ms]; `at_time` makes them those of a measured total.
      device: The device and its coefficients.
      settings: `mode` decides which passes are made.

    Raises:
      DeviceError: If the device states neither a TDP nor a static power, or not the number format.
    """
    check(device)
    device = device.at(settings.dtype)
    flops, moved = paleo.totals(table, settings, device)
    return of_work(flops, moved, paleo.of_mode(times, settings.mode), device)


def check(device: Device) -> None:
    """Check that a device states enough for a power estimate.

    Raises:
      DeviceError: If it does not.
    """
    if not device.power_known:
        raise DeviceError(
            f"device '{device.name}' states no power; 'tdp_w' or 'static_w' is needed for energy"
        )


def at_time(times: LayerTimes, mode: str, milliseconds: float) -> LayerTimes:
    """Return times whose total is what was measured elsewhere, shared out as predicted.

    Args:
      times: Predicted times [ms].
      mode: Which passes were measured.
      milliseconds: Their measured time in all [ms].

    Raises:
      ValueError: If it is not positive, or no time is predicted to be shared out.
    """
    if not 0 < milliseconds < float("inf"):
        raise ValueError(f"the measured time is {milliseconds!r} ms; allowed: above 0")
    predicted = paleo.of_mode(times, mode).sum()
    if not predicted > 0:
        raise ValueError("a measured time cannot be shared out: no layer is predicted to take any")
    factor = milliseconds / predicted
    fields = [field.name for field in dataclasses.fields(times) if field.name != "pipelined"]
    return dataclasses.replace(times, **{name: getattr(times, name) * factor for name in fields})


def of_work(flops: Array, moved: Array, milliseconds: Array, device: Device) -> Array:
    """Return the energy of some work [J]: as `energy`, of any part of it.

    Args:
      flops: Floating-point operations.
      moved: Bytes moved to or from the device memory.
      milliseconds: The time it takes [ms].
      device: A device that states its power, in the number format of the work.
    """
    unlimited = parts_of_work(flops, moved, milliseconds, device).total
    xp = layer_table.array_namespace(unlimited)
    return xp.minimum(unlimited, limit(milliseconds, device))


def parts_of_work(flops: Array, moved: Array, milliseconds: Array, device: Device) -> Parts:
    """Return what the energy of some work is spent on, without the limit of the TDP.

    Args:
      flops: Floating-point operations.
      moved: Bytes moved to or from the device memory.
      milliseconds: The time it takes [ms].
      device: A device that states its power, in the number format of the work.
    """
    return Parts(
        arithmetic=flops * device.pj_per_flop * PICOJOULE,
        movement=moved * device.pj_per_byte * PICOJOULE,
        static=device.static_w * (milliseconds * MILLISECOND),
    )


def limit(milliseconds: Array, device: Device) -> Array:
    """Return TDP x time [J]; where no TDP is stated, no limit (0 x infinity is not a number)."""
    seconds = milliseconds * MILLISECOND
    xp = layer_table.array_namespace(seconds, device.tdp_w)
    stated = xp.isfinite(device.tdp_w)
    return xp.where(stated, xp.where(stated, device.tdp_w, 0.0) * seconds, xp.inf)
