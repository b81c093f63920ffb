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
from typing import Any, NamedTuple, TypeVar

from greennas_jax.costs import figures
from greennas_jax.costs.provenance import Figure
from greennas_jax.spec import text_files
from greennas_jax.spec.network import shown

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
    stated = read_table("intensity.json")
    where = "intensity.json"
    sources = _of(dict, stated.get("sources"), f"{where}: 'sources'")
    rows = _of(list, stated.get("countries"), f"{where}: 'countries'")
    found = tuple(
        _country(_of(dict, row, f"{where}: country {number}"), sources, f"{where}: {number}")
        for number, row in enumerate(rows)
    )
    if not any(row.name == WORLD for row in found):
        raise GridError(f"{where}: no country '{WORLD}', which stands for those not given")
    return found


def _country(row: dict[str, Any], sources: dict[str, Any], where: str) -> Country:
    """Return the country that a row of the table states."""
    years = {}
    for year, entry in sorted(_of(dict, row.get("years"), f"{where}: 'years'").items()):
        place = f"{where}: '{year}'"
        if not (year.isdecimal() and len(year) == 4):
            raise GridError(f"{place} is no year of four digits")
        entry = _of(dict, entry, place)
        source = sources.get(_of(str, entry.get("source"), f"{place}: 'source'"))
        value = text_files.number(entry.get("value"), f"{place}: 'value'")
        if value < 0:
            raise GridError(f"{place}: 'value' is {value:g}; a number from 0 needed")
        years[int(year)] = value, _of(str, source, f"{place}: what 'source' names")
    if not years:
        raise GridError(f"{where}: 'years' is empty; one at least needed")
    also = _of(list, row.get("also"), f"{where}: 'also'")
    return Country(
        name=_of(str, row.get("name"), f"{where}: 'name'"),
        also=tuple(_of(str, word, f"{where}: 'also'") for word in also),
        years=years,
    )


@functools.cache
def datacentres() -> Mapping[str, Datacentre]:
    """Return the sites of the table, by name."""
    found = {}
    for name, entry in read_table("datacentres.json").items():
        entry = _of(dict, entry, f"datacentres.json: '{name}'")
        pue, intensity = entry.get("pue"), entry.get("intensity")
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


def read_table(name: str) -> dict[str, Any]:
    """Return a table of the folder, an object.

    Raises:
      ValueError: If it is none, or no JSON within the limits.
      OSError: If it cannot be read.
    """
    return _of(dict, text_files.read_json(GRID_FOLDER / name), name)


_Kind = TypeVar("_Kind", dict, list, str)


def _of(kind: type[_Kind], value: Any, where: str) -> _Kind:
    """Return a value of the tables, which must be an object, a list or a text."""
    if not isinstance(value, kind) or value == "":
        needed = {dict: "an object", list: "a list", str: "a text"}[kind]
        raise GridError(f"{where} is {shown(value)}; {needed} needed")
    return value


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

    Examples:
      >>> intensity("Frnace")
      Traceback (most recent call last):
      greennas_jax.costs.grid.GridError: country 'Frnace' is not known; nearest: France...
      >>> intensity().provenance
      'assumed'
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
