"""Time and energy of layers by the model that the settings name.

Shapes: L layers. The physical model is Paleo's time with `power`. A fitted model (NeuralPower)
replaces it for layers like those that were measured, in the mode and number format that they were
measured in: energy is runtime x power there, or the physical energy at the fitted runtime where
power was not measured. What a layer does behind its own work (bias, activation, normalisation) and
the measured layers did not is added from the physical model.
"""

from typing import NamedTuple

import numpy as np

from greennas_jax.costs import kinds, layer_table, neuralpower, paleo, power
from greennas_jax.costs.devices import Device, DeviceError
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.neuralpower_model import FUSED, Model
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array

MILLISECOND = 1e-3


class Estimate(NamedTuple):
    """Time and energy of inference or a training step, and whose they are.

    Attributes:
      time_ms: Time [ms], [L].
      energy_j: Energy [J], [L]; NaN where only the physical model could tell and the device states
        no power.
      fitted_time: Whether the time is the fitted model's, bool [L].
      fitted_power: Whether the power is, too, bool [L].
    """

    time_ms: Array
    energy_j: Array
    fitted_time: Array
    fitted_power: Array


def time(table: LayerTable, device: Device, settings: CostSettings) -> Array:
    """Return the time of each layer in the mode of the settings [ms], [L]."""
    times = paleo.times(table, device, settings)
    if not isinstance(settings.power, Model):
        return paleo.of_mode(times, settings.mode)
    return estimate(table, times, device, settings).time_ms


def energy(table: LayerTable, device: Device, settings: CostSettings) -> Array:
    """Return the energy of each layer in the mode of the settings [J], [L].

    Raises:
      DeviceError: If the device states no power and a layer needs the physical model; for traced
        layers, whose values are not known, the energy is NaN instead.
    """
    times = paleo.times(table, device, settings)
    if not isinstance(settings.power, Model):
        return power.energy(table, times, device, settings)
    found = estimate(table, times, device, settings).energy_j
    if not device.power_known and table.namespace is np and np.isnan(found).any():
        raise DeviceError(
            f"device '{device.name}' states no power; 'tdp_w' or 'static_w' is needed for the "
            "energy of layers that the fitted model does not cover"
        )
    return found


def estimate(
    table: LayerTable, times: LayerTimes, device: Device, settings: CostSettings
) -> Estimate:
    """Return time and energy by the model that the settings name.

    Args:
      table: Layers [L].
      times: Their physical times [ms].
      device: The device.
      settings: `power` and `mode` decide.
    """
    physical_time = paleo.of_mode(times, settings.mode)
    xp = layer_table.array_namespace(physical_time)
    physical = xp.full_like(physical_time, np.nan)
    if device.power_known:
        physical = power.energy(table, times, device, settings)
    # Nothing takes no energy, whatever the power.
    physical = xp.where(physical_time > 0, physical, 0.0)
    none = xp.zeros_like(physical_time, dtype=bool)
    model = settings.power
    if not isinstance(model, Model) or not neuralpower.measured_so(model, settings):
        return Estimate(physical_time, physical, none, none)
    found = neuralpower.predict(table, model)
    fitted = found.in_range & (physical_time > 0)
    measured = fitted & _power_known(table, model)
    bare = _as_measured(table, model)
    bare_times = paleo.times(bare, device, settings)
    runtime = xp.where(fitted, found.runtime_ms, physical_time)
    behind = physical_time - paleo.of_mode(bare_times, settings.mode)
    flops, moved = paleo.totals(bare, settings, device)
    watts = xp.where(measured, found.power_w, 0.0)
    at_runtime = physical
    added = xp.zeros_like(physical)
    if device.power_known:
        at_runtime = power.of_work(flops, moved, runtime, device.at(settings.dtype))
        added = physical - power.energy(bare, bare_times, device, settings)
    own = xp.where(measured, watts * runtime * MILLISECOND, at_runtime)
    return Estimate(
        xp.where(fitted, runtime + behind, physical_time),
        xp.where(fitted, own + added, physical),
        fitted,
        measured,
    )


def _power_known(table: LayerTable, model: Model) -> Array:
    """Return whether the power of each layer's kind was measured, bool [L]."""
    known = np.zeros(len(kinds.KINDS), bool)
    for fit in model.fits:
        known[kinds.CODES[fit.kind]] = fit.power is not None
    return table.namespace.asarray(known)[kinds.kind_codes(table)]


def _as_measured(table: LayerTable, model: Model) -> LayerTable:
    """Return the layers without what is done behind them unless it was measured with them."""
    xp = table.namespace
    codes = kinds.kind_codes(table)
    changes = {}
    for part in FUSED:
        included = np.zeros(len(kinds.KINDS))
        for fit in model.fits:
            included[kinds.CODES[fit.kind]] = part in fit.fused
        changes[part] = getattr(table, part) * xp.asarray(included, table.batch.dtype)[codes]
    return table.replace(**changes)
