"""Pictures of a search and of what it found, as PNG files.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), told apart with any colour
vision.
"""

import io
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends import backend_agg
from matplotlib.figure import Figure

from greennas_jax.report import files, units
from greennas_jax.report.comparison import LayerChange

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY, INK = "#9A9A9A", "#333333"
WIDTH_INCHES, DOTS_PER_INCH = 9.0, 200
MOST_BARS = 40
LONGEST_LABEL = 30


class Point(NamedTuple):
    """One query of a search, or one network.

    Attributes:
      cost: Energy (or another cost) in the unit that the axis names, above zero.
      accuracy: Accuracy, or a proxy score, in the unit that the axis names.
      stopped: Whether its training was stopped early, so that its accuracy is no final one.
    """

    cost: float
    accuracy: float
    stopped: bool = False


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in cost and accuracy, cheapest first.

    Points whose training was stopped early, or came to no accuracy, do not count.
    """
    best: list[Point] = []
    finished = (p for p in points if not p.stopped and math.isfinite(p.accuracy))
    for point in sorted(finished, key=lambda p: (p.cost, -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def pareto(
    path: str | os.PathLike[str],
    points: Sequence[Point],
    given: Point,
    chosen: Point | None = None,
    bound: float | None = None,
    guard: float | None = None,
    *,
    cost_label: str,
    accuracy_label: str,
) -> Figure:
    """Draw every query as cost (logarithmic) against accuracy, with the Pareto front.

    Args:
      path: The PNG file.
      points: The queries.
      given: The given network.
      chosen: The network that the search returned.
      bound: Exact lower bound of the cost in the space.
      guard: Least accuracy allowed.
      cost_label: Label of the cost axis with its unit.
      accuracy_label: Label of the accuracy axis with its unit.

    Returns:
      The figure that was written.

    Raises:
      ValueError: If a cost is not positive.
      OSError: If the file cannot be written.
    """
    figure, axes = _figure(5.6)
    named = [given] if chosen is None else [given, chosen]
    _cost_axis(axes, [*(p.cost for p in [*points, *named]), *([] if bound is None else [bound])])
    floor = _floor(points, named, guard)
    inside = [p for p in points if p.accuracy >= floor]
    below = [p._replace(accuracy=floor) for p in points if not p.accuracy >= floor]
    _scatter(axes, [p for p in inside if p.stopped], "stopped early", GREY, "x", 0.45)
    _scatter(axes, [p for p in inside if not p.stopped], "query", BLUE, "o", 0.4)
    _scatter(axes, below, "below the axis", GREY, "v", 0.45)
    best = front([*points, *named])
    axes.step(
        [p.cost for p in best],
        [p.accuracy for p in best],
        where="post",
        color=BLUE,
        linewidth=1.8,
        label="Pareto front",
    )
    if guard is not None:
        axes.axhline(guard, color=RED, linestyle="--", linewidth=1.4, label="accuracy guard")
    if bound is not None:
        axes.axvline(bound, color=INK, linestyle=":", linewidth=1.6, label="exact lower bound")
    axes.plot(given.cost, given.accuracy, **marker("s", ORANGE, 11), label="given network")
    if chosen is not None:
        axes.plot(chosen.cost, chosen.accuracy, **marker("*", GREEN, 19), label="chosen network")
    if below:
        axes.set_ylim(bottom=floor)
    axes.set_xlabel(cost_label, fontsize=12)
    axes.set_ylabel(accuracy_label, fontsize=12)
    _legend(figure, axes)
    save(path, figure)
    return figure


def _floor(points: Sequence[Point], named: Sequence[Point], guard: float | None) -> float:
    """Return the least accuracy drawn in its place; never above that of a named network.

    Broken networks would otherwise squeeze all that lies near the guard into one line.
    """
    accuracies = [p.accuracy for p in [*points, *named] if math.isfinite(p.accuracy)]
    least, most = min(accuracies), max(accuracies)
    if guard is None or most <= guard:
        return least
    floor = guard - 8 * (most - guard)
    return max(least, min(floor, *(point.accuracy for point in named)))


def layer_energy(path: str | os.PathLike[str], changes: Sequence[LayerChange]) -> Figure:
    """Draw the energy of every given layer before and after as paired bars.

    Layers without energy are left out, and beyond MOST_BARS layers the smallest are drawn as one
    pair. Layers of unknown energy are counted in the axis label.

    Args:
      path: The PNG file.
      changes: What became of every layer.

    Returns:
      The figure that was written.

    Raises:
      OSError: If the file cannot be written.
    """
    bars = _bars(changes)
    factor, unit = units.scale([energy for bar in bars for energy in bar[2:]], "J")
    before = np.asarray([bar.before * factor for bar in bars])
    after = np.asarray([bar.after * factor for bar in bars])
    top = float(np.maximum(before, after).max(initial=0.0)) or 1.0
    figure, axes = _figure(1.5 + 0.34 * max(len(bars), 2))
    positions = np.arange(len(bars))
    axes.barh(positions - 0.2, before, height=0.38, color=ORANGE, label="given")
    axes.barh(positions + 0.2, after, height=0.38, color=GREEN, label="found")
    # A column of its own, for which the layout makes room however long the notes are.
    style = {"va": "center_baseline", "fontsize": 10, "color": INK, "parse_math": False}
    for position, bar in enumerate(bars):
        axes.text(1.02, position, bar.note, transform=axes.get_yaxis_transform(), **style)
    axes.set_yticks(positions, [short(bar.label) for bar in bars], fontsize=10, parse_math=False)
    axes.set_xlim(0, 1.02 * top)
    axes.set_ylim(max(len(bars), 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    missing = sum(None in (c.energy_before_j, c.energy_after_j) for c in changes)
    absent = f"; unknown for {missing} layer{'s' if missing > 1 else ''}" if missing else ""
    axes.set_xlabel(f"energy of one batch [{unit}]{absent}", fontsize=12)
    _legend(figure, axes)
    save(path, figure)
    return figure


class _Bars(NamedTuple):
    """One pair of bars: two energies [J], and what became of the layer."""

    label: str
    note: str
    before: float
    after: float


def _bars(changes: Sequence[LayerChange]) -> list[_Bars]:
    """Return the bars of layers whose energy is known and not zero, at most MOST_BARS pairs."""
    rows = [
        _Bars(change.layer, _note(change), change.energy_before_j, change.energy_after_j)
        for change in changes
        if change.energy_before_j is not None and change.energy_after_j is not None
        if change.energy_before_j or change.energy_after_j
    ]
    if len(rows) <= MOST_BARS:
        return rows
    order = sorted(range(len(rows)), key=lambda i: -max(rows[i].before, rows[i].after))
    shown, rest = sorted(order[: MOST_BARS - 1]), order[MOST_BARS - 1 :]
    before, after = sum(rows[i].before for i in rest), sum(rows[i].after for i in rest)
    return [*(rows[i] for i in shown), _Bars(f"{len(rest)} smaller layers", "", before, after)]


def _note(change: LayerChange) -> str:
    """Return what became of a layer in few words; nothing where it is as given."""
    if change.change.startswith("kept"):
        return ""
    return "removed" if change.change == "removed" else change.after


def search_progress(
    path: str | os.PathLike[str],
    history: Sequence[Point],
    given: Point,
    guard: float | None = None,
    bound: float | None = None,
    *,
    cost_label: str,
) -> Figure:
    """Draw the cost of every query in order, and the least cost that met the guard so far.

    Args:
      path: The PNG file.
      history: The queries in order.
      given: The given network; what the search starts from.
      guard: Least accuracy allowed; without it every finished query counts.
      bound: Exact lower bound of the cost in the space.
      cost_label: Label of the cost axis with its unit.

    Returns:
      The figure that was written.

    Raises:
      ValueError: If a cost is not positive.
      OSError: If the file cannot be written.
    """
    figure, axes = _figure(5.0)
    costs = np.asarray([point.cost for point in history])
    meets = np.asarray([feasible(point, guard) for point in history], bool)
    queries = np.arange(1, len(history) + 1)
    extent = [*costs, given.cost, *([] if bound is None else [bound])]
    _cost_axis(axes, extent, vertical=True)
    for drawn, label, colour, marker in (
        (~meets, "below the guard or stopped", GREY, "x"),
        (meets, "meets the guard", BLUE, "o"),
    ):
        style = {"color": colour, "alpha": 0.5, "markersize": 5, "label": label}
        axes.plot(queries[drawn], costs[drawn], marker, **style)
    best = np.minimum.accumulate([given.cost, *np.where(meets, costs, np.inf)])
    axes.step(
        np.arange(len(best)), best, where="post", color=GREEN, linewidth=2, label="best so far"
    )
    axes.axhline(given.cost, color=ORANGE, linestyle="--", linewidth=1.4, label="given network")
    if bound is not None:
        axes.axhline(bound, color=INK, linestyle=":", linewidth=1.6, label="exact lower bound")
    axes.set_xlim(0, 1.01 * max(len(history), 1))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlabel("query", fontsize=12)
    axes.set_ylabel(cost_label, fontsize=12)
    _legend(figure, axes)
    save(path, figure)
    return figure


def feasible(point: Point, guard: float | None) -> bool:
    """Return whether a query ran to its end and meets the guard."""
    return not point.stopped and (guard is None or point.accuracy >= guard)


def save(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a figure to a PNG file, whole or not at all.

    Raises:
      OSError: If the file cannot be written.
    """
    buffer = io.BytesIO()
    # The version of the drawing library is left out, so that equal pictures are equal files.
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    files.write_bytes(path, buffer.getvalue())


