"""Where the energy goes: arithmetic, data movement and static power, as bars to be pointed at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from greennas_jax.report import breakdown_table, comparison, units
from greennas_jax.report.breakdown_table import PARTS
from greennas_jax.report.page.elements import section, tag
from greennas_jax.report.page.source import Evidence

MOST_ROWS = 40
_STYLES = ("arithmetic", "movement", "static")
Parts = tuple[float, ...]


class Row(NamedTuple):
    """One pair of bars: the parts of the given and of the found network's energy [J]."""

    label: str
    before: Parts
    after: Parts


def draw(run: Evidence) -> Element:
    """Return where the energy of both networks goes, or why that is not known."""
    report = run.report
    found = [report[side].get("breakdown") for side in ("before", "after")]
    if any(part is None or part["total"]["energy_j"] is None for part in found):
        reasons = [r for side in ("before", "after") for r in report[side]["reasons"].values()]
        told = "; ".join(dict.fromkeys(reasons)) or "no reason given"
        return section("Where the energy goes", "energy", tag("p", f"Not known: {told}."))
    totals = [Row("in all", *(_parts(part["total"]) for part in found))]
    groups = [("layer", [*totals, *_of_layers(run)])]
    groups.append(("kind of layer", [*totals, *_of_parts(found, "kinds")]))
    passes = _of_parts(found, "passes")
    if len(passes) > 1:
        groups.append(("pass", [*totals, *passes]))
    choices = [
        tag("input", type="radio", name="by", id=f"by-{i}", checked="" if i == 0 else None)
        for i in range(len(groups))
    ]
    labels = [tag("label", f"by {name}", for_=f"by-{i}") for i, (name, _) in enumerate(groups)]
    share = tag("input", type="checkbox", id="share")
    legend = tag(
        "ul",
        *(tag("li", tag("i", class_=style), name) for style, (_, name) in _legend()),
        class_="legend",
    )
    controls = tag(
        "div", *labels, tag("label", "each bar at full length", for_="share"), class_="controls"
    )
    bars = [_bars(rows) for _, rows in groups]
    return section("Where the energy goes", "energy", *choices, share, controls, legend, *bars)


def _legend() -> Iterable[tuple[str, tuple[str, str]]]:
    return zip(_STYLES, PARTS, strict=True)


def _parts(amounts: Mapping[str, Any]) -> Parts:
    return tuple(amounts[key] or 0.0 for key, _ in PARTS)


def _of_parts(found: Sequence[Mapping[str, Any]], key: str) -> list[Row]:
    none = dict.fromkeys((part for part, _ in PARTS), 0.0)
    names = dict.fromkeys(name for part in found for name in part[key])
    rows = [
        Row(name.replace("_", " "), *(_parts(part[key].get(name, none)) for part in found))
        for name in names
    ]
    return _largest(rows)


def _of_layers(run: Evidence) -> list[Row]:
    """Return the parts by given layer; what was inserted for a layer counts to it."""
    owner = comparison.owners(run.given, run.found)
    own = {layer.name: layer.name for layer in run.given.layers}
    sides = [
        _summed(run.report[key]["layers"], of) for key, of in (("before", own), ("after", owner))
    ]
    none = (0.0,) * len(PARTS)
    rows = [
        Row(row["layer"], *(side.get(row["layer"], none) for side in sides))
        for row in run.report["layers"]
    ]
    return _largest(rows)


def _summed(layers: Sequence[Mapping[str, Any]], owner: Mapping[str, str]) -> dict[str, Parts]:
    """Return the parts of a profile's layers, summed by owner."""
    sums: dict[str, Parts] = {}
    for layer in layers:
        parts = _parts(breakdown_table.of_layer(layer))
        name = owner.get(layer["name"], layer["name"])
        known = sums.get(name, (0.0,) * len(parts))
        sums[name] = tuple(a + b for a, b in zip(known, parts, strict=True))
    return sums


def _largest(rows: list[Row]) -> list[Row]:
    """Return the rows with energy in their order, the smallest of many as one."""
    rows = [row for row in rows if sum(row.before) or sum(row.after)]
    if len(rows) <= MOST_ROWS:
        return rows
    order = sorted(range(len(rows)), key=lambda i: -max(sum(rows[i].before), sum(rows[i].after)))
    shown, rest = sorted(order[: MOST_ROWS - 1]), order[MOST_ROWS - 1 :]
    sides = [[rows[i][side] for i in rest] for side in (1, 2)]
    summed = [tuple(map(sum, zip(*side, strict=True))) for side in sides]
    return [*(rows[i] for i in shown), Row(f"{len(rest)} smaller ones", *summed)]


def _bars(rows: Sequence[Row]) -> Element:
    """Return paired bars; the first row, the whole, has a length scale of its own."""
    whole = [sum(rows[0].before), sum(rows[0].after)]
    longest = max((sum(side) for row in rows[1:] for side in row[1:]), default=0.0) or 1.0
    made = tag("div", class_="bars")
    for index, row in enumerate(rows):
        scale = longest if index else max(whole) or 1.0
        pair = tag("div", class_="pair")
        for side, parts, total in zip(("given", "found"), row[1:], whole, strict=True):
            pair.append(_bar(row.label, side, parts, scale, total))
        style = "row whole" if index == 0 else "row"
        made.append(tag("div", tag("div", row.label, class_="name"), pair, class_=style))
    return made


def _bar(label: str, side: str, parts: Parts, scale: float, total: float) -> Element:
    own = sum(parts)
    told = [
        f"{name} {units.quantity(value, 'J')}"
        for (_, name), value in zip(PARTS, parts, strict=True)
    ]
    share = f"{100 * own / total:.1f} %" if total else "none"
    tip = f"{label}, {side}: {', '.join(told)}; {units.quantity(own, 'J')}, {share} of the network"
    pieces = [
        tag("i", class_=style, style=f"width:{100 * value / own:.2f}%")
        for style, value in zip(_STYLES, parts, strict=True)
        if own and value
    ]
    return tag(
        "div",
        tag("span", side, class_="side"),
        tag(
            "span",
            tag("span", *pieces, class_="parts", style=f"--length:{100 * own / scale:.2f}%"),
            class_="track",
        ),
        tag("span", units.quantity(own, "J"), class_="value"),
        class_=f"bar {side}",
        data_tip=tip,
    )
