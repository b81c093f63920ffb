"""Charts as SVG: two axes, what is drawn between them, and a legend."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from matplotlib import ticker

from greennas_jax.report.page.elements import Child, tag

WIDTH, HEIGHT = 560.0, 380.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 14.0, 48.0
_STAR = (1.0, 0.4)


class Axis(NamedTuple):
    """One axis.

    Attributes:
      label: What it shows, with the unit.
      low: Its least value.
      high: Its largest value, above the least.
      logarithmic: Whether equal ratios are equally far apart; the least value is then above 0.
      whole: Whether only whole numbers are marked.
    """

    label: str
    low: float
    high: float
    logarithmic: bool = False
    whole: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies from 0 (least) to 1 (largest); others are put at the ends."""
        ends = (self.low, value, self.high)
        low, at, high = (math.log(max(v, 1e-300)) for v in ends) if self.logarithmic else ends
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Return round values to mark."""
        if self.logarithmic and self.high / self.low >= 4:
            decades = math.log10(self.high / self.low)
            parts = (1, 2, 3, 5) if decades < 1.3 else (1, 2, 5) if decades < 2.5 else (1,)
            found = ticker.LogLocator(subs=parts).tick_values(self.low, self.high)
        else:
            steps = ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=self.whole)
            found = steps.tick_values(self.low, self.high)
        edge = 1e-9 * abs(self.high - self.low)
        return [float(v) for v in found if self.low - edge <= v <= self.high + edge]


def around(
    label: str, values: Iterable[float], *, logarithmic: bool = False, margin: float = 0.06
) -> Axis:
    """Return an axis that holds some values with a margin; at least one value is needed."""
    known = list(values)
    low, high = min(known), max(known)
    if logarithmic:
        ratio = max((high / low) ** margin, 1.05)
        return Axis(label, low / ratio, high * ratio, logarithmic=True)
    wide = margin * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(label, low - wide, high + wide)


class Chart:
    """A chart that marks are added to; places are given in the units of its axes."""

    def __init__(self, x: Axis, y: Axis, title: str):
        self.x, self.y = x, y
        self._legend: list[tuple[str, str, str]] = []
        self.picture = tag(
            "svg",
            tag("title", title),
            viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
            role="img",
            class_="chart",
        )
        self._draw_axes()

    def across(self, value: float) -> float:
        """Return the picture's x of a value."""
        return _LEFT + self.x.share(value) * (WIDTH - _LEFT - _RIGHT)

    def up(self, value: float) -> float:
        """Return the picture's y of a value."""
        return HEIGHT - _BOTTOM - self.y.share(value) * (HEIGHT - _TOP - _BOTTOM)

    def _draw_axes(self) -> None:
        bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        grid, words = tag("g", class_="grid"), tag("g", class_="ticks")
        for value in self.x.ticks():
            at = self.across(value)
            grid.append(tag("line", x1=at, x2=at, y1=_TOP, y2=bottom))
            words.append(tag("text", _number(value), x=at, y=bottom + 18, text_anchor="middle"))
        for value in self.y.ticks():
            at = self.up(value)
            grid.append(tag("line", x1=_LEFT, x2=right, y1=at, y2=at))
            words.append(tag("text", _number(value), x=_LEFT - 8, y=at + 4, text_anchor="end"))
        middle = (_LEFT + right) / 2
        words.append(tag("text", self.x.label, x=middle, y=HEIGHT - 8, class_="label"))
        turned = f"rotate(-90 15 {(_TOP + bottom) / 2:g})"
        words.append(
            tag("text", self.y.label, x=15, y=(_TOP + bottom) / 2, transform=turned, class_="label")
        )
        self.picture.extend((grid, words))

    def legend(self, name: str, shape: str, style: str) -> None:
        """Name a kind of mark: its shape (as in `mark`, or "line") and its class."""
        self._legend.append((name, shape, style))

    def line(self, points: Sequence[tuple[float, float]], style: str, *, steps: bool = False):
        """Draw a line through (x, y) points; with steps it first goes across, then up."""
        places = [(self.across(x), self.up(y)) for x, y in points]
        if not places:
            return
        path = [f"M{places[0][0]:.2f} {places[0][1]:.2f}"]
        for x, y in places[1:]:
            path.append(f"H{x:.2f}V{y:.2f}" if steps else f"L{x:.2f} {y:.2f}")
        self.picture.append(tag("path", d="".join(path), class_=f"line {style}"))

    def level(self, value: float, style: str, *, upright: bool = False) -> None:
        """Draw a straight line through all of the chart at a value of y, or of x if upright."""
        x, y = self.x, self.y
        ends = [(value, y.low), (value, y.high)] if upright else [(x.low, value), (x.high, value)]
        self.line(ends, style)

    def mark(self, x: float, y: float, shape: str, style: str, tip: str | None = None) -> None:
        """Draw a point.

        Args:
          x: Its place.
          y: Its place.
          shape: "dot", "cross", "down", "square" or "star".
          style: Its class.
          tip: What is told of it when it is pointed at.
        """
        made = _shape(shape, self.across(x), self.up(y), style)
        if tip is not None:
            made.set("data-tip", tip)
            made.append(tag("title", tip))
        self.picture.append(made)

    def figure(self, caption: str, identity: str) -> Element:
        """Return the chart with its legend and what it says."""
        legend = tag("ul", class_="legend")
        for name, shape, style in self._legend:
            box = tag("svg", viewBox="0 0 20 14", class_="key")
            if shape == "line":
                box.append(tag("path", d="M1 7H19", class_=f"line {style}"))
            else:
                box.append(_shape(shape, 10, 7, style))
            legend.append(tag("li", box, name))
        words: list[Child] = [self.picture, legend, tag("figcaption", caption)]
        return tag("figure", *words, id=identity)


def _shape(shape: str, x: float, y: float, style: str) -> Element:
    if shape == "dot":
        return tag("circle", cx=x, cy=y, r=4.2, class_=f"mark {style}")
    if shape == "square":
        return tag("rect", x=x - 6, y=y - 6, width=12, height=12, class_=f"mark {style}")
    if shape == "cross":
        path = f"M{x - 3.5:.2f} {y - 3.5:.2f}l7 7m0 -7l-7 7"
        return tag("path", d=path, class_=f"mark stroke {style}")
    if shape == "down":
        path = f"M{x - 4.5:.2f} {y - 4:.2f}h9l-4.5 8z"
        return tag("path", d=path, class_=f"mark {style}")
    points = []
    for corner in range(10):
        reach, turn = 11 * _STAR[corner % 2], math.pi * (corner / 5 - 0.5)
        points.append(f"{x + reach * math.cos(turn):.2f},{y + reach * math.sin(turn):.2f}")
    return tag("polygon", points=" ".join(points), class_=f"mark {style}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