def panels(*heights: float) -> tuple[Figure, list[Axes]]:
    """Return an empty figure of the common width, and its axes below each other.

    Args:
      *heights: Height of each axes [inches].
    """
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    backend_agg.FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    found = [figure.add_subplot(grid[index]) for index in range(len(heights))]
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#E4E4E4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=11, color=GREY, labelcolor=INK)
    return figure, found


def _figure(height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of the common width, and its axes."""
    figure, (axes,) = panels(height)
    return figure, axes


def _legend(figure: Figure, axes: Axes) -> None:
    """Put the legend above the axes, where it can hide no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(len(labels), 4),
        frameon=False,
        fontsize=10.5,
        labelcolor=INK,
    )


def marker(shape: str, colour: str, size: float) -> dict:
    """Return the style of a single point that stands out."""
    return {
        "marker": shape,
        "color": colour,
        "markersize": size,
        "markeredgecolor": INK,
        "markeredgewidth": 1.0,
        "linestyle": "none",
        "zorder": 5,
    }


def _scatter(
    axes: Axes, points: Sequence[Point], label: str, colour: str, marker: str, alpha: float
) -> None:
    if points:
        axes.plot(
            [point.cost for point in points],
            [point.accuracy for point in points],
            marker,
            color=colour,
            alpha=alpha,
            markersize=6,
            markeredgewidth=1.2 if marker == "x" else 0,
            label=label,
            clip_on=False,
        )


