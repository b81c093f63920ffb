"""A calibration as a device file's text: fitted figures, each with where it comes from."""

import datetime
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from greennas_jax.measure.calibration import LARGEST_SHARE, Shares, Watts
from greennas_jax.measure.machine import Machine

Figure = dict[str, Any]


class Ground(NamedTuple):
    """The figures that shares are of, each (value, source).

    Attributes:
      clock_mhz: Clock [MHz].
      gflops: Peak rates [GFLOP/s] by number format, the default one first.
      gbs: Bandwidth [GB/s].
    """

    clock_mhz: tuple[float, str]
    gflops: dict[str, tuple[float, str]]
    gbs: tuple[float, str]


def figure(stated: tuple[float, str]) -> Figure:
    """Return a figure of a device file."""
    return {"value": stated[0], "source": stated[1]}


def overhead(fits: Sequence[Shares]) -> float:
    """Return the overhead that every kind of layer has [us]: the least of those fitted."""
    return min((fit.overhead_us for fit in fits), default=0.0)


def efficiency(fits: Sequence[Shares], source: str) -> dict[str, Any]:
    """Return the attainable shares and the overheads by kind and number format."""
    common = overhead(fits)
    found: dict[str, Any] = {}
    for fit in fits:
        # What is not stated is 1: a term that takes no time is stated, too.
        shares = {
            "compute": LARGEST_SHARE if fit.compute is None else fit.compute,
            "memory": LARGEST_SHARE if fit.memory is None else fit.memory,
            "overhead_us": fit.overhead_us - common,
            "half_inputs": fit.half_inputs or None,
            "half_outputs": fit.half_outputs or None,
        }
        crossed = f"cross-validated error {fit.crossed:.0f} %"
        told = f"{source}: {fit.rows} layers in {fit.mode}, {crossed}"
        found.setdefault(fit.kind, {})[fit.dtype] = {
            name: figure((value, told)) for name, value in shares.items() if value is not None
        }
    return found


def power(found: Watts | str, assumed_watts: float | None) -> dict[str, Figure]:
    """Return the power figures: measured, assumed as asked for, or none.

    Args:
      found: The fit, or why there is none.
      assumed_watts: Power that the user states [W], used where none was measured.
    """
    if isinstance(found, Watts):
        crossed = f"cross-validated error {found.power:.0f} %"
        source = f"measured: {found.source}, fitted to {found.rows} layers, {crossed}"
        return {
            "static_w": figure((found.static_w, source)),
            "pj_per_flop": figure((found.pj_per_flop, source)),
            "pj_per_byte": figure((found.pj_per_byte, source)),
        }
    if assumed_watts is None:
        return {}
    source = f"assumed: {assumed_watts:g} W whatever is computed, as --assumed_watts states"
    flat = figure((0.0, source))
    return {
        "static_w": figure((assumed_watts, source)),
        "pj_per_flop": flat,
        "pj_per_byte": dict(flat),
    }


def compose(
    name: str,
    ground: Ground,
    fits: Sequence[Shares],
    watts: Watts | str,
    assumed_watts: float | None,
    record: Mapping[str, Any],
    source: str,
) -> dict[str, Any]:
    """Return a device file as JSON values.

    Args:
      name: The device's name.
      ground: Clock, peaks and bandwidth.
      fits: What each kind of layer attains.
      watts: The power fit, or why there is none.
      assumed_watts: Power that the user states [W].
      record: The calibration's record.
      source: Where the shares come from.
    """
    formats = list(ground.gflops.items())
    default, peak = formats[0]
    value: dict[str, Any] = {
        "name": name,
        "clock_mhz": figure(ground.clock_mhz),
        "peak_gflops": figure(peak),
        "bandwidth_gbs": figure(ground.gbs),
        "default_dtype": default,
    }
    others = {dtype: {"peak_gflops": figure(rate)} for dtype, rate in formats[1:]}
    if others:
        value["dtypes"] = others
    value |= power(watts, assumed_watts)
    value["overhead_us"] = figure((overhead(fits), f"{source}: least of all kinds"))
    value["efficiency"] = efficiency(fits, source)
    value["calibration"] = dict(record)
    return value


def record(machine: Machine | None, watts: Watts | str, errors: Mapping[str, Any]) -> dict:
    """Return a calibration's record: when, where, with what, how well.

    Args:
      machine: What computed; None where the measurements are somebody else's.
      watts: The power fit, or why there is none.
      errors: RMSPE by kind and format, and of whole networks.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "driver": None if machine is None else machine.driver,
        "machine": None
        if machine is None
        else {name: getattr(machine, name) for name in ("platform", "processor", "cores")},
        "version": importlib.metadata.version("greennas-jax"),
        "power": None if isinstance(watts, Watts) else watts,
        "errors": dict(errors),
    }
