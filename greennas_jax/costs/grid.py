"""What electricity emits, by country and year, and what data centres add: tables without a network.

The tables are configs/grid/intensity.json (each value names its source) and
configs/grid/datacentres.json. Emissions are averages over a grid and a year, at the power station's
meter; what a site draws in a given hour, or buys, may differ by far.
"""

import difflib
import functools
import pathlib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from greennas_jax.costs import figures
from greennas_jax.costs.provenance import Figure
from greennas_jax.spec import strict_json

GRID_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "configs" / "grid"
WORLD = "World"
UNIT = "gCO2e/kWh"


class GridError(ValueError):
    """A country or a data centre is not known; the message names the nearest ones."""


class Country(NamedTuple):
    """One row of the table.

    Attributes:
      name: The country's name.
      also: Its codes and other names.
      years: Years in order, each with its intensity [gCO2e/kWh] and where that comes from.
    """

    name: str
    also: tuple[str, ...]
    years: Mapping[int, tuple[float, str]]


class Datacentre(NamedTuple):
    """What is known of a site.

    Attributes:
      name: Its name in the table.
      pue: Power usage effectiveness.
      intensity: What its electricity emits [gCO2e/kWh], None where not stated.
    """

    name: str
    pue: Figure
    intensity: Figure | None


@functools.cache
def countries() -> tuple[Country, ...]:
    """Return the countries of the table."""
    stated = _read("intensity.json")
    sources = stated["sources"]
    return tuple(
        Country(
            name=row["name"],
            also=tuple(row["also"]),
            years={
                int(year): (float(entry["value"]), sources[entry["source"]])
                for year, entry in sorted(row["years"].items())
            },
        )
        for row in stated["countries"]
    )


@functools.cache
def datacentres() -> Mapping[str, Datacentre]:
    """Return the sites of the table, by name."""
    found = {}
    for name, entry in _read("datacentres.json").items():
        pue, intensity = entry["pue"], entry.get("intensity")
        found[name] = Datacentre(
            name=name,
            pue=_figure(pue, "", name, "pue"),
            intensity=_figure(intensity, UNIT, name, "intensity") if intensity else None,
        )
    return found


def _figure(entry: Any, unit: str, name: str, key: str) -> Figure:
    value, source = figures.figure(entry, f"datacentres.json: '{name}.{key}'", zero_allowed=False)
    # A site that stands for the world is a convention, not a statement about one's own.
    return Figure(value, unit, "assumed" if name.startswith("world") else "stated", source)


def _read(name: str) -> Any:
    return strict_json.parse((GRID_FOLDER / name).read_text(encoding="utf-8"))


def country(name: str) -> Country:
    """Return a country by its name or code, in any case and without regard to accents.

    Raises:
      GridError: If it is not in the table; the nearest names are listed.
    """
    by_key = {_key(word): row for row in countries() for word in (row.name, *row.also)}
    found = by_key.get(_key(name))
    if found is None:
        raise GridError(_unknown("country", name, by_key, lambda key: by_key[key].name))
    return found


def intensity(name: str | None = None, year: int | None = None) -> Figure:
    """Return what a country's electricity emits [gCO2e/kWh].

    Args:
      name: The country; the world, as an assumption, where not given.
      year: The year, the table's last where not given; the nearest one known, and said so, where
        the table lacks it.

    Raises:
      GridError: If the country is not in the table.
    """
    row = country(WORLD if name is None else name)
    wanted = max(row.years) if year is None else year
    used = min(row.years, key=lambda known: (abs(known - wanted), -known))
    value, source = row.years[used]
    told = f"{row.name} {used}: {source}"
    if used != wanted:
        told = f"{told}; {wanted} is not in the table, {used} is the nearest year"
    if name is None:
        return Figure(value, UNIT, "assumed", f"no country given: {told}")
    return Figure(value, UNIT, "stated", told)


def datacentre(name: str) -> Datacentre:
    """Return a site by its name in the table, in any case.

    Raises:
      GridError: If it is not in the table; the nearest names, or all, are listed.
    """
    known = datacentres()
    found = known.get(name.lower())
    if found is None:
        raise GridError(_unknown("data centre", name, known, str))
    return found


def _key(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.replace("_", " ")).casefold()
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def _unknown(kind: str, name: str, known: Iterable[str], shown: Any) -> str:
    near = difflib.get_close_matches(_key(name), list(known), n=3, cutoff=0.5)
    listed = list(dict.fromkeys(shown(key) for key in (near or sorted(known))))
    what = "nearest" if near else "allowed"
    return f"{kind} '{name}' is not known; {what}: {', '.join(listed)}"
