"""How near searches come to the whole front, query by query, as a picture.

Shapes: Q numbers of queries.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from greennas_jax.report import plots

COLOURS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.RED, "#CC79A7", "#56B4E9", plots.GREY)
# What is nearer than this cannot be told apart on the axis.
NEAREST = 1e-4


class Course(NamedTuple):
    """Hypervolume against queries, over seeds.

    Attributes:
      mean: Share of the whole table's hypervolume, [Q].
      error: Standard error of the mean, [Q].
    """

    mean: np.ndarray
    error: np.ndarray


def draw(
    path: str | os.PathLike[str],
    queries: Sequence[int],
    courses: Mapping[str, Mapping[str, Course]],
) -> Figure:
    """Draw what is missing of the hypervolume against the number of queries.

    Args:
      path: The PNG file.
      queries: Numbers of queries [Q].
      courses: By reference point (one panel each), then by name of the search.

    Returns:
      The figure that was written.

    Raises:
      OSError: If the file cannot be written.
    """
    figure, panels = plots.panels(*([3.6] * len(courses)))
    for axes, (reference, searches) in zip(panels, courses.items(), strict=True):
        for number, (name, course) in enumerate(searches.items()):
            colour = COLOURS[number % len(COLOURS)]
            line = "-" if number < len(COLOURS) else "--"
            missing = np.maximum(1 - course.mean, NEAREST)
            axes.plot(queries, missing, line, color=colour, linewidth=1.8, label=name)
            low, high = missing - course.error, missing + course.error
            low = np.maximum(low, NEAREST)
            axes.fill_between(queries, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=None))
        axes.set_ylabel(f"hypervolume missing,\n{reference}", fontsize=11.5)
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            fontsize=9.5,
            labelcolor=plots.INK,
        )
    panels[-1].set_xlabel("queries", fontsize=12)
    plots.save(path, figure)
    return figure
