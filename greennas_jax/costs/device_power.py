"""The power of a busy device from its utilisation, and of the machine around it.

Two models. "utilisation" is a curve for accelerators whose idle power is known,

    P(u) = idle + (TDP - idle) (2 u - u^1.4)

(Fan, Weber, Barroso, "Power provisioning for a warehouse-sized computer", ISCA 2007, section 5.2,
with the exponent they fit to servers). At the utilisations of Patterson et al. (arXiv 2104.10350,
table 4) it gives 8 percent less than the watts per TPU v3 that were measured for T5-11B, 5 less for
Meena. "physical" is `power.of_work`: a static power, arithmetic and traffic; on GPUs, where a share
of the peak says little of how busy the rest is, it is the nearer one. `hosts` says which suits a
device, and what its machine draws besides.
"""

import dataclasses
import math
from typing import NamedTuple

from greennas_jax.costs import hosts, layer_table, power
from greennas_jax.costs.devices import Device
from greennas_jax.costs.provenance import Figure, predicted, unknown

Array = layer_table.Array

MODELS = hosts.POWER_MODELS
EXPONENT = 1.4


def curve(utilisation: Array, idle_w: Array, tdp_w: Array) -> Array:
    """Return idle + (TDP - idle) (2 u - u^1.4) [W].

    Args:
      utilisation: Share of the peak rate that is reached, from 0 to 1.
      idle_w: Power without work [W].
      tdp_w: Power at full utilisation [W].
    """
    return idle_w + (tdp_w - idle_w) * (2 * utilisation - utilisation**EXPONENT)


def physical(flops_per_s: Array, bytes_per_s: Array, device: Device) -> Array:
    """Return static W + FLOP/s x pJ/FLOP + bytes/s x pJ/byte, at most the TDP [W].

    Args:
      flops_per_s: Rate of operations [FLOP/s].
      bytes_per_s: Rate of memory traffic [byte/s].
      device: A device that states its power.
    """
    return power.of_work(flops_per_s, bytes_per_s, 1 / power.MILLISECOND, device)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watts:
    """What a device draws in each state [W], and by which model.

    Attributes:
      busy: While it computes.
      waiting: While it waits for the network or for others.
      idle: Without work.
      host: Its share of the machine; unknown where it is left out, or within the others.
      whole: Whether the machine is counted, apart or within the others.
    """

    busy: Figure
    waiting: Figure
    idle: Figure
    host: Figure
    whole: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What the user knows better than the tables; None where the tables hold.

    Attributes:
      model: One of `MODELS`.
      measured_w: Mean power of a device with its share of the machine, whatever it does [W].
      idle_w: Power without work [W].
      host_w: Share of the machine [W].
    """

    model: str | None = None
    measured_w: float | None = None
    idle_w: float | None = None
    host_w: float | None = None

    def __post_init__(self):
        if self.model is not None and self.model not in MODELS:
            raise ValueError(f"power_model is {self.model!r}; allowed: {', '.join(MODELS)}")
        for name in ("measured_w", "idle_w", "host_w"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value:g}; allowed: watts from 0")
        beside = [name for name in ("model", "idle_w", "host_w") if getattr(self, name) is not None]
        if self.measured_w is not None and beside:
            raise ValueError(
                f"{beside[0]} says nothing beside measured_w, the mean of a device and its machine"
            )


class Load(NamedTuple):
    """What keeps a device busy.

    Attributes:
      utilisation: Share of the peak rate that is reached.
      bytes_per_flop: Memory traffic for each operation [byte/FLOP].
      watts: What the layers draw by their own model [W]; it replaces the physical one.
    """

    utilisation: Figure
    bytes_per_flop: Figure
    watts: Figure | None = None


def watts(device: Device, load: Load, given: Given) -> Watts:
    """Return what a device draws in each state.

    Args:
      device: The device, in the number format that is computed in.
      load: What keeps it busy.
      given: What the user knows better.

    Raises:
      ValueError: If the model asked for needs what the device does not state.
    """
    if given.measured_w is not None:
        mean = Figure(given.measured_w, "W", "measured", "as given: the mean, with the machine")
        around = unknown("W", "within the measured watts")
        return Watts(busy=mean, waiting=mean, idle=mean, host=around, whole=True)
    idle = _idle(device, given)
    model = _choose(given.model, device, idle)
    known = hosts.of(device)
    around = known.watts if given.host_w is None else _own(given.host_w)
    within = model == "utilisation" and known.within and given.host_w is None
    if within:
        around = unknown("W", known.within)
    if model == "utilisation":
        busy = _curved(device, load.utilisation, idle)
        waiting = predicted(idle.known, "W", "the curve at no utilisation", idle=idle)
    else:
        busy = load.watts or _physical(device, load)
        waiting = _waiting(device)
    whole = bool(within) or around.value is not None
    return Watts(busy=busy, waiting=waiting, idle=idle, host=around, whole=whole)


def _own(value: float) -> Figure:
    return Figure(value, "W", "stated", "as given")


def _idle(device: Device, given: Given) -> Figure:
    if given.idle_w is not None:
        return _own(given.idle_w)
    if device.idle_w is None:
        return unknown("W", f"device '{device.name}' states no 'idle_w'")
    return Figure(device.idle_w, "W", "stated", dict(device.sources).get("idle_w", "the device's"))


def _choose(model: str | None, device: Device, idle: Figure) -> str:
    """Return the power model: the one asked for, or the table's as far as the device allows it."""
    curved = idle.value is not None and math.isfinite(device.tdp_w)
    if model == "utilisation" and not curved:
        missing = "idle_w" if idle.value is None else "tdp_w"
        raise ValueError(
            f"device '{device.name}' states no '{missing}', which power_model 'utilisation' needs"
        )
    if model is None:
        model = hosts.of(device).model if curved else "physical"
    return model


def _curved(device: Device, utilisation: Figure, idle: Figure) -> Figure:
    source = (
        f"idle {idle.known:g} W + (TDP {device.tdp_w:g} W - idle) (2u - u^1.4), "
        "Fan, Weber, Barroso 2007"
    )
    drawn = curve(utilisation.known, idle.known, device.tdp_w)
    return predicted(drawn, "W", source, idle=idle)


def _no_power(device: Device) -> Figure:
    return unknown("W", f"device '{device.name}' states neither 'tdp_w' nor 'static_w'")


def _waiting(device: Device) -> Figure:
    if not device.power_known:
        return _no_power(device)
    return predicted(device.static_w, "W", "static power, as in a scaling study")


def _physical(device: Device, load: Load) -> Figure:
    """Return the power of the physical model at a rate of operations and traffic [W]."""
    if not device.power_known:
        return _no_power(device)
    rate = load.utilisation.known * device.peak_gflops * 1e9
    traffic = rate * (load.bytes_per_flop.value or 0.0)
    terms = [f"static {device.static_w:g} W"]
    if load.bytes_per_flop.value is not None:
        terms.append(f"{traffic / 1e9:.4g} GB/s x {device.pj_per_byte:g} pJ/byte")
    if device.pj_per_flop:
        terms.append(f"{rate / 1e12:.4g} TFLOP/s x {device.pj_per_flop:g} pJ/FLOP")
    source = " + ".join(terms)
    if math.isfinite(device.tdp_w):
        source += f", at most the TDP {device.tdp_w:g} W"
    if load.bytes_per_flop.value is None:
        source += f"; traffic left out: {load.bytes_per_flop.source}"
    if device.assumptions:
        source += f"; assumed: {'; '.join(device.assumptions)}"
    return predicted(physical(rate, traffic, device), "W", source)
