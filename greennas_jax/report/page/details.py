"""The rest of a page: the network's text to copy, the layers in words, settings and sources."""

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from greennas_jax.report import units
from greennas_jax.report.page import networks
from greennas_jax.report.page.elements import Child, section, table, tag
from greennas_jax.report.page.source import Evidence


def specification(run: Evidence) -> Element:
    """Return the found network's text with a button that copies it."""
    return section(
        "The found network's text",
        "text",
        tag("p", "Paleo's JSON, as in optimized.json.", class_="hint"),
        tag(
            "div",
            tag("button", "Copy", type="button", data_copy="spec"),
            tag("pre", tag("code", run.text, id="spec")),
            class_="copy",
        ),
    )


def figures(run: Evidence) -> Element:
    """Return totals, what became of every layer, the Pareto set, and limits if any."""
    report = run.report
    parts = [
        _folded("Totals", _totals(report), opened=True),
        _folded("What became of every layer", _layers(report)),
        _folded("Pareto set", _pareto(report)),
    ]
    if report.get("limits"):
        parts.append(_folded("Hard limits", _limits(report["limits"]), opened=True))
    return section("Figures", "figures", *parts)


def settings(run: Evidence) -> Element:
    """Return configuration, versions, and where the device's figures come from."""
    report = run.report
    parts = [
        _folded("Configuration", _pairs(_flat(report["config"]))),
        _folded("Versions", _pairs(_flat(report["versions"]))),
        _folded("Where the device's figures come from", _pairs(_flat(report["after"]["sources"]))),
        _folded("Provenance of energy and time", tag("p", report["after"]["provenance"])),
    ]
    data = report["accuracy"].get("data")
    if data:
        parts.append(_folded("Data", _pairs(_flat(data))))
    measured = report.get("measured") or {}
    if measured.get("before") is not None:
        parts.append(_folded("Measured here", _pairs(_flat(measured))))
    elif measured.get("reason"):
        parts.append(_folded("Measured here", tag("p", f"Not measured: {measured['reason']}")))
    return section("Settings and sources", "settings", *parts)


def _folded(title: str, content: Element, *, opened: bool = False) -> Element:
    return tag("details", tag("summary", title), content, open="" if opened else None)


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return nested values as (dotted path, text) pairs."""
    if isinstance(value, Mapping):
        return [
            pair for key, one in value.items() for pair in _flat(one, f"{path}.{key}".lstrip("."))
        ]
    if isinstance(value, list):
        value = ", ".join(map(str, value)) if value else "none"
    return [(path, "-" if value is None else str(value))]


def _pairs(pairs: list[tuple[str, str]]) -> Element:
    return table(["name", "value"], [list(pair) for pair in pairs], 2)


_TOTALS = (
    ("time", "time_ms", "s", 1e-3),
    ("energy", "energy_j", "J", 1.0),
    ("energy per example", "energy_per_example_j", "J", 1.0),
    ("power", "power_w", "W", 1.0),
    ("operations", "flops", "FLOP", 1.0),
    ("memory traffic", "bytes", "B", 1.0),
    ("parameters", "parameters", "", 1.0),
    ("peak memory", "peak_memory_bytes", "B", 1.0),
)


def _totals(report: Mapping[str, Any]) -> Element:
    rows: list[list[Child]] = []
    for label, key, unit, factor in _TOTALS:
        values = [report[side]["totals"].get(key) for side in ("before", "after")]
        shown = [units.quantity(None if v is None else v * factor, unit) for v in values]
        rows.append([label, *shown, units.percentage(units.relative_change(*values))])
    return table(["", "given", "found", "change"], rows, 1)


def _layers(report: Mapping[str, Any]) -> Element:
    header = ["layer", "change", "given", "found", "energy given", "energy found"]
    rows: list[list[Child]] = []
    for row in report["layers"]:
        energies = [units.quantity(row[f"energy_{s}_j"], "J") for s in ("before", "after")]
        counts = [f"{row[f'parameters_{s}']:,}" for s in ("before", "after")]
        words = [networks.spelled(row[side]) for side in ("before", "after")]
        rows.append([row["layer"], row["change"], *words, *energies, *counts])
    return table([*header, "parameters given", "parameters found"], rows, 4)


def _pareto(report: Mapping[str, Any]) -> Element:
    proxy = report["accuracy"].get("kind") == "proxy"
    rows: list[list[Child]] = []
    for row in report["pareto"]:
        accuracy = row["accuracy"]
        mean, error = accuracy["mean"], accuracy["standard_error"]
        told = f"{mean:.4g}" if proxy else f"{100 * mean:.2f} % ± {100 * error:.2f}"
        chosen = " (chosen)" if row["chosen"] else ""
        time = units.quantity(1e-3 * row["time_ms"], "s")
        rows.append(
            [
                f"{row['file']}{chosen}",
                units.quantity(row["energy_j"], "J"),
                time,
                f"{row['parameters']:,}",
                told,
                f"{accuracy['trainings']}",
            ]
        )
    score = "proxy score" if proxy else "validation accuracy"
    return table(["file", "energy", "time", "parameters", score, "trainings"], rows, 1)


def _limits(limits: Mapping[str, Any]) -> Element:
    rows: list[list[Child]] = [
        [r["name"], *(f"{r[key]:,.6g}" for key in ("most", "before", "after")), _met(r["met"])]
        for r in limits["targets"]
    ]
    return table(["limit", "at most", "given", "found", "met"], rows, 1)


def _met(met: bool) -> str:
    return "yes" if met else "NO"