def _cost_axis(axes: Axes, costs: Sequence[float], *, vertical: bool = False) -> None:
    """Make the cost axis logarithmic, with plain numbers at round places.

    Raises:
      ValueError: If a cost is not positive.
    """
    low, high = min(costs), max(costs)
    if not low > 0:
        raise ValueError(f"cost {low} cannot be drawn on a logarithmic axis; allowed: above 0")
    margin = max((high / low) ** 0.06, 1.05)
    if vertical:
        axes.set_yscale("log")
        axes.set_ylim(low / margin, high * margin)
        axis = axes.yaxis
    else:
        axes.set_xscale("log")
        axes.set_xlim(low / margin, high * margin)
        axis = axes.xaxis
    # Powers of ten alone would leave a narrow range without a single number.
    if high / low < 4:
        axis.set_major_locator(ticker.MaxNLocator(7, steps=[1, 2, 5, 10]))
    else:
        decades = math.log10(high / low)
        subs = (1, 2, 3, 5, 7) if decades < 1.3 else (1, 2, 5) if decades < 4 else (1,)
        axis.set_major_locator(ticker.LogLocator(subs=subs))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def short(name: str) -> str:
    """Return a name cut in its middle where it is too long for a label."""
    if len(name) <= LONGEST_LABEL:
        return name
    kept = (LONGEST_LABEL - 1) // 2
    return f"{name[:kept]}…{name[-kept:]}"
