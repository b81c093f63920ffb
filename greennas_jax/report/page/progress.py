"""The search as charts: its front, its progress, and how far its predictions were right."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import moocore
import numpy as np

from greennas_jax.report import units
from greennas_jax.report.page import charts
from greennas_jax.report.page.charts import Chart
from greennas_jax.report.page.elements import section, tag
from greennas_jax.report.page.source import Evidence, Query

# The searched term: what it is called, its unit, and how much of that one is.
_TERMS = {
    "energy": ("energy", "J", 1.0, "energy_j"),
    "time": ("time", "s", 1e-3, "time_ms"),
    "memory": ("weights and activations", "B", 1.0, "memory_bytes"),
    "parameters": ("parameters", "", 1.0, "parameters"),
}


class Point(NamedTuple):
    """One query, or the mean of an architecture's trainings, in the units of the axes."""

    cost: float
    accuracy: float
    stopped: bool
    tip: str


class Picture(NamedTuple):
    """What all charts of a search share.

    Attributes:
      queries: The queries of the search itself, in order.
      points: The same as points.
      given: The given network's mean.
      chosen: The found network's mean over its later trainings, None where it is the given one.
      guard: Least accuracy allowed.
      bound: Least cost of the space.
      factor: Unit of the cost axis over the term's unit.
      cost_label: Label of the cost axis.
      accuracy_label: Label of the accuracy axis.
    """

    queries: list[Query]
    points: list[Point]
    given: Point
    chosen: Point | None
    guard: float | None
    bound: float | None
    factor: float
    cost_label: str
    accuracy_label: str


def draw(run: Evidence) -> Element:
    """Return the charts of a search, or that it asked for nothing."""
    picture = gather(run)
    if picture is None:
        return section("The search", "search", tag("p", "No query is logged."))
    figures = [pareto(picture), best(picture), volume(picture), predictions(picture, run)]
    return section("The search", "search", tag("div", *figures, class_="figures"))


def gather(run: Evidence) -> Picture | None:
    """Return what the charts are drawn from; None where nothing was queried."""
    report = run.report
    baseline = [query for query in run.queries if query.kind == "baseline"]
    queries = [query for query in run.queries if query.kind == "search"]
    if not baseline or not queries:
        return None
    objective = report["config"]["objective"]
    # The unit of a term that a plugin registers stands in none of the run's files.
    name, unit, one, key = _TERMS.get(objective, (objective, "", 1.0, objective))
    scale, prefixed = units.scale([query.cost * one for query in run.queries], unit)
    factor = one * scale
    share, what = (100.0, "validation accuracy [%]") if run.measured else (1.0, "proxy score [1]")

    def point(many: Sequence[Query], told: str) -> Point:
        accuracy = _mean(query.accuracy for query in many) * share
        cost = many[0].cost * factor
        tip = f"{told}: {units.number(cost)} {prefixed}, "
        tip += f"{accuracy:.2f} %" if run.measured else f"score {accuracy:.4g}"
        if len(many) > 1:
            tip += f", mean of {len(many)} trainings"
        if many[0].stopped:
            tip += ", stopped early"
        if many[0].expected is not None:
            tip += f"; expected {many[0].expected * share:.2f}"
        return Point(cost, accuracy, many[0].stopped, f"{tip}; tokens {many[0].tokens}")

    points = [point([query], f"query {number}") for number, query in enumerate(queries, 1)]
    tokens = report["search"].get("tokens")
    own = [query for query in run.queries if query.tokens == tokens]
    later = [query for query in own if query.kind != "search"] or own
    chosen = None if not own or own[0].kind == "baseline" else point(later, "chosen network")
    threshold, bound = report["search"].get("threshold"), report["bounds"].get(key)
    return Picture(
        queries,
        points,
        point(baseline, "given network"),
        chosen,
        None if threshold is None else threshold * share,
        None if bound is None else bound * factor,
        factor,
        f"predicted {name} of a batch [{prefixed}]" if prefixed else name,
        what,
    )


