"""Quantities as short texts: a number of readable size with its SI prefix and unit."""

import math
from collections.abc import Iterable

PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
UNKNOWN = "unknown"


def scale(values: Iterable[float | None], unit: str) -> tuple[float, str]:
    """Return the factor and the prefixed unit that suit the largest of some values.

    Args:
      values: Values in `unit`; unknown ones (None) count as none.
      unit: A unit without prefix, for example "J".

    Returns:
      (factor, unit) such that `value * factor` is in that unit and the largest lies from 1 to 1000.
    """
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return 1.0, unit
    # Rounded as it is shown, so that 999.96 becomes 1.00 of the next prefix and not 1000.
    power = 3 * math.floor(math.log10(float(f"{largest:.3g}")) / 3)
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    return 10.0**-power, f"{PREFIXES[power]}{unit}"


def number(value: float) -> str:
    """Return a number with three significant digits, or whole above that, without exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(float(f"{abs(value):.3g}")))
    return f"{value:,.{min(max(digits, 0), 12)}f}"


def quantity(value: float | None, unit: str, reason: str | None = None) -> str:
    """Return a value with a suitable prefix and its unit, for example "2.31 mJ".

    Args:
      value: The value in `unit`, or None where it is unknown.
      unit: A unit without prefix; the empty string for a count, shown whole with commas.
      reason: Why the value is unknown.
    """
    if value is None:
        return f"{UNKNOWN} ({reason})" if reason else UNKNOWN
    if not unit:
        return f"{value:,.0f}"
    factor, prefixed = scale([value], unit)
    return f"{number(value * factor)} {prefixed}"


def relative_change(before: float | None, after: float | None) -> float | None:
    """Return (after - before) / before, or None where either is unknown or before is zero."""
    if before is None or after is None or before == 0:
        return None
    return (after - before) / before


def percentage(fraction: float | None) -> str:
    """Return a signed fraction in percent, for example "-41.3 %"."""
    if fraction is None:
        return UNKNOWN
    shown = f"{100 * fraction:+.1f} %"
    return "0.0 %" if shown in ("+0.0 %", "-0.0 %") else shown


def duration(seconds: float) -> str:
    """Return a time [s] as a short text, for example "42 s", "12 min" or "3.4 h"."""
    if seconds < 120:
        return quantity(seconds, "s")
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
