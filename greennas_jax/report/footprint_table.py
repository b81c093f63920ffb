"""A footprint as a table: every figure with its unit and where it comes from."""

from collections.abc import Mapping
from typing import Any

from greennas_jax.report import tables, units

_LABELS = {"flops": "operations", "examples": "examples, epochs counted", "pue": "PUE"}
# What is longer than this goes below the tables.
_SHORT = 60


def text(footprint: Mapping[str, Any]) -> str:
    """Return a `greennas.footprint/1` as text: figures, shares and what to know."""
    notes: list[str] = []
    sections = [_heading(footprint), _figures(footprint["figures"], notes)]
    if footprint["subject"] == "deployment":
        sections.append("by 1,000 inferences\n" + _figures(footprint["per_thousand"], notes))
    sections.append("energy by use\n" + _shares(footprint, notes))
    if footprint["subject"] == "training":
        sections.append(_green_ai(footprint))
    sections.append("\n".join(f"[{number}] {note}" for number, note in enumerate(notes, 1)))
    sections.append("\n".join(f"left out: {what}" for what in footprint["left_out"]))
    return "\n\n".join(filter(None, sections))


def _heading(footprint: Mapping[str, Any]) -> str:
    what = footprint["network"] or "published operations"
    return (
        f"{footprint['subject']}: {what} on {footprint['devices']} x {footprint['device']} "
        f"({footprint['dtype']})"
    )


def _figures(figures: Mapping[str, Mapping[str, Any]], notes: list[str]) -> str:
    rows = [("figure", "value", "", "provenance", "from")]
    rows += [_row(name, figure, notes) for name, figure in figures.items()]
    return _columns(rows)


def _columns(rows: list[tuple[str, ...]]) -> str:
    """Return rows as columns, the second flush right and the rest flush left."""
    width = max(len(row[1]) for row in rows)
    return tables.aligned([(row[0], row[1].rjust(width), *row[2:]) for row in rows], len(rows[0]))


def _row(name: str, figure: Mapping[str, Any], notes: list[str]) -> tuple[str, ...]:
    label = _LABELS.get(name, name.replace("_", " "))
    if figure["value"] is None:
        return label, units.UNKNOWN, "", "", _note(figure["reason"], notes)
    value, unit = _shown(figure["value"], figure["unit"])
    return label, value, unit, figure["provenance"], _note(figure["source"], notes)


def _note(source: str, notes: list[str]) -> str:
    """Return a source, or the number of the note that it becomes."""
    if len(source) <= _SHORT:
        return source
    if source not in notes:
        notes.append(source)
    return f"[{notes.index(source) + 1}]"


def _shown(value: float, unit: str) -> tuple[str, str]:
    """Return a number of readable size and its unit."""
    if unit == "t" and value < 1:
        unit, value = "g", 1e6 * value
    if unit in ("MWh", "kWh"):
        unit, value = "Wh", value * {"MWh": 1e6, "kWh": 1e3}[unit]
    if unit == "Wh" and value >= 1e6:
        unit, value = "MWh", value / 1e6
    if value >= 1e15:
        return f"{value:.4g}", unit
    if unit in ("FLOP", "Wh", "g"):
        factor, unit = units.scale([value], unit)
        return units.number(value * factor), unit
    return units.number(value), unit


def _shares(footprint: Mapping[str, Any], notes: list[str]) -> str:
    rows = [("part", "value", "", "share", "from")]
    for name, figure in footprint["energy_parts"].items():
        share = footprint["shares"][name]
        label, value, unit, _, source = _row(name, figure, notes)
        rows.append((label, value, unit, "" if share is None else f"{100 * share:.1f} %", source))
    return _columns(rows)


def _green_ai(footprint: Mapping[str, Any]) -> str:
    """Return the line of Green AI, one example x data x experiments, and the rule of thumb's."""
    green = footprint["green_ai"]
    one, data, total, energy, carbon = (
        _number(green[key]) for key in ("flops_of_one", "data", "flops", "energy", "carbon")
    )
    article = "an" if green["of_one"] == "example" else "a"
    runs = f"{green['experiments']} experiment{'' if green['experiments'] == 1 else 's'}"
    check = footprint["checks"]["flops_per_parameter_and_token"]
    ratio = _number(check)
    why = check["reason"] if check["value"] is None else check["source"]
    return (
        f"Green AI (E x D x H): {one} {article} {green['of_one']} x {data} {green['of_one']}s x "
        f"{runs} = {total}, {energy}, {carbon}\n"
        f"operations per parameter and token: {ratio} ({why})"
    )


def _number(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return units.UNKNOWN
    return " ".join(filter(None, _shown(figure["value"], figure["unit"])))
