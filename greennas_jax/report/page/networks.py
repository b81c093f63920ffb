"""Given and found network side by side: each layer a block as wide as it is, its energy told."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from greennas_jax.report import comparison, units
from greennas_jax.report.page.elements import section, tag
from greennas_jax.report.page.source import Evidence
from greennas_jax.spec.network import Network

ROW, COMPACT_ROW = 62, 34
MOST_ROOMY = 24
_LANE = 9
_MOST_LANES = 6


class Edge(NamedTuple):
    """A connection between two rows that do not follow each other."""

    start: int
    end: int


def draw(run: Evidence) -> Element:
    """Return both networks, row by row: every given layer, and what became of it."""
    rows = run.report["layers"]
    compact = len(rows) > MOST_ROOMY
    height = COMPACT_ROW if compact else ROW
    owner = comparison.owners(run.given, run.found)
    own = {layer.name: layer.name for layer in run.given.layers}
    widest = max(
        (_width(row) for side in ("before", "after") for row in run.report[side]["layers"]),
        default=1,
    )
    hottest = max(
        (row[key] or 0.0 for row in rows for key in ("energy_before_j", "energy_after_j")),
        default=0.0,
    )
    scale = _Scale(max(widest, 1), hottest or 1.0, height)
    columns = [
        _column(run, "given", run.given, own, scale),
        _column(run, "found", run.found, owner, scale),
    ]
    return section(
        "The networks",
        "networks",
        tag(
            "p",
            "Every block is as wide as its layer's output has channels or features; the warmer its "
            "colour, the more energy the layer takes. Lines at the left are connections that skip "
            "layers.",
            class_="hint",
        ),
        tag("div", *columns, class_="networks compact" if compact else "networks"),
    )


def spelled(description: str) -> str:
    """Return a layer's description with true arrows."""
    return description.replace("->", "\N{RIGHTWARDS ARROW}")


class _Scale(NamedTuple):
    widest: int
    hottest: float
    height: int


def _width(row: Mapping[str, Any]) -> int:
    shape = row.get("output_shape") or [0, 1]
    return int(shape[-1])


def _column(
    run: Evidence, side: str, network: Network, owner: Mapping[str, str], scale: _Scale
) -> Element:
    """Return one network."""
    report, key = run.report, "before" if side == "given" else "after"
    profile = report[key]
    rows = report["layers"]
    wide = {row["name"]: _width(row) for row in profile["layers"]}
    present = [index for index, row in enumerate(rows) if row[key] != comparison.ABSENT]
    follows, edges = _edges(network, owner, {rows[i]["layer"]: i for i in present}, present)
    cells = [
        _layer(row, key, wide.get(row["layer"], 1), scale, flows=index in follows)
        for index, row in enumerate(rows)
    ]
    total = units.quantity(profile["totals"]["energy_j"], "J")
    picture, indent = _arcs(_lanes(edges), len(rows), scale.height)
    count = sum(name in owner for name in wide)
    return tag(
        "div",
        tag("h3", side, tag("span", f"{total}, {count} layers")),
        tag("div", picture, tag("ol", *cells), class_="stack", style=f"padding-left:{indent}px"),
        class_=f"network {side}",
    )


def _layer(row: Mapping[str, Any], key: str, width: int, scale: _Scale, *, flows: bool) -> Element:
    """Return one layer: its block, name, description, energy, and what became of it."""
    if row[key] == comparison.ABSENT:
        gone = row["layer"] if key == "after" else ""
        words = tag("div", tag("b", gone), tag("small", "removed" if gone else ""), class_="words")
        return tag("li", tag("div", class_="lane"), words, class_="gone")
    energy = row[f"energy_{key}_j"]
    share = 0.0 if energy is None else 100 * energy / scale.hottest
    style = f"width:{max(100 * width / scale.widest, 3):.1f}%;--heat:{share:.0f}%"
    changed = key == "after" and not row["change"].startswith("kept")
    shown = units.quantity(energy, "J")
    words = tag(
        "div",
        tag("b", row["layer"]),
        tag("small", spelled(row[key]), class_="what"),
        tag(
            "small",
            tag("span", shown, class_="joules"),
            tag("span", row["change"], class_="chip") if changed else None,
        ),
        class_="words",
    )
    count = row[f"parameters_{key}"]
    tip = f"{row['layer']}: {spelled(row[key])}, {width:,} wide, {shown}, {count:,} parameters"
    lane = tag("div", tag("div", style=style, class_="block"), class_="lane")
    return tag("li", lane, words, class_="flows" if flows else None, data_tip=tip)


def _edges(
    network: Network, owner: Mapping[str, str], place: Mapping[str, int], present: list[int]
) -> tuple[set[int], list[Edge]]:
    """Return the rows that read the row before them, and all other connections."""
    before = dict(zip(present[1:], present, strict=False))
    follows, edges = set(), set()
    for layer in network.layers:
        end = place.get(owner[layer.name])
        for parent in layer.parents:
            start = place.get(owner.get(parent, ""))
            if start is None or end is None or start == end:
                continue
            if before.get(end) == start:
                follows.add(end)
            else:
                edges.add(Edge(start, end))
    return follows, sorted(edges)


def _lanes(edges: list[Edge]) -> list[list[Edge]]:
    """Return connections in lanes within which none overlap, short ones innermost."""
    lanes: list[list[Edge]] = []
    for edge in sorted(edges, key=lambda e: abs(e.end - e.start)):
        low, high = sorted(edge)
        for lane in lanes:
            if all(high <= min(other) or low >= max(other) for other in lane):
                lane.append(edge)
                break
        else:
            lanes.append([edge])
    return lanes


def _arcs(lanes: list[list[Edge]], rows: int, height: int) -> tuple[Element | None, int]:
    """Return the connections as lines beside the blocks, if there are any, and their width."""
    if not lanes:
        return None, 0
    used = min(len(lanes), _MOST_LANES)
    wide = _LANE * used + 12
    # Stretched to the rows' height, which is larger where the page is narrow.
    picture = tag(
        "svg",
        width=wide,
        viewBox=f"0 0 {wide} {rows * height}",
        preserveAspectRatio="none",
        class_="arcs",
    )
    for index, lane in enumerate(lanes):
        x = wide - 12 - _LANE * (index % used)
        for start, end in lane:
            top, bottom = ((row + 0.5) * height for row in (start, end))
            turn = 5 if bottom > top else -5
            path = f"M{wide} {top + turn:g}H{x + 4}Q{x} {top + turn:g} {x} {top + 2 * turn:g}"
            end_at = bottom - turn
            path += f"V{end_at - turn:g}Q{x} {end_at:g} {x + 4} {end_at:g}H{wide - 2}"
            path += f"M{wide - 6} {end_at - 3:g}L{wide - 1} {end_at:g}L{wide - 6} {end_at + 3:g}"
            picture.append(tag("path", d=path))
    return picture, wide
