"""The report of a run: what was given, what was found, and how much of it is known."""

import csv
import dataclasses
import importlib.metadata
import io
import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from greennas_jax.report import units
from greennas_jax.report.comparison import LayerChange
from greennas_jax.spec import text_files

SCHEMA = "greennas.report/1"
TOTALS = ("time_ms", "energy_j", "power_w", "flops", "bytes", "parameters", "peak_memory_bytes")
PACKAGES = ("greennas-jax", "jax", "flax", "optax", "numpy")


def read(path: text_files.Path) -> dict[str, Any]:
    """Return the report that a finished run wrote.

    Raises:
      ValueError: If the file is no report.
      OSError: If it cannot be read.
    """
    report = text_files.read_json(path)
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise ValueError(f"{path}: no report of '{SCHEMA}'; remove it and go on")
    return report


def versions() -> dict[str, str]:
    """Return the versions of the interpreter and the packages that decide a result."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the relative change of each total; None where either is unknown."""
    return {
        name: units.relative_change(before["totals"].get(name), after["totals"].get(name))
        for name in TOTALS
    }


def number(value: float) -> float | None:
    """Return a number as JSON can hold it: None for nan and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)


def payback(before: Mapping, after: Mapping, spent_j: float | None, reason: str) -> dict[str, Any]:
    """Return after how many inferences the search's own energy is repaid.

    Args:
      before: Profile of the given network.
      after: Profile of the found one.
      spent_j: Energy of the search [J], or None.
      reason: Why it is None.
    """
    saved = [profile["totals"]["energy_per_example_j"] for profile in (before, after)]
    if spent_j is None or None in saved:
        return {"payback_inferences": None, "payback_reason": reason}
    if saved[0] <= saved[1]:
        return {"payback_inferences": None, "payback_reason": "no energy is saved"}
    return {
        "payback_inferences": math.ceil(spent_j / (saved[0] - saved[1])),
        "payback_reason": None,
    }


def assemble(
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    accuracy: Mapping[str, Any],
    measured: Mapping[str, Any],
    search: Mapping[str, Any],
    bounds: Mapping[str, Any],
    layers: Sequence[LayerChange],
    pareto: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report as one JSON value; see the README for what its parts mean."""
    return {
        "schema": SCHEMA,
        "before": before,
        "after": after,
        "change": changes_of(before, after),
        "accuracy": accuracy,
        "measured": measured,
        "search": search,
        "bounds": bounds,
        "limits": limits,
        **payback(before, after, search.get("energy_j"), search.get("energy_reason") or ""),
        "layers": [dataclasses.asdict(change) for change in layers],
        "pareto": list(pareto),
        "config": config,
        "versions": versions(),
    }


def history_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of one kind as CSV text, numbers in full precision, unknown ones empty."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if not math.isfinite(value) else repr(value)
    return value
