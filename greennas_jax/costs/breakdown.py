"""What the energy of a network is spent on: by part, by pass, by layer and by kind of layer.

Shapes: L layers; numpy float64. The parts of `power.Parts` add up to the energy: of a layer over
its passes, of a kind over its layers, of the network over its kinds. Where a layer would draw more
than the TDP, all its parts are made smaller by the same factor.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from greennas_jax.costs import kinds, paleo, passes, power
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.power import Parts
from greennas_jax.costs.settings import CostSettings

PASSES = ("forward", "backward", "update")


def of_layers(
    table: LayerTable, times: LayerTimes, device: Device, settings: CostSettings
) -> dict[str, Parts]:
    """Return the parts of every layer's energy in each pass that the mode makes [J], each [L].

    Args:
      table: Layers [L].
      times: Their times [ms].
      device: The device and its coefficients.
      settings: `mode` decides which passes are made.

    Raises:
      DeviceError: If the device does not state its power, or not the number format.
    """
    power.check(device)
    device = device.at(settings.dtype)
    done = paleo.work(table, settings, device)
    steps = {
        "forward": (done.forward,),
        "backward": (done.backward_data, done.backward_filter),
        "update": (done.update,),
    }
    made = PASSES if settings.mode == "training" else PASSES[:1]
    found = {
        name: power.parts_of_work(
            np.asarray(sum(step.flops for step in steps[name])),
            np.asarray(sum(passes.moved_bytes(step) for step in steps[name])),
            getattr(times, name),
            device,
        )
        for name in made
    }
    factor = _within_limit(found, paleo.of_mode(times, settings.mode), device)
    return {name: parts.scaled(factor) for name, parts in found.items()}


def _within_limit(
    found: Mapping[str, Parts], milliseconds: np.ndarray, device: Device
) -> np.ndarray:
    """Return what the TDP leaves of each layer's parts, 1 where all [L]."""
    unlimited = np.asarray(sum(parts.total for parts in found.values()))
    allowed = power.limit(milliseconds, device)
    over = unlimited > allowed
    return np.where(over, np.where(over, allowed, 1.0) / np.where(over, unlimited, 1.0), 1.0)


def limited(found: Mapping[str, Parts], milliseconds: np.ndarray, device: Device) -> np.ndarray:
    """Return which layers draw all of the TDP, bool [L].

    Args:
      found: What `of_layers` gives.
      milliseconds: The time of each layer [ms], [L].
      device: The device.
    """
    drawn = np.asarray(sum(parts.total for parts in found.values()))
    return (drawn > 0) & (drawn >= power.limit(milliseconds, device) * (1 - 1e-12))


def record(
    found: Mapping[str, Parts],
    table: LayerTable,
    milliseconds: np.ndarray,
    names: Sequence[str],
    device: Device,
) -> dict[str, Any]:
    """Return a breakdown as JSON values: total, passes, kinds, and the layers that draw the TDP.

    Args:
      found: What `of_layers` gives, with zeros for layers that are left out.
      table: Layers [L].
      milliseconds: The time of each [ms], [L].
      names: Their names.
      device: The device.
    """
    codes = kinds.kind_codes(table)
    every = np.ones(len(names), bool)
    of_kinds = {}
    for code, kind in enumerate(kinds.KINDS):
        rows = codes == code
        if rows.any():
            of_kinds[kind] = {
                "layers": int(rows.sum()),
                "time_ms": number(milliseconds[rows].sum()),
                **_amounts(found.values(), rows),
                "passes": {name: _amounts([parts], rows) for name, parts in found.items()},
            }
    at_limit = limited(found, milliseconds, device)
    return {
        "total": _amounts(found.values(), every),
        "idle": _idle(milliseconds, device),
        "passes": {name: _amounts([parts], every) for name, parts in found.items()},
        "kinds": of_kinds,
        "limited_layers": [name for name, at in zip(names, at_limit, strict=True) if at],
    }


def of_rows(found: Mapping[str, Parts]) -> list[dict[str, Any]]:
    """Return the breakdown of each layer as JSON values, one record per layer."""
    first = next(iter(found.values()))
    return [
        {name: _amounts([parts], np.array([row])) for name, parts in found.items()}
        for row in range(len(first.static))
    ]


def _amounts(found: Any, rows: np.ndarray) -> dict[str, float | None]:
    """Return the sums over some passes and rows, and over the parts."""
    sums = Parts(
        *(sum(float(part[rows].sum()) for part in parts) for parts in zip(*found, strict=True))
    )
    amounts = {f"{name}_j": number(value) for name, value in sums._asdict().items()}
    return amounts | {"energy_j": number(sums.total)}


def _idle(milliseconds: np.ndarray, device: Device) -> dict[str, float | str | None]:
    """Return what the device would have drawn doing nothing, a share of the static part."""
    if device.idle_w is None:
        reason = f"device '{device.name}' does not state 'idle_w'"
        return {"power_w": None, "energy_j": None, "reason": reason}
    seconds = power.MILLISECOND * float(milliseconds.sum())
    return {"power_w": number(device.idle_w), "energy_j": number(device.idle_w * seconds)}


def number(value: float) -> float | None:
    """Return a figure, None where it is not known."""
    return None if np.isnan(value) else float(value)
