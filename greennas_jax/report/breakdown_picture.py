"""What a network's energy is spent on, as a picture."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from greennas_jax.report import breakdown_table, plots, units
from greennas_jax.report.breakdown_table import PARTS

_COLOURS = (plots.BLUE, plots.ORANGE, plots.GREY)
_BAR_INCHES, _AROUND_INCHES = 0.27, 0.9


class Bar(NamedTuple):
    """One bar: its label and the energy of each part [J], in the order of PARTS."""

    label: str
    parts: tuple[float, ...]

    @property
    def total(self) -> float:
        """Return the whole energy [J]."""
        return sum(self.parts)


def draw(path: str | os.PathLike[str], profile: Mapping[str, Any]) -> Figure:
    """Draw the energy of every layer, kind of layer and pass as bars of its parts.

    Layers without energy are left out; of more than MOST_BARS layers the smallest are not drawn,
    but counted in the axis label.

    Args:
      path: The PNG file.
      profile: A `greennas.profile/1`.

    Returns:
      The figure that was written.

    Raises:
      ValueError: If the profile's energy is not known.
      OSError: If the file cannot be written.
    """
    found = profile["breakdown"]
    if found is None or found["total"]["energy_j"] is None:
        reason = "; ".join(profile["reasons"].values())
        raise ValueError(f"no picture of an energy that is not known: {reason}")
    whole = found["total"]["energy_j"]
    bars, absent = bars_of_layers(profile["layers"])
    groups = [("layer", bars), ("kind", _bars(found["kinds"]))]
    if len(found["passes"]) > 1:
        groups.append(("pass", _bars(found["passes"])))
    sizes = [_AROUND_INCHES + _BAR_INCHES * max(len(bars), 2) for _, bars in groups]
    figure, panels = plots.panels(*sizes)
    for (what, bars), axes in zip(groups, panels, strict=True):
        _draw(axes, bars, what, whole)
    if absent:
        share = 100 * sum(bar.total for bar in absent) / whole
        told = f"; {len(absent)} smaller layers, {share:.1f} % together, are not drawn"
        panels[0].set_xlabel(f"{panels[0].get_xlabel()}{told}", fontsize=11)
    figure.suptitle(
        f"{profile['network']} on {profile['device']}, {profile['mode']} of a batch of "
        f"{profile['batch_size']} in {profile['settings']['dtype']}: {units.quantity(whole, 'J')}",
        fontsize=12,
        color=plots.INK,
        parse_math=False,
    )
    handles, labels = panels[0].get_legend_handles_labels()
    style = {"frameon": False, "fontsize": 10.5, "labelcolor": plots.INK}
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), **style)
    plots.save(path, figure)
    return figure


def bars_of_layers(layers: Sequence[Mapping[str, Any]]) -> tuple[list[Bar], list[Bar]]:
    """Return the largest MOST_BARS bars of layers with energy, and the others, in their order."""
    bars = [_bar(layer["name"], breakdown_table.of_layer(layer)) for layer in layers]
    bars = [bar for bar in bars if bar.total > 0]
    order = sorted(range(len(bars)), key=lambda row: -bars[row].total)
    shown, others = sorted(order[: plots.MOST_BARS]), sorted(order[plots.MOST_BARS :])
    return [bars[row] for row in shown], [bars[row] for row in others]


def _bars(amounts: Mapping[str, Mapping[str, Any]]) -> list[Bar]:
    bars = [_bar(name.replace("_", " "), of) for name, of in amounts.items()]
    return [bar for bar in bars if bar.total > 0]


def _bar(label: str, amounts: Mapping[str, Any]) -> Bar:
    return Bar(label, tuple(amounts[key] or 0.0 for key, _ in PARTS))


def _draw(axes: Axes, bars: Sequence[Bar], what: str, energy: float) -> None:
    """Draw bars of stacked parts, each with its share of the whole energy at its end."""
    factor, unit = units.scale([bar.total for bar in bars], "J")
    places, left = np.arange(len(bars)), np.zeros(len(bars))
    for index, ((_, label), colour) in enumerate(zip(PARTS, _COLOURS, strict=True)):
        width = np.array([bar.parts[index] * factor for bar in bars])
        axes.barh(places, width, left=left, height=0.74, color=colour, label=label)
        left = left + width
    top = float(left.max(initial=0.0)) or 1.0
    for place, (end, bar) in enumerate(zip(left.tolist(), bars, strict=True)):
        note = f"{100 * bar.total / energy:.1f} %"
        axes.text(end + 0.008 * top, place, note, va="center_baseline", fontsize=9, color=plots.INK)
    labels = [plots.short(bar.label) for bar in bars]
    axes.set_yticks(places, labels, fontsize=9.5, parse_math=False)
    axes.set_xlim(0, 1.1 * top)
    axes.set_ylim(max(len(bars), 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"energy by {what} [{unit}]", fontsize=11)
