"""The footprint of a training run: hours, energy, money and carbon, each with its provenance."""

import dataclasses
from typing import Any

from greennas_jax.costs import accounts, communication, device_power, footprint, power
from greennas_jax.costs.accounts import Account
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.device_power import Given, Load
from greennas_jax.costs.devices import Device
from greennas_jax.costs.provenance import Figure, predicted, unknown
from greennas_jax.costs.sites import Site
from greennas_jax.costs.workload import Workload


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """How a workload is run.

    Attributes:
      device: The device, in the number format that is computed in.
      devices: How many.
      utilisation: Share of its peak rate that each reaches; as the layers predict where not given.
        Without a fabric it is that of the whole run, with one that of computing alone.
      fabric: How the devices are wired, None where communication is not told apart.
      scheme: How gradients are summed.
      given: What the user knows of the power.
      idle_share: Share of all hours in which the devices are held without work, below 1.
      experiments: Runs made for the result, hyper-parameters included.
    """

    device: Device
    devices: int = 1
    utilisation: float | None = None
    fabric: Fabric | None = None
    scheme: str = "ring"
    given: Given = Given()
    idle_share: float = 0.0
    experiments: int = 1

    def __post_init__(self):
        if self.utilisation is not None and not 0 < self.utilisation <= 1:
            raise ValueError(f"utilisation is {self.utilisation:g}; allowed: above 0 and at most 1")
        for name in ("devices", "experiments"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: whole numbers from 1")
        accounts.check_share(self.idle_share)
        communication.get(self.scheme)


def report(work: Workload, run: TrainingRun, site: Site) -> dict[str, Any]:
    """Return the footprint of a training run, `greennas.footprint/1`.

    Args:
      work: What is computed.
      run: On what, and how.
      site: Where.

    Raises:
      ValueError: If a figure that is needed is not given, or the fabric needs a network.
    """
    utilisation = _utilisation(work, run)
    communicating = _communication(work, run)
    load = Load(utilisation, work.bytes_per_flop, _layers_watts(work, run))
    account = Account(
        devices=run.devices,
        hours=_hours(work, run, utilisation, communicating),
        watts=device_power.watts(run.device, load, run.given),
        communication=communicating,
    )
    spent = accounts.spend(account, site)
    result = accounts.head("training", run.device, run.devices, work.network)
    result["batch_size"] = work.batch_size
    result["figures"] = {
        "flops": work.flops,
        "parameters": work.parameters,
        "examples": work.examples,
        "tokens": work.tokens,
        **_rate(run, utilisation),
        **spent.figures(),
    }
    result["energy_parts"] = spent.parts
    result["green_ai"] = _green_ai(work, run, spent)
    result["checks"] = _checks(work)
    return accounts.finish(result, spent)


def _hours(
    work: Workload, run: TrainingRun, utilisation: Figure, communicating: Figure
) -> footprint.Hours:
    computing = footprint.computing_hours(
        work.flops.known, run.devices, utilisation.known, run.device.peak_gflops
    )
    sending = communicating.value or 0.0
    idle = footprint.idle_hours(computing + sending, run.idle_share)
    return footprint.Hours(computing, sending, idle)


def _utilisation(work: Workload, run: TrainingRun) -> Figure:
    """Return the share of the peak that is reached: as stated, or as the layers predict."""
    if run.utilisation is not None:
        return Figure(run.utilisation, "", "stated", "as given")
    if work.step is None:
        raise ValueError("utilisation is not given; without a network it cannot be predicted")
    seconds = work.step["time_ms"] * power.MILLISECOND
    found = work.step["flops"] / seconds / (run.device.peak_gflops * footprint.GIGA)
    source = f"layers of '{work.network}' at batch {work.batch_size}, memory traffic included"
    return predicted(found, "", source)


def _layers_watts(work: Workload, run: TrainingRun) -> Figure | None:
    """Return the power of the layers [W], where their times are predicted too or it is fitted."""
    step = work.step
    if step is None or step["energy_j"] is None or not (work.fitted or run.utilisation is None):
        return None
    watts = step["energy_j"] / (step["time_ms"] * power.MILLISECOND)
    return predicted(watts, "W", f"energy of the layers / their time; {work.model}")


def _rate(run: TrainingRun, utilisation: Figure) -> dict[str, Figure]:
    """Return the peak rate and the share of it that is reached."""
    device = run.device
    peak = device.peak_gflops / 1000
    source = dict(device.sources).get("peak_gflops", "the device's")
    stated = Figure(peak, "TFLOP/s", "stated", f"{device.dtype}: {source}")
    reached = predicted(peak * utilisation.known, "TFLOP/s", "utilisation x peak")
    return {"peak_rate": stated, "utilisation": utilisation, "achieved_rate": reached}


def _communication(work: Workload, run: TrainingRun) -> Figure:
    """Return the hours of summing gradients, of a data-parallel plan [h]."""
    if run.devices == 1:
        return Figure(0.0, "h", "predicted", "one device sends nothing")
    if run.fabric is None:
        return unknown("h", "no network is given: the utilisation is that of the whole run")
    if work.step is None:
        raise ValueError(
            "a network between devices is given, but FLOPs alone do not say what is sent; "
            "a spec is needed"
        )
    size = 4 * work.step["parameters"]
    each = communication.all_reduce_time(run.scheme, size, run.fabric, run.devices)
    steps = work.steps / run.devices
    source = (
        f"{steps:,.0f} steps of {each:.4g} ms: all-reduce '{run.scheme}' of {size / 1e6:,.1f} MB "
        f"over {run.fabric.link.name}, after the computing"
    )
    hours = steps * each * power.MILLISECOND / footprint.SECONDS_PER_HOUR
    return predicted(hours, "h", source)


def _green_ai(work: Workload, run: TrainingRun, spent: accounts.Spent) -> dict[str, Any]:
    """Return Schwartz et al.'s cost of a result, E x D x H, in FLOPs, energy and carbon."""
    by_token = work.examples.value is None
    data = work.tokens if by_token else work.examples
    one = work.flops.known / data.known
    word = "token" if by_token else "example"
    runs = run.experiments
    equation = "E x D x H, Schwartz et al. 2020"
    total = footprint.green_ai(one, data.known, runs)
    return {
        "of_one": word,
        "flops_of_one": predicted(one, "FLOP", f"FLOPs / {word}s", data=data),
        "data": data,
        "experiments": runs,
        "flops": predicted(total, "FLOP", equation, data=data),
        "energy": predicted(spent.energy.known * runs, "MWh", equation, energy=spent.energy),
        "carbon": predicted(spent.carbon.known * runs, "t", equation, carbon=spent.carbon),
    }


def _checks(work: Workload) -> dict[str, Figure]:
    """Return FLOPs for each parameter and token, which a rule of thumb knows."""
    found = work.flops.known / (work.parameters.known * work.tokens.known)
    rule = "6 of a dense decoder, about half as much of an encoder with a decoder, and attention"
    source = f"rule of thumb: {rule}"
    parts = {"parameters": work.parameters, "tokens": work.tokens}
    return {"flops_per_parameter_and_token": predicted(found, "FLOP", source, **parts)}
