"""The footprint of answering requests: hours, energy, money and carbon, by 1,000 inferences.

An inference is one or several phases (one forward pass, or a prefill and many decode steps), each
with the time and the energy that the layers' model predicts for a batch of them. Between requests a
device waits at its idle power.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from greennas_jax.costs import accounts, device_power, footprint, power
from greennas_jax.costs.accounts import Account, Spent
from greennas_jax.costs.device_power import Given, Load
from greennas_jax.costs.devices import Device
from greennas_jax.costs.provenance import Figure, predicted
from greennas_jax.costs.sites import Site

THOUSAND = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of an inference.

    Attributes:
      name: What is done.
      totals: Totals of its profile (`greennas.profile/1`), for one batch.
      batch_size: Examples of that batch.
      calls: How often an inference makes it.
      model: What predicted it.
    """

    name: str
    totals: Mapping[str, Any]
    batch_size: int
    calls: float = 1.0
    model: str = "predicted"

    def of_one(self, key: str) -> float:
        """Return a total's part of one inference, NaN where it is not known."""
        value = self.totals[key]
        return float("nan") if value is None else value * self.calls / self.batch_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployment:
    """How requests are answered.

    Attributes:
      device: The device, in the number format that is computed in.
      requests: How many inferences in all.
      devices: How many share them.
      idle_share: Share of all hours in which they wait for requests, below 1.
      idle_devices: Further devices of the same machines, idle all the time.
      given: What the user knows of the power.
    """

    device: Device
    requests: float = float(THOUSAND)
    devices: int = 1
    idle_share: float = 0.0
    idle_devices: int = 0
    given: Given = Given()

    def __post_init__(self):
        if not 0 < self.requests < float("inf"):
            raise ValueError(f"requests is {self.requests:g}; allowed: numbers above 0")
        for name, least in (("devices", 1), ("idle_devices", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; allowed: whole numbers from {least}"
                )
        if self.idle_devices and self.given.measured_w is not None:
            raise ValueError(
                "idle_devices cannot be told apart in measured_w, the mean of a device"
            )
        accounts.check_share(self.idle_share)


def report(
    network: str, phases: Sequence[Phase], deployment: Deployment, site: Site
) -> dict[str, Any]:
    """Return the footprint of a deployment, `greennas.footprint/1`.

    Args:
      network: The network's name.
      phases: What one inference does, from one.
      deployment: On what, and how often.
      site: Where.

    Raises:
      ValueError: If an idle power is needed and not known.
    """
    of_one = {key: sum(p.of_one(key) for p in phases) for key in ("time_ms", "flops", "bytes")}
    busy_h = of_one["time_ms"] * power.MILLISECOND / footprint.SECONDS_PER_HOUR
    computing = busy_h * deployment.requests / deployment.devices
    idle = footprint.idle_hours(computing, deployment.idle_share)
    utilisation = _utilisation(deployment.device, of_one)
    load = _load(deployment.device, phases, of_one, utilisation)
    account = Account(
        devices=deployment.devices,
        hours=footprint.Hours(computing, 0.0, idle),
        watts=device_power.watts(deployment.device, load, deployment.given),
        communication=Figure(0.0, "h", "predicted", "every device answers its requests alone"),
        spare=deployment.idle_devices,
    )
    spent = accounts.spend(account, site)
    result = accounts.head("deployment", deployment.device, deployment.devices, network)
    result |= {"idle_devices": deployment.idle_devices, "idle_share": deployment.idle_share}
    source = f"layers of '{network}', for one inference"
    result["figures"] = {
        "requests": Figure(deployment.requests, "", "stated", "as given"),
        "flops": predicted(of_one["flops"], "FLOP", source),
        "latency": _latency(phases),
        "utilisation": utilisation,
        **spent.figures(),
    }
    result["phases"] = [_phase(phase) for phase in phases]
    result["per_thousand"] = _per_thousand(deployment, spent)
    result["energy_parts"] = spent.parts
    return accounts.finish(result, spent)


def _utilisation(device: Device, of_one: Mapping[str, float]) -> Figure:
    rate = of_one["flops"] / (of_one["time_ms"] * power.MILLISECOND)
    found = rate / (device.peak_gflops * footprint.GIGA)
    return predicted(found, "", "FLOPs / (time of the layers x peak)")


def _load(
    device: Device, phases: Sequence[Phase], of_one: Mapping[str, float], utilisation: Figure
) -> Load:
    traffic = predicted(of_one["bytes"] / of_one["flops"], "byte/FLOP", "layers")
    joules = sum(phase.of_one("energy_j") for phase in phases)
    if math.isnan(joules):
        return Load(utilisation, traffic)
    source = f"energy of the layers / their time; {phases[0].model}"
    watts = joules / (of_one["time_ms"] * power.MILLISECOND)
    return Load(utilisation, traffic, predicted(watts, "W", source))


def _latency(phases: Sequence[Phase]) -> Figure:
    """Return the time until an inference is answered, a whole batch together [ms]."""
    total = sum(phase.totals["time_ms"] * phase.calls for phase in phases)
    return predicted(total, "ms", f"layers at batch {phases[0].batch_size}, no waiting in line")


def _phase(phase: Phase) -> dict[str, Any]:
    keys = ("time_ms", "flops", "bytes", "energy_j")
    totals = {key: phase.totals[key] for key in keys}
    return {"name": phase.name, "batch_size": phase.batch_size, "calls": phase.calls} | totals


def _per_thousand(deployment: Deployment, spent: Spent) -> dict[str, Figure]:
    """Return what 1,000 inferences take."""
    share = THOUSAND / deployment.requests
    hours = deployment.devices * spent.account.hours.total * share
    energy, carbon, cost = spent.energy, spent.carbon, spent.cost
    source = "the total / requests x 1,000"
    return {
        "device_hours": predicted(hours, "h", source),
        "energy": predicted(energy.known * 1000 * share, "kWh", source, energy=energy),
        "cost": predicted(cost.known * share, "currency", source, cost=cost),
        "carbon": predicted(carbon.known * 1e6 * share, "g", source, carbon=carbon),
    }
