"""Measurements written down as they are made, so that the same request goes on where it stopped."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from greennas_jax.measure import measurements
from greennas_jax.measure.measurements import Measurement
from greennas_jax.report import files
from greennas_jax.spec import text_files

MARK = "# request "


def open_for(path: str | os.PathLike[str], request: Mapping[str, Any]) -> list[Measurement]:
    """Return what a journal holds for a request, and make it ready for more.

    Args:
      path: The journal; created where missing.
      request: JSON value of everything that decides what is measured.

    Raises:
      ValueError: If the journal is another request's.
      OSError: If it cannot be written.
    """
    target = pathlib.Path(path)
    head = MARK + json.dumps(request, sort_keys=True) + "\n" + measurements.write([])
    if not target.exists():
        files.write_text(target, head)
        return []
    text = text_files.read(target)
    # A last line without its end was cut off by a kill.
    whole = text[: text.rfind("\n") + 1]
    if not whole.startswith(head):
        raise ValueError(
            f"{os.fspath(path)} is the journal of another request: {_told(whole, request)}; "
            "remove it, or choose another --out"
        )
    if whole != text:
        files.write_text(target, whole)
    rows = whole[len(head) :]
    if not rows:
        return []
    return list(measurements.read(measurements.write([]) + rows, origin=os.fspath(path)).rows)


def _told(whole: str, request: Mapping[str, Any]) -> str:
    """Return in what a journal's request differs."""
    first = whole.partition("\n")[0]
    try:
        stated = json.loads(first.removeprefix(MARK))
        names = sorted(stated.keys() | request.keys())
        changed = [name for name in names if stated.get(name) != request.get(name)]
        name = changed[0]
        return f"'{name}' was {stated.get(name)!r}, is {request.get(name)!r}"
    except (ValueError, AttributeError, IndexError):
        return "its first line is not one of ours"


def append(path: str | os.PathLike[str], row: Measurement) -> None:
    """Add one measurement to a journal, on the disk when this returns."""
    files.append_text(path, measurements.write([row], header=False))
