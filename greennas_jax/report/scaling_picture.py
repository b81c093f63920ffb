"""A scaling study as a picture."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from greennas_jax.report import plots, units

# What a step consists of, in the order in which it is drawn from the bottom.
_PARTS = (
    ("forward_ms", "forward", plots.BLUE),
    ("backward_ms", "backward", plots.ORANGE),
    ("update_ms", "update", plots.GREY),
    ("synchronise_ms", "all-reduce", plots.RED),
)


def draw(path: str | os.PathLike[str], study: Mapping[str, Any]) -> Figure:
    """Draw what a step consists of, the speed-up and the energy by the number of workers.

    Args:
      path: The PNG file.
      study: A `greennas.scaling/1`.

    Returns:
      The figure that was written.

    Raises:
      OSError: If the file cannot be written.
    """
    points = sorted(study["points"], key=lambda point: point["workers"])
    known = all(point["energy_j"] is not None for point in points)
    figure, panels = plots.panels(*([3.1] * (3 if known else 2)))
    _draw_step(panels[0], points)
    _draw_speedup(panels[1], points, study["fastest_workers"])
    if known:
        _draw_energy(panels[2], points, study["greenest_workers"])
    labels = [str(point["workers"]) for point in points]
    for axes in panels:
        axes.set_xticks(range(len(points)), labels)
        axes.set_xlim(-0.6, len(points) - 0.4)
        handles, names = axes.get_legend_handles_labels()
        axes.legend(
            handles,
            names,
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            fontsize=10.5,
            labelcolor=plots.INK,
        )
    panels[-1].set_xlabel("workers", fontsize=12)
    plots.save(path, figure)
    return figure


def _draw_step(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    """Draw the share of each part of a step."""
    below = [0.0] * len(points)
    for key, label, colour in _PARTS:
        shares = [100 * point[key] / point["iteration_ms"] for point in points]
        axes.bar(range(len(points)), shares, bottom=below, color=colour, label=label, width=0.7)
        below = [low + share for low, share in zip(below, shares, strict=True)]
    axes.set_ylabel("share of a step [%]", fontsize=12)
    axes.set_ylim(0, 100)


def _draw_speedup(axes: Axes, points: Sequence[Mapping[str, Any]], fastest: int | None) -> None:
    places = range(len(points))
    workers = [point["workers"] for point in points]
    speedups = [point["speedup"] for point in points]
    axes.plot(places, workers, color=plots.INK, linestyle=":", linewidth=1.4, label="perfect")
    axes.plot(places, speedups, "o-", color=plots.BLUE, linewidth=1.8, label="speed-up")
    if fastest in workers:
        place = workers.index(fastest)
        axes.plot(place, speedups[place], **plots.marker("*", plots.BLUE, 17), label="fastest")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_ylabel("speed-up", fontsize=12)


def _draw_energy(axes: Axes, points: Sequence[Mapping[str, Any]], greenest: int | None) -> None:
    """Draw the energy of an example, parted into computing, waiting and the rest of the nodes."""
    energies = [point["energy_per_example_j"] for point in points]
    factor, unit = units.scale(energies, "J")
    below = [0.0] * len(points)
    for key, label, colour in (
        ("busy_j", "computing", plots.GREEN),
        ("waiting_j", "waiting", plots.ORANGE),
        ("host_j", "rest of the nodes", plots.GREY),
    ):
        parts = [factor * point[key] / point["batch_size"] for point in points]
        if any(parts):
            axes.bar(range(len(points)), parts, bottom=below, color=colour, label=label, width=0.7)
        below = [low + part for low, part in zip(below, parts, strict=True)]
    workers = [point["workers"] for point in points]
    place = workers.index(greenest) if greenest in workers else 0
    axes.plot(
        place,
        below[place] + 0.07 * max(below),
        **plots.marker("*", plots.GREEN, 17),
        label="greenest",
    )
    axes.set_ylim(0, 1.18 * max(below))
    axes.set_ylabel(f"energy per example [{unit}]", fontsize=12)
