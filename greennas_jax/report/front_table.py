"""What searches of a tabular problem reached after 25, 50, 100 and 200 queries, as text.

Hypervolume of accuracy (up) and log10 cost (down), divided by that of the whole table: from the
accuracy of a network that has learned nothing and the largest cost, and strictly from the medians
of both.

Shapes: n queries, N networks.
"""

from typing import Any, NamedTuple

import moocore
import numpy as np

BUDGETS = (25, 50, 100, 200, 400)


class Reference(NamedTuple):
    """A reference point and the hypervolume of the whole table from it."""

    accuracy: float
    log_cost: float
    whole: float


def hypervolume(accuracy: np.ndarray, log_cost: np.ndarray, reference: tuple) -> float:
    """Return the area that points [n] dominate from (accuracy, log cost)."""
    points = np.stack([-np.asarray(accuracy), np.asarray(log_cost)], axis=1)
    corner = np.asarray([-reference[0], reference[1]])
    inside = (points < corner).all(axis=1)
    return float(moocore.hypervolume(points[inside], ref=corner)) if inside.any() else 0.0


def references(problem: Any) -> dict[str, Reference]:
    """Return the wide and the strict reference of a problem."""
    accuracy, log_cost = problem.accuracy, np.log10(problem.costs)
    corners = {
        "wide": (problem.floor, float(log_cost.max())),
        "strict": (float(np.median(accuracy)), float(np.median(log_cost))),
    }
    return {
        name: Reference(corner[0], corner[1], hypervolume(accuracy, log_cost, corner))
        for name, corner in corners.items()
    }


def reached(problem: Any, tokens: np.ndarray, budget: int) -> dict[str, float]:
    """Return hypervolumes, and the regret of the best accuracy, of the first queries.

    Args:
      problem: The tabular problem.
      tokens: Queries in order, int32 [n, T].
      budget: How many of them count.
    """
    rows = problem.rows(tokens[:budget])
    accuracy, log_cost = problem.accuracy[rows], np.log10(problem.costs[rows])
    found = {
        name: hypervolume(accuracy, log_cost, reference[:2]) / reference.whole
        for name, reference in references(problem).items()
    }
    return {**found, "regret": float(problem.accuracy.max() - accuracy.max())}


def text(problem: Any, searches: dict[int, np.ndarray]) -> str:
    """Return the means and spreads over seeds at every budget that all reached."""
    least = min(len(tokens) for tokens in searches.values())
    budgets = [budget for budget in BUDGETS if budget <= least] or [least]
    lines = ["queries  seeds  hypervolume      strictly       regret of accuracy"]
    for budget in budgets:
        rows = [reached(problem, tokens, budget) for tokens in searches.values()]
        cells = []
        for name in ("wide", "strict", "regret"):
            values = np.asarray([row[name] for row in rows])
            cells.append(f"{values.mean():.4f}±{values.std():.4f}")
        lines.append(f"{budget:7d} {len(rows):6d}  " + "  ".join(cells))
    return "\n".join(lines)
