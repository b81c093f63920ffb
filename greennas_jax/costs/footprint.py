"""What devices at work use and emit: hours, energy, money, carbon. Scalars or arrays of any shape.

    hours  = FLOPs / (devices x utilisation x peak)
    energy = PUE x (devices x sum of (watts x hours) over computing, communication and idleness
             + host watts x devices x all hours)
    carbon = energy x intensity of the grid

(Patterson et al., "Carbon emissions and large neural network training", arXiv 2104.10350, 2021,
section 2.) Everything is linear in the work, so N devices at one utilisation use what one would.
Embodied emissions, of making and disposing of the devices, are left out.
"""

import dataclasses
from typing import NamedTuple

from greennas_jax.costs import layer_table

Array = layer_table.Array

GIGA = 1e9
SECONDS_PER_HOUR = 3600.0
JOULES_PER_KWH = 3.6e6


class Hours(NamedTuple):
    """How every device spends its time [h]."""

    computing: Array | float
    communication: Array | float
    idle: Array | float

    @property
    def total(self) -> Array | float:
        """Return all of it [h]."""
        return self.computing + self.communication + self.idle


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draw:
    """What one device draws [W].

    Attributes:
      busy_w: While it computes.
      waiting_w: While it waits for the network or for others.
      idle_w: While there is no work.
      host_w: Its share of the machine, all the time.
    """

    busy_w: Array | float
    waiting_w: Array | float
    idle_w: Array | float
    host_w: Array | float


class Energy(NamedTuple):
    """Energy by what it is used for [kWh]; `overhead` is the building's."""

    computing: Array | float
    communication: Array | float
    idle: Array | float
    host: Array | float
    overhead: Array | float

    @property
    def equipment(self) -> Array | float:
        """Return what the machines use, without the building [kWh]."""
        return self.computing + self.communication + self.idle + self.host

    @property
    def total(self) -> Array | float:
        """Return all of it [kWh]."""
        return self.equipment + self.overhead


def computing_hours(
    flops: Array | float, devices: Array | float, utilisation: Array | float, peak_gflops: Array
) -> Array:
    """Return the hours that devices compute.

    Args:
      flops: Operations, a multiply-add is two.
      devices: How many share them.
      utilisation: Share of the peak rate that is reached, above 0, at most 1.
      peak_gflops: Peak rate of one device [GFLOP/s].
    """
    return flops / (devices * utilisation * peak_gflops * GIGA) / SECONDS_PER_HOUR


def idle_hours(working: Array | float, share: Array | float) -> Array | float:
    """Return the hours without work around some hours at work.

    Args:
      working: Hours at work.
      share: Idle share of all hours, from 0, below 1.
    """
    return working * share / (1 - share)


def energy(
    devices: Array | float,
    hours: Hours,
    draw: Draw,
    pue: Array | float,
    spare: Array | float = 0.0,
) -> Energy:
    """Return the energy of devices [kWh].

    Args:
      devices: How many.
      hours: How each spends its time.
      draw: What each draws.
      pue: Power usage effectiveness: what the building draws over what its machines draw, from 1.
      spare: Further devices of the same machines, idle all the time.
    """
    idle = devices * hours.idle + spare * hours.total
    parts = Energy(
        computing=devices * hours.computing * draw.busy_w / 1000,
        communication=devices * hours.communication * draw.waiting_w / 1000,
        idle=idle * draw.idle_w / 1000,
        host=(devices + spare) * hours.total * draw.host_w / 1000,
        overhead=0.0,
    )
    return parts._replace(overhead=(pue - 1) * parts.equipment)


def carbon_kg(kilowatt_hours: Array | float, intensity: Array | float) -> Array | float:
    """Return what some electricity emits [kgCO2e].

    Args:
      kilowatt_hours: Energy [kWh].
      intensity: Of the grid [gCO2e/kWh].
    """
    return kilowatt_hours * intensity / 1000


def green_ai(example: Array | float, data: Array | float, experiments: Array | float) -> Array:
    """Return the cost of a result, E x D x H.

    Schwartz, Dodge, Smith, Etzioni, "Green AI", CACM 63(12), 2020, equation 1.

    Args:
      example: Cost E of processing one example once, in FLOPs, kWh or any other unit.
      data: Examples D processed in one run, epochs counted.
      experiments: Runs H made for the result, those for hyper-parameters included.
    """
    return example * data * experiments
