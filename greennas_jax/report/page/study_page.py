"""The page of a study of many networks on many devices: `study.html`."""

import statistics
import urllib.parse
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from greennas_jax import recurring
from greennas_jax.report import units
from greennas_jax.report.page import elements, run_page, verdict
from greennas_jax.report.page.elements import Child, section, table, tag
from greennas_jax.study import Row

_ABSENT = "-"


def text(rows: Sequence[Row]) -> str:
    """Return the page of a study, one HTML file; it points to the pages of the runs beside it.

    Args:
      rows: One for each pair of a network and a device.
    """
    return elements.document(
        "A study of greener networks: GreenNAS-JAX",
        _head(rows),
        _bars(rows),
        _table(rows),
        _recurring(rows),
        _failures(rows),
        tag("footer", "Made by GreenNAS-JAX; study.csv beside it holds the figures in full."),
    )


def _finished(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.run is not None]


def _report(row: Row) -> Any:
    return row.run.report if row.run is not None else {}


def _name(row: Row) -> str:
    return f"{row.pair.network} on {row.pair.target}"


def _saved(row: Row) -> float | None:
    change = _report(row)["change"]["energy_j"]
    return None if change is None else -change


def _head(rows: Sequence[Row]) -> Element:
    """Return how many networks, devices and verdicts there are, and the median saving."""
    networks = len({row.pair.network for row in rows})
    devices = len({row.pair.target for row in rows})
    done = _finished(rows)
    measured = [row for row in done if _report(row)["accuracy"]["kind"] == "measured"]
    holding = [row for row in measured if _report(row)["accuracy"]["verdict"] == "holds"]
    proxies = [row for row in done if _report(row)["accuracy"]["kind"] == "proxy"]
    cards = [
        _card(
            f"{len(done)} of {len(rows)}",
            "pairs of a network and a device are finished",
        ),
        _card(_median(holding), "less energy, the median where measured accuracy holds"),
        _card(f"{len(holding)} of {len(measured)}", "runs with data hold their accuracy"),
        _card(_median(proxies), "less energy, the median by proxy: accuracy NOT measured"),
    ]
    title = f"{_plural(networks, 'network')} on {_plural(devices, 'device')}"
    return tag(
        "header",
        tag("p", "GreenNAS-JAX, a study", class_="brand"),
        tag("h1", title),
        tag("div", *cards, class_="cards"),
        class_="verdict",
    )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _median(rows: Sequence[Row]) -> str:
    known = [saved for row in rows if (saved := _saved(row)) is not None]
    return f"{100 * statistics.median(known):.1f} %" if known else _ABSENT


def _card(figure: str, words: str) -> Element:
    return tag("div", tag("p", figure, class_="large"), tag("p", words), class_="card")


def _bars(rows: Sequence[Row]) -> Element:
    """Return energy found over energy given of every finished pair, as bars."""
    made = tag("div", class_="ratios")
    for row in _finished(rows):
        report = _report(row)
        energies = [report[side]["totals"]["energy_j"] for side in ("before", "after")]
        change = units.relative_change(*energies)
        shown = [units.quantity(energy, "J") for energy in energies]
        words, style = verdict.of_accuracy(report["accuracy"])
        left = 100.0 if change is None else min(100 * (1 + change), 100.0)
        tip = f"{_name(row)}: {shown[0]} before, {shown[1]} after, {words}"
        made.append(
            tag(
                "div",
                tag("a", _name(row), class_="name", href=_page(row)),
                tag(
                    "span",
                    tag("span", class_=f"left {style}", style=f"width:{left:.2f}%"),
                    class_="ratio",
                ),
                tag("span", f"{shown[0]} {verdict.ARROW} {shown[1]}", class_="value"),
                tag("b", verdict.percentage(change)),
                class_="measure",
                data_tip=tip,
            )
        )
    legend = [
        tag("li", tag("i", class_=f"left {style}"), words)
        for words, style in (("holds", "good"), ("undecided, or not measured", "doubt"))
    ]
    legend.append(tag("li", tag("i", class_="left bad"), "fails"))
    hint = tag("p", "What is left of each batch's predicted energy; all of it is 100 %.")
    return section(
        "Energy before and after", "bars", hint, tag("ul", *legend, class_="legend"), made
    )


