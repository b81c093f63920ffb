"""Figures of device and link files: a number, and where it comes from."""

from collections.abc import Collection
from typing import Any

from greennas_jax.spec import limits
from greennas_jax.spec.network import shown

Figure = tuple[float, str]


class DeviceError(ValueError):
    """A device is not known or its file is not valid; the message says what is allowed."""


def figure(entry: Any, where: str, *, zero_allowed: bool) -> Figure:
    """Return the value and the source of a figure, `{"value": number, "source": text}`.

    Args:
      entry: The figure as stated.
      where: The file and the figure, for messages.
      zero_allowed: Whether the value may be zero.

    Raises:
      DeviceError: If it is malformed, out of range, or without a source.
    """
    if not isinstance(entry, dict) or set(entry) != {"value", "source"}:
        raise DeviceError(f'{where} is {shown(entry)}; {{"value": number, "source": text}} needed')
    value, source = entry["value"], entry["source"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DeviceError(f"{where} has value {shown(value)}; a number needed")
    within = limits.SMALLEST_FIGURE <= value <= limits.LARGEST_FIGURE
    if not (within or (zero_allowed and value == 0)):
        least = "0, or one" if zero_allowed else "one"
        raise DeviceError(
            f"{where} has value {shown(value)}; a number needed, {least} from "
            f"{limits.SMALLEST_FIGURE:g} to {limits.LARGEST_FIGURE:g}"
        )
    if not isinstance(source, str) or not source:
        raise DeviceError(f"{where} states no source")
    return float(value), source


def entries(stated: Any, where: str, allowed: Collection[str]) -> dict[str, Any]:
    """Return an object of a device file, each of whose keys is allowed.

    Args:
      stated: The object as stated.
      where: The file and the key, for messages.
      allowed: Its possible keys.

    Raises:
      DeviceError: If it is no object, empty, or has another key.
    """
    if not isinstance(stated, dict) or not stated:
        raise DeviceError(f"{where} is {shown(stated)}; an object of {', '.join(allowed)} needed")
    unknown = [key for key in stated if key not in allowed]
    if unknown:
        raise DeviceError(
            f"{where} has the key {shown(unknown[0])}, not known; allowed: {', '.join(allowed)}"
        )
    return stated
