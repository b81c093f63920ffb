"""Where devices stand: what the building adds, what its electricity emits and costs."""

import dataclasses
import math

from greennas_jax.costs import grid
from greennas_jax.costs.provenance import Figure, unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """Where devices stand.

    Attributes:
      pue: Power usage effectiveness.
      intensity: What the electricity emits [gCO2e/kWh].
      price: What it costs [currency/kWh]; unknown where not given.
    """

    pue: Figure
    intensity: Figure
    price: Figure


def site(
    *,
    pue: float | None = None,
    intensity: float | None = None,
    country: str | None = None,
    year: int | None = None,
    datacentre: str | None = None,
    price: float | None = None,
) -> Site:
    """Return where devices stand: the user's own numbers first, then the tables, then the world.

    Args:
      pue: Power usage effectiveness, from 1.
      intensity: Of the electricity [gCO2e/kWh], from 0.
      country: A country of the table.
      year: A year of that country.
      datacentre: A site of the table, for what else is not given.
      price: Of the electricity [currency/kWh], from 0.

    Raises:
      ValueError: If a number is out of range or a name unknown.
    """
    if pue is not None and not 1 <= pue < math.inf:
        raise ValueError(f"pue is {pue:g}; allowed: from 1, what the machines draw themselves")
    for name, value in (("intensity", intensity), ("price", price)):
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value:g}; allowed: from 0, per kWh")
    known = grid.datacentre(datacentre or "world_average")
    if intensity is not None:
        emitted = Figure(intensity, grid.UNIT, "stated", "as given")
    elif known.intensity is not None and country is None:
        emitted = known.intensity
    else:
        emitted = grid.intensity(country, year)
    paid = unknown("currency/kWh", "no price is given")
    return Site(
        pue=known.pue if pue is None else Figure(pue, "", "stated", "as given"),
        intensity=emitted,
        price=paid if price is None else Figure(price, "currency/kWh", "stated", "as given"),
    )