def _page(row: Row) -> str:
    # The names were file names: what means something in an address is written otherwise.
    return urllib.parse.quote((row.pair.folder / run_page.NAME).as_posix())


def _table(rows: Sequence[Row]) -> Element:
    header = ["network", "device", "verdict", "energy", "time", "accuracy", "points", "parameters"]
    lines: list[list[Child]] = []
    for row in _finished(rows):
        report = _report(row)
        accuracy = report["accuracy"]
        proxy = accuracy["kind"] == "proxy"
        means = [accuracy[side]["mean"] for side in ("before", "after")]
        shown = [f"{m:.3g}" if proxy else f"{100 * m:.2f} %" for m in means]
        difference = accuracy["difference"]["mean"]
        lines.append(
            [
                row.pair.network,
                row.pair.target,
                verdict.of_accuracy(accuracy)[0],
                verdict.percentage(report["change"]["energy_j"]),
                verdict.percentage(report["change"]["time_ms"]),
                f"{'score ' if proxy else ''}{shown[0]} {verdict.ARROW} {shown[1]}",
                _ABSENT if proxy else f"{100 * difference:+.2f}".replace("-", verdict.MINUS),
                verdict.percentage(report["change"]["parameters"]),
            ]
        )
    notes = [tag("li", f"{_name(row)}: {row.note}") for row in _finished(rows) if row.note]
    found: list[Child] = [table(header, lines, 3)]
    if notes:
        found.append(tag("ul", *notes, class_="hint"))
    provenance = dict.fromkeys(_report(row)["after"]["provenance"] for row in _finished(rows))
    found += [tag("p", line, class_="hint") for line in provenance]
    return section("Figures", "table", *found)


def _recurring(rows: Sequence[Row]) -> Element:
    """Return for each kind of layer which changes recur, by network and device, and in all."""
    done = _finished(rows)
    fates = [recurring.fates(row.run.given, row.run.found) for row in done if row.run is not None]
    parts: list[Child] = []
    for kind in recurring.KINDS:
        counts = [recurring.count(of, kind) for of in fates]
        shown = [(row, c) for row, c in zip(done, counts, strict=True) if c.layers]
        if not shown:
            continue
        lines = [_fate_line(_name(row), counted) for row, counted in shown]
        for device in dict.fromkeys(row.pair.target for row, _ in shown):
            own = [counted for row, counted in shown if row.pair.target == device]
            lines.append(_fate_line(f"all on {device}", recurring.total(own)))
        lines.append(_fate_line("all", recurring.total([counted for _, counted in shown])))
        parts.append(tag("h3", f"Every {kind}"))
        parts.append(table(["", "layers", *recurring.FATES], lines, 1))
    hint = "Share of the given layers; one that is separable and narrower counts for both."
    return section("What recurs", "recurring", tag("p", hint, class_="hint"), *parts)


def _fate_line(name: str, counted: recurring.Count) -> list[Child]:
    cells: list[Child] = [name, f"{counted.layers:,}"]
    for fate in recurring.FATES:
        share = counted.share(fate) or 0.0
        words = f"{100 * share:.0f} %" if share else _ABSENT
        cells.append(tag("span", words, class_="share", style=f"--share:{80 * share:.0f}%"))
    return cells


def _failures(rows: Sequence[Row]) -> Element | None:
    """Return what is not finished, and why; None where everything is."""
    lines: list[list[Child]] = [
        [row.pair.network, row.pair.target, row.status, row.note or _ABSENT]
        for row in rows
        if row.run is None
    ]
    if not lines:
        return None
    header = ["network", "device", "status", "reason"]
    return section("Not finished", "failures", table(header, lines, 4))
