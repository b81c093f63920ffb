"""From hours and watts to energy, money and carbon, with what is known of each figure."""

import dataclasses
from typing import Any

from greennas_jax.costs import footprint
from greennas_jax.costs.device_power import Watts
from greennas_jax.costs.devices import Device
from greennas_jax.costs.footprint import Draw, Energy, Hours
from greennas_jax.costs.provenance import Figure, predicted
from greennas_jax.costs.sites import Site

SCHEMA = "greennas.footprint/1"
LEFT_OUT = (
    "embodied emissions: making, moving and disposing of the devices, machines and buildings",
    "storage, the network outside the machines, and people",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """What devices do and draw.

    Attributes:
      devices: How many.
      hours: How each spends its time; what is not told apart is in the computing.
      watts: What each draws; a share of the machine that is not known is left out.
      communication: The hours of communication [h], unknown where they are not told apart.
      spare: Further devices of the same machines, idle all the time.
    """

    devices: float
    hours: Hours
    watts: Watts
    communication: Figure
    spare: float = 0.0

    def __post_init__(self):
        if self.watts.idle.value is None and (self.hours.idle or self.spare):
            raise ValueError(f"{self.watts.idle.source}; idle devices need it (--idle_watts)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spent:
    """What was used and emitted; figures as in the report."""

    account: Account
    site: Site
    parts: dict[str, Figure]
    energy: Figure
    carbon: Figure
    cost: Figure

    def figures(self) -> dict[str, Figure]:
        """Return the figures of a report, in its order."""
        account, hours = self.account, self.account.hours
        wall = predicted(hours.total, "h", "computing, communication and idleness")
        return {
            "hours": wall,
            "computing_hours": predicted(hours.computing, "h", "FLOPs / (devices x rate)"),
            "communication_hours": account.communication,
            "device_hours": predicted(account.devices * hours.total, "h", "devices x hours"),
            "busy_power": account.watts.busy,
            "idle_power": account.watts.idle,
            "host_power": account.watts.host,
            "pue": self.site.pue,
            "intensity": self.site.intensity,
            "price": self.site.price,
            "energy": self.energy,
            "cost": self.cost,
            "carbon": self.carbon,
        }


def spend(account: Account, place: Site) -> Spent:
    """Return the energy, money and carbon of some hours.

    Args:
      account: The hours and the watts.
      place: Where.
    """
    draw = Draw(
        busy_w=account.watts.busy.known,
        # Nothing is drawn in no time, whether or not the power is known.
        waiting_w=account.watts.waiting.known if account.hours.communication else 0.0,
        idle_w=account.watts.idle.value or 0.0,
        host_w=account.watts.host.value or 0.0,
    )
    used = footprint.energy(
        account.devices, account.hours, draw, place.pue.known, spare=account.spare
    )
    known = {"busy_power": account.watts.busy, "pue": place.pue}
    if account.watts.host.value is not None:
        known["host_power"] = account.watts.host
    if account.hours.communication:
        known["waiting_power"] = account.watts.waiting
    megawatt_hours = used.total / 1000
    energy = predicted(megawatt_hours, "MWh", "PUE x sum of the parts", **known)
    carbon = footprint.carbon_kg(used.total, place.intensity.known) / 1000
    emitted = {"energy": energy, "intensity": place.intensity}
    paid = {"energy": energy, "price": place.price}
    return Spent(
        account=account,
        site=place,
        parts=_parts(used, account, place),
        energy=energy,
        carbon=predicted(carbon, "t", "energy x intensity", **emitted),
        cost=predicted(used.total * place.price.known, "currency", "energy x price", **paid),
    )


def _parts(used: Energy, account: Account, place: Site) -> dict[str, Figure]:
    """Return the energy by what it is used for [kWh]."""
    hosts = {"host": account.watts.host}
    busy = {"busy_power": account.watts.busy}
    waiting = {"waiting_power": account.watts.waiting} if account.hours.communication else {}
    found = {
        "computing": predicted(
            used.computing, "kWh", "devices x computing hours x busy power", **busy
        ),
        "communication": predicted(
            used.communication,
            "kWh",
            "devices x communication hours x waiting power",
            **waiting,
            communication=account.communication,
        ),
        "idle": predicted(used.idle, "kWh", "devices x idle hours x idle power"),
        "host": predicted(used.host, "kWh", "devices x hours x host power", **hosts),
        "overhead": predicted(
            used.overhead, "kWh", "(PUE - 1) x the other parts", **busy, **waiting, pue=place.pue
        ),
    }
    return found


def head(subject: str, device: Device, devices: float, network: str | None) -> dict[str, Any]:
    """Return the head of a report."""
    return {
        "schema": SCHEMA,
        "subject": subject,
        "network": network,
        "device": device.name,
        "dtype": device.dtype,
        "devices": devices,
    }


def finish(result: dict[str, Any], spent: Spent) -> dict[str, Any]:
    """Return a report as JSON values: shares and what is left out added, figures written out."""
    total = sum(part.value or 0.0 for part in spent.parts.values())
    measured = spent.energy.value is not None and total > 0
    result["shares"] = {
        name: part.value / total if measured and part.value is not None else None
        for name, part in spent.parts.items()
    }
    left: list[str] = list(LEFT_OUT)
    if not spent.account.watts.whole:
        left.append(f"the machines around the devices: {spent.account.watts.host.source}")
    result["left_out"] = left
    return _written(result)


def _written(value: Any) -> Any:
    """Return a value with every figure in it as a JSON object."""
    if isinstance(value, Figure):
        return value.record()
    if isinstance(value, dict):
        return {key: _written(each) for key, each in value.items()}
    return value


def check_share(value: float) -> None:
    """Raise ValueError unless an idle share is from 0, below 1."""
    if not 0 <= value < 1:
        raise ValueError(f"idle_share is {value:g}; allowed: from 0, below 1")
