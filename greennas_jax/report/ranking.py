"""Search algorithms side by side: what each saved, and whether accuracy held."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from greennas_jax.report import tables
from greennas_jax.spec.network import shown

UNKNOWN = "-"


def row(report: Mapping[str, Any], algorithm: str, seed: int) -> dict[str, Any]:
    """Return one run's figures; those that were not measured are nan or empty.

    Args:
      report: Of schema greennas.report/1.
      algorithm: Who searched.
      seed: Of the run.

    Raises:
      ValueError: If the report lacks a figure, or it is none.
    """
    try:
        return _row(report, algorithm, seed)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"the report of {algorithm}, seed {seed}, is not whole ({type(error).__name__}: "
            f"{shown(str(error))}); remove its report.json and the same command goes on"
        ) from None


def _row(report: Mapping[str, Any], algorithm: str, seed: int) -> dict[str, Any]:
    accuracy, search = report["accuracy"], report["search"]
    error = accuracy["difference"]["standard_error"]
    return {
        "seed": seed,
        "algorithm": algorithm,
        "saved": float(search["recosted_gain"]),
        "verdict": accuracy["verdict"] or "not measured",
        "accuracy": accuracy["kind"],
        "before": float(accuracy["before"]["mean"]),
        "after": float(accuracy["after"]["mean"]),
        "difference": float(accuracy["difference"]["mean"]),
        "standard_error": float("nan") if error is None else float(error),
        "queries": int(search["queries"]),
        "trainings": int(sum(search["trainings"].values())),
        "wall_s": float(search["wall_s"]),
    }


def line(row: Mapping[str, Any]) -> str:
    """Return one run in a line."""
    error = row["standard_error"]
    spread = "" if error != error else f" (standard error {100 * error:.2f})"
    kind = "accuracy" if row["accuracy"] == "measured" else "proxy score"
    return (
        f"seed {row['seed']}, {row['algorithm']}: {100 * row['saved']:.1f} % saved, "
        f"{row['verdict']}, {kind} {100 * row['difference']:+.2f} points{spread}, "
        f"{row['queries']} queries, {row['wall_s']:.0f} s"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return savings by seed and algorithm, their means, and how many runs hold.

    A run whose accuracy did not hold is marked with its verdict's first letter.
    """
    algorithms = list(dict.fromkeys(row["algorithm"] for row in rows))
    found = {(row["algorithm"], row["seed"]): row for row in rows}
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    text = [("saved [%]", *algorithms)]
    text += [
        (f"seed {seed}", *(_cell(found.get((name, seed))) for name in algorithms)) for seed in seeds
    ]
    means, holding, differences = [], [], []
    for name in algorithms:
        own = [row for row in rows if row["algorithm"] == name]
        means.append(f"{100 * statistics.fmean(row['saved'] for row in own):.1f}")
        measured = [row for row in own if row["accuracy"] == "measured"]
        held = sum(row["verdict"] == "holds" for row in measured)
        holding.append(f"{held} of {len(measured)}" if measured else UNKNOWN)
        drop = 100 * statistics.fmean(row["difference"] for row in own)
        differences.append(f"{drop:+.2f}")
    text += [("mean", *means), ("accuracy, points", *differences), ("accuracy holds", *holding)]
    return tables.aligned(text, 1)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return UNKNOWN
    marks = {"holds": "", "not measured": "", "undecided": " u", "fails": " f"}
    return f"{100 * row['saved']:.1f}{marks[row['verdict']]}"
