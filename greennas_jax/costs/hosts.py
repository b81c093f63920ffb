"""The machines around devices, and which power model suits a device: configs/grid/hosts.json."""

import functools
from typing import NamedTuple

from greennas_jax.costs import figures, grid
from greennas_jax.costs.devices import Device
from greennas_jax.costs.provenance import Figure, unknown
from greennas_jax.spec.network import shown

POWER_MODELS = ("utilisation", "physical")


class Host(NamedTuple):
    """What is known of the machine around a device.

    Attributes:
      model: The power model that suits the device.
      watts: What the machine draws besides, for each of its devices [W].
      within: Why that model counts the machine already; empty where it does not.
    """

    model: str
    watts: Figure
    within: str = ""


@functools.cache
def _hosts() -> dict[str, Host]:
    found = {}
    for name, entry in grid.read_table("hosts.json").items():
        if not isinstance(entry, dict):
            raise grid.GridError(f"hosts.json: '{name}' is {shown(entry)}; an object needed")
        for key, default in (("power_model", "physical"), ("within", "")):
            told = entry.get(key, default)
            if not isinstance(told, str) or (key == "power_model" and told not in POWER_MODELS):
                raise grid.GridError(f"hosts.json: '{name}.{key}' is {shown(told)}; not known")
        watts = _no_machine(name)
        if "host_w" in entry:
            where = f"hosts.json: '{name}.host_w'"
            value, source = figures.figure(entry["host_w"], where, zero_allowed=True)
            watts = Figure(value, "W", "assumed", source.removeprefix("assumed: "))
        found[name] = Host(entry.get("power_model", "physical"), watts, entry.get("within", ""))
    return found


def _no_machine(name: str) -> Figure:
    return unknown("W", f"no machine is known for device '{name}'; only the devices are counted")


def of(device: Device) -> Host:
    """Return what the table says of a device or of its family, the longest name that begins its.

    A device that is not in it takes the physical model, and its machine is left out.
    """
    known = [name for name in _hosts() if device.name == name or device.name.startswith(f"{name}_")]
    if known:
        return _hosts()[max(known, key=len)]
    return Host("physical", _no_machine(device.name))