def _mean(values) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in cost and accuracy, cheapest first."""
    found: list[Point] = []
    finished = [p for p in points if not p.stopped and math.isfinite(p.accuracy)]
    for point in sorted(finished, key=lambda p: (p.cost, -p.accuracy)):
        if not found or point.accuracy > found[-1].accuracy:
            found.append(point)
    return found


def floor(picture: Picture) -> float:
    """Return the least accuracy drawn in its place: broken networks would squeeze all others."""
    named = [p.accuracy for p in (picture.given, picture.chosen) if p is not None]
    known = [p.accuracy for p in picture.points if math.isfinite(p.accuracy)] + named
    guard = picture.guard
    if guard is None or max(known) <= guard:
        return min(known)
    return max(min(known), min(guard - 6 * (max(known) - guard), *named))


def pareto(picture: Picture) -> Element:
    """Return cost against accuracy of every query, with front, guard, bound and the chosen one."""
    least = floor(picture)
    named = [p for p in (picture.given, picture.chosen) if p is not None]
    shown = [p for p in picture.points if math.isfinite(p.accuracy)]
    costs = [p.cost for p in (*shown, *named)] + ([] if picture.bound is None else [picture.bound])
    heights = [p.accuracy for p in (*shown, *named) if p.accuracy >= least]
    heights += [] if picture.guard is None else [picture.guard]
    chart = Chart(
        charts.around(picture.cost_label, costs, logarithmic=True),
        charts.around(picture.accuracy_label, heights),
        "Cost and accuracy of every query",
    )
    _lines(chart, picture, across=True)
    best = front([*picture.points, *named])
    chart.line([(p.cost, p.accuracy) for p in best], "front", steps=True)
    chart.legend("Pareto front", "line", "front")
    kinds = (
        ("stopped early", "cross", "dim", [p for p in shown if p.stopped]),
        ("query", "dot", "query", [p for p in shown if not p.stopped]),
    )
    for name, shape, style, points in kinds:
        for point in points:
            low = point.accuracy < least
            place = least if low else point.accuracy
            chart.mark(point.cost, place, "down" if low else shape, style, point.tip)
        if any(p.accuracy >= least for p in points):
            chart.legend(name, shape, style)
    if any(p.accuracy < least for p in shown):
        chart.legend("below the axis", "down", "dim")
    _named(chart, picture)
    caption = "Every query of the search; point at one for its figures."
    return chart.figure(caption, "pareto")


def _lines(chart: Chart, picture: Picture, *, across: bool) -> None:
    if picture.guard is not None and across:
        chart.level(picture.guard, "guard")
        chart.legend("accuracy guard", "line", "guard")
    if picture.bound is not None:
        chart.level(picture.bound, "bound", upright=across)
        chart.legend("no network of the space costs less", "line", "bound")


def _named(chart: Chart, picture: Picture) -> None:
    given, chosen = picture.given, picture.chosen
    chart.mark(given.cost, given.accuracy, "square", "given", given.tip)
    chart.legend("given network", "square", "given")
    if chosen is not None:
        chart.mark(chosen.cost, chosen.accuracy, "star", "found", chosen.tip)
        chart.legend("chosen network", "star", "found")


def _meets(point: Point, guard: float | None) -> bool:
    return not point.stopped and (guard is None or point.accuracy >= guard)


def best(picture: Picture) -> Element:
    """Return the cost of every query in order, and the least that met the guard so far."""
    points, guard = picture.points, picture.guard
    costs = [p.cost for p in (*points, picture.given)]
    costs += [] if picture.bound is None else [picture.bound]
    chart = Chart(
        charts.Axis("query", 0, max(len(points), 1), whole=True),
        charts.around(picture.cost_label, costs, logarithmic=True),
        "Cost of every query in order",
    )
    _lines(chart, picture, across=False)
    for number, point in enumerate(points, 1):
        meets = _meets(point, guard)
        chart.mark(
            number, point.cost, "dot" if meets else "cross", "query" if meets else "dim", point.tip
        )
    own = [p.cost if _meets(p, guard) else math.inf for p in points]
    least = list(itertools.accumulate([picture.given.cost, *own], min))
    chart.line(list(enumerate(least)), "found", steps=True)
    chart.legend("meets the guard in one training", "dot", "query")
    chart.legend("below the guard, or stopped", "cross", "dim")
    chart.legend("cheapest so far", "line", "found")
    return chart.figure("Where the search looked, query by query.", "best")


def hypervolumes(picture: Picture) -> list[float]:
    """Return after every query the share of the drawn area that the front dominates.

    The area lies below the given network's cost and above the least accuracy drawn, up to the best
    accuracy and down to the least cost known (of the space, or of a query).
    """
    least = floor(picture)
    points = [picture.given, *picture.points]
    counts = np.array([not p.stopped and math.isfinite(p.accuracy) for p in points])
    top = max(p.accuracy for p, counted in zip(points, counts, strict=True) if counted)
    bottom = min(p.cost for p in points) if picture.bound is None else picture.bound
    wide, high = picture.given.cost - bottom, top - least
    if wide <= 0 or high <= 0:
        return [0.0] * len(picture.points)
    # moocore minimises: accuracy is turned round.
    rows = np.array([[p.cost, -p.accuracy] for p in points], float)
    reference = np.array([picture.given.cost, -least])
    found = []
    for count in range(2, len(points) + 1):
        known = rows[:count][counts[:count]]
        area = float(moocore.hypervolume(known, ref=reference)) if len(known) else 0.0
        found.append(area / (wide * high))
    return found


def volume(picture: Picture) -> Element:
    """Return the hypervolume of the front over the queries."""
    found = [100 * value for value in hypervolumes(picture)]
    chart = Chart(
        charts.Axis("query", 0, max(len(found), 1), whole=True),
        charts.Axis("hypervolume of the front [%]", 0, 100),
        "Hypervolume of the front over the queries",
    )
    chart.line([(0, 0.0), *enumerate(found, 1)], "query", steps=True)
    for number, value in enumerate(found, 1):
        tip = f"after query {number}: {value:.1f} %"
        chart.mark(number, value, "dot", "ghost", tip)
    caption = (
        "Share of the area between the given network's cost, the least cost known, the lowest "
        "accuracy drawn above and the best one seen, that the front dominates. Single trainings "
        "count, lucky ones too."
    )
    return chart.figure(caption, "hypervolume")


def predictions(picture: Picture, run: Evidence) -> Element:
    """Return the saving that the embedding predicted of each query against the exact one."""
    cost = picture.given.cost
    pairs = [
        (100 * (1 - p.cost / cost), 100 * (1 - q.predicted_cost * picture.factor / cost), p.tip)
        for q, p in zip(picture.queries, picture.points, strict=True)
        if q.predicted_cost is not None
    ]
    search = run.report["search"]
    own = [search.get(key) for key in ("recosted_gain", "predicted_gain")]
    known = None not in own
    caption = (
        "Saving that the embedding predicted where a query's ascent ended, before decoding, "
        "against the exact one of the network decoded there; on the line they agree."
    )
    if not pairs and not known:
        return tag(
            "figure",
            tag("p", "This search predicted no cost: every cost it used is exact."),
            id="predictions",
        )
    values = [value for pair in pairs for value in pair[:2]]
    values += [100 * value for value in own] if known else []
    axis = charts.around("saving, re-costed exactly [%]", values)
    chart = Chart(axis, axis._replace(label="saving predicted [%]"), "Predicted and exact saving")
    chart.line([(axis.low, axis.low), (axis.high, axis.high)], "bound")
    chart.legend("predicted = exact", "line", "bound")
    for exact, predicted, tip in pairs:
        told = f"predicted {predicted:.1f} %, exact {exact:.1f} %; {tip}"
        chart.mark(exact, predicted, "dot", "query", told)
    if pairs:
        chart.legend("query", "dot", "query")
    if known:
        exact, predicted = (100 * value for value in own)
        told = f"found network: predicted {predicted:.1f} %, exact {exact:.1f} %"
        chart.mark(exact, predicted, "star", "found", told)
        chart.legend("found network", "star", "found")
        caption += f" Of the found network {predicted:.1f} % were predicted, {exact:.1f} % are so."
    return chart.figure(caption, "predictions")
