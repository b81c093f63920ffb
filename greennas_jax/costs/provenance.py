"""Figures that say where they come from."""

import math
from typing import Any, NamedTuple

PROVENANCES = ("predicted", "measured", "assumed", "stated")


class Figure(NamedTuple):
    """A number, its unit and its origin.

    Attributes:
      value: The number; None where nobody knows it.
      unit: Its unit, empty for a plain number.
      provenance: One of `PROVENANCES`: by a model, by a meter, by a stated convention, or as the
        user, the network or a named file states it. Empty where the value is not known.
      source: The model and what went into it, the meter, or the file; where the value is not known,
        why.
    """

    value: float | None
    unit: str
    provenance: str
    source: str

    @property
    def known(self) -> float:
        """Return the value, NaN where it is not known."""
        return math.nan if self.value is None else self.value

    def record(self) -> dict[str, Any]:
        """Return the figure as JSON values; an unknown one has a reason instead of a source."""
        if self.value is None:
            return {"value": None, "unit": self.unit, "provenance": None, "reason": self.source}
        return {**self._asdict(), "value": float(self.value)}


def unknown(unit: str, reason: str) -> Figure:
    """Return a figure that nobody knows, and why."""
    return Figure(None, unit, "", reason)


def predicted(value: float, unit: str, source: str, **parts: Figure) -> Figure:
    """Return a figure reckoned from others; unknown, for the same reason, where one of them is.

    Args:
      value: The number, NaN where a part is unknown.
      unit: Its unit.
      source: How it is reckoned.
      **parts: The figures it is reckoned from; those that are assumed are named in the source.
    """
    missing = [part.source for part in parts.values() if part.value is None]
    if missing:
        return unknown(unit, missing[0])
    assumed = [name for name, part in parts.items() if part.provenance == "assumed"]
    told = f"{source}; assumed: {', '.join(assumed)}" if assumed else source
    return Figure(float(value), unit, "predicted", told)
