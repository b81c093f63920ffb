"""Whole networks run on this machine: time and energy, beside what a device file predicts."""

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from greennas_jax.costs import devices
from greennas_jax.costs import profile as cost_profile
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.measure import execution, machine, timing
from greennas_jax.measure.execution import Wanted
from greennas_jax.measure.machine import Machine
from greennas_jax.measure.meters import Meter
from greennas_jax.report import units
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Network

SCHEMA = "greennas.measurement/1"
Around = Callable[[], contextlib.AbstractContextManager[None]]


def run(
    network: Network,
    batch_size: int | None,
    wanted: Wanted,
    meter: Meter,
    plan: timing.Plan | None = None,
    around: Around = contextlib.nullcontext,
) -> dict[str, Any]:
    """Return what a network takes here, as JSON values.

    Args:
      network: The network.
      batch_size: Batch size; None for the text's own.
      wanted: Mode, number format, convolutions.
      meter: Measures the energy.
      plan: How long it is timed.
      around: Entered for as long as the clock runs.

    Raises:
      SpecError: If the network cannot be executed.
      ValueError: If the number format cannot.
    """
    call = execution.program(network, batch_size, wanted)
    plan = plan or timing.Plan()
    with around():
        found = timing.measure(call, meter, plan)
    batch = shape_rules.batch_size(shape_rules.infer(network, batch_size))
    energy = None if found.watts is None else found.watts * found.seconds
    windows = f"{plan.statistic} of {plan.windows} windows of {found.calls} calls"
    return {
        "network": network.name,
        "batch_size": batch,
        "mode": wanted.mode,
        "dtype": wanted.dtype,
        "convolution": wanted.method,
        "time_ms": 1000 * found.seconds,
        "time_spread": found.spread,
        "least_ms": 1000 * found.least,
        "repeats": plan.windows,
        "calls_per_repeat": found.calls,
        "power_w": found.watts,
        "energy_j": energy,
        "energy_per_example_j": None if energy is None or batch is None else energy / batch,
        "power_source": found.power_source,
        "provenance": f"measured: {windows}",
    }


def predicted(
    network: Network, device: Device, batch_size: int | None, wanted: Wanted
) -> dict[str, Any]:
    """Return what a device file predicts of the same, as JSON values.

    Raises:
      DeviceError: If the device does not state the number format.
    """
    settings = CostSettings(mode=wanted.mode, dtype=wanted.dtype)
    found = cost_profile.profile(network, device, settings, batch_size)
    totals = found["totals"]
    kept = ("time_ms", "power_w", "energy_j", "energy_per_example_j")
    return {
        "device": device.name,
        **{name: totals[name] for name in kept},
        "provenance": found["provenance"],
        "reasons": found["reasons"],
    }


def ratio(predicted: Mapping[str, Any], measured: Mapping[str, Any], name: str) -> float | None:
    """Return predicted over measured, None where either is not known."""
    over, under = predicted[name], measured[name]
    if over is None or under is None or not math.isfinite(over) or under <= 0:
        return None
    return over / under


def is_here(device: Device, this: Machine) -> bool:
    """Return whether a device file was calibrated on this machine."""
    stated = json.loads(device.calibration) if device.calibration else {}
    return machine.same(this, stated.get("machine"))


def calibrated(this: Machine) -> Device | None:
    """Return the device of configs/devices that was calibrated on this machine, if any."""
    for name in devices.names():
        device = devices.load(name)
        if is_here(device, this):
            return device
    return None


def report(
    network: Network,
    device: Device | None,
    batch_size: int | None,
    wanted: Wanted,
    meter: Meter,
    plan: timing.Plan | None = None,
    around: Around = contextlib.nullcontext,
) -> dict[str, Any]:
    """Return `greennas.measurement/1`: measured beside predicted.

    Args:
      network: The network.
      device: What predicts; None for a measurement alone.
      batch_size: Batch size; None for the text's own.
      wanted: Mode, number format, convolutions.
      meter: Measures the energy.
      plan: How long it is timed.
      around: Entered for as long as the clock runs.

    Raises:
      ValueError: As `run` and `predicted`.
    """
    said = None if device is None else predicted(network, device, batch_size, wanted)
    found = run(network, batch_size, wanted, meter, plan, around)
    this = machine.here()
    names = ("time_ms", "power_w", "energy_j")
    return {
        "schema": SCHEMA,
        "machine": this._asdict(),
        "measured": found,
        "predicted": said,
        "ratio": None if said is None else {name: ratio(said, found, name) for name in names},
        "calibrated_here": device is not None and is_here(device, this),
    }


def pair(
    given: Network,
    found: Network,
    device: Device,
    batch_size: int | None,
    wanted: Wanted,
    meter: Meter,
) -> dict[str, Any]:
    """Return given and found network run here, beside what the device file predicts.

    They are run where that can confirm or deny the prediction: on the machine that the device file
    was calibrated on, or where energy is metered.

    Args:
      given: The given network.
      found: The network found for it.
      device: The device that the search was for.
      batch_size: Batch size; None for the text's own.
      wanted: Mode, number format, convolutions.
      meter: Measures the energy.

    Returns:
      JSON values: "before", "after" and their relative "change"; all None, with a "reason", where
      they are not run.
    """
    this = machine.here()
    reason = None
    if not is_here(device, this) and not meter.present:
        reason = f"device '{device.name}' was not calibrated on this machine; {meter.reason}"
    elif wanted.mode not in ("inference", "training") or wanted.dtype not in execution.FORMATS:
        reason = f"{wanted.mode} in {wanted.dtype} cannot be run here"
    if reason is not None:
        return {"before": None, "after": None, "change": None, "reason": reason}
    sides = [report(each, device, batch_size, wanted, meter) for each in (given, found)]
    names = ("time_ms", "energy_j")
    figures = [side["measured"] for side in sides]
    change = {name: units.relative_change(*(each[name] for each in figures)) for name in names}
    return {"before": sides[0], "after": sides[1], "change": change, "reason": None}


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return a measurement as lines of text."""
    measured, said, this = found["measured"], found["predicted"], found["machine"]
    time = units.quantity(measured["time_ms"] / 1000, "s")
    told = [
        f"{measured['network']}, {measured['mode']}, batch {measured['batch_size']}, "
        f"{measured['dtype']}, on {this['processor']} ({this['cores']} cores, {this['driver']})",
        f"measured time: {time} +/- {100 * measured['time_spread']:.1f} % "
        f"({measured['provenance'].removeprefix('measured: ')})",
    ]
    energy = units.quantity(measured["energy_j"], "J", measured["power_source"])
    told.append(f"measured energy: {energy}")
    if said is None:
        return [*told, "predicted: nothing (no --device, and none was calibrated here)"]
    for name, label, unit, factor in (
        ("time_ms", "time", "s", 1e-3),
        ("energy_j", "energy", "J", 1.0),
    ):
        value = None if said[name] is None else factor * said[name]
        of = found["ratio"][name]
        beside = "" if of is None else f", {of:.2f} times the measured one"
        reason = said["reasons"].get("power", "not stated")
        shown = units.quantity(value, unit, reason)
        told.append(f"predicted {label} ({said['device']}): {shown}{beside}")
    where = "calibrated on this machine" if found["calibrated_here"] else "not calibrated here"
    return [*told, f"the device file was {where}"]
