"""Measured layers as CSV text: one layer a row, in the columns of `COLUMNS`.

Empty cells do not apply to the layer's type; an empty `power_w` means that nobody knows it, and
`power_source` then says why. A row that cannot be true is left out and reported by its line.
"""

import csv
import dataclasses
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.measure import cases
from greennas_jax.measure.cases import Case
from greennas_jax.spec import text_files
from greennas_jax.spec.network import shown

OF_CASE = tuple(field.name for field in dataclasses.fields(Case))
_TEXT = ("type", "mode", "dtype", "padding")
COLUMNS = (*OF_CASE, "runtime_ms", "runtime_spread", "power_w", "power_source")
# A median whose samples differ by more than half of it is no measurement.
MOST_SPREAD = 0.5
MOST_BAD_SHARE = 0.1


class MeasurementError(ValueError):
    """A file of measurements cannot be used; the message says what is wrong and where."""


class Measurement(NamedTuple):
    """One measured layer.

    Attributes:
      case: The layer.
      runtime_ms: Time of a call [ms].
      runtime_spread: Robust standard deviation of the samples, as a share of the time.
      power_w: Mean power meanwhile [W]; None where it is not known.
      power_source: The meter, or why the power is not known.
    """

    case: Case
    runtime_ms: float
    runtime_spread: float
    power_w: float | None
    power_source: str


class Found(NamedTuple):
    """What a file holds.

    Attributes:
      rows: Its credible rows.
      bad: One line for every row that was left out.
    """

    rows: tuple[Measurement, ...]
    bad: tuple[str, ...]


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{name}' is {shown(text)}; a number needed") from None


def _whole(text: str, name: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"'{name}' is {shown(text)}; a whole number needed")
    return int(text)


def _case(row: Mapping[str, str]) -> Case:
    values: dict[str, Any] = {}
    for name in OF_CASE:
        text = (row[name] or "").strip()
        if text:
            values[name] = text if name in _TEXT else _whole(text, name)
    missing = [
        name for name in ("type", "batch", "in_channels", "out_channels") if name not in values
    ]
    if missing:
        raise ValueError(f"'{missing[0]}' is empty")
    return Case(**values)


def parse(row: Mapping[str, str]) -> Measurement:
    """Return the measurement that a row of text states.

    Raises:
      ValueError: If it cannot be true.
    """
    case = _case(row)
    cases.network(case)
    time, spread = (_number(row[name], name) for name in ("runtime_ms", "runtime_spread"))
    if not (math.isfinite(time) and time > 0):
        raise ValueError(f"'runtime_ms' is {time:g}; a finite number above 0 needed")
    if not 0 <= spread <= MOST_SPREAD:
        raise ValueError(f"'runtime_spread' is {spread:g}; a share from 0 to {MOST_SPREAD} needed")
    watts, source = None, (row["power_source"] or "").strip()
    if (row["power_w"] or "").strip():
        watts = _number(row["power_w"], "power_w")
        if not (math.isfinite(watts) and watts > 0):
            raise ValueError(f"'power_w' is {watts:g}; a finite number above 0, or nothing, needed")
    elif not source:
        raise ValueError("'power_w' is empty, and 'power_source' does not say why")
    return Measurement(case, time, spread, watts, source)


def read(text: str, *, origin: str = "<text>") -> Found:
    """Return the measurements of a CSV text.

    Raises:
      MeasurementError: If columns are missing, or more than a tenth of the rows cannot be true.
    """
    reader = csv.DictReader(io.StringIO(text), restval="")
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise MeasurementError(
            f"{origin}: columns are missing: {', '.join(missing)}; needed: {', '.join(COLUMNS)}"
        )
    rows, bad = [], []
    try:
        for row in reader:
            try:
                rows.append(parse(row))
            except ValueError as error:
                bad.append(f"{origin}, line {reader.line_num}: {error}")
    except csv.Error as error:
        raise MeasurementError(f"{origin}, line {reader.line_num}: {error}") from None
    if not rows and not bad:
        raise MeasurementError(f"{origin}: no rows")
    if len(bad) > MOST_BAD_SHARE * (len(rows) + len(bad)):
        raise MeasurementError(
            f"{len(bad)} of {len(rows) + len(bad)} rows cannot be true, more than a tenth; the "
            f"first: {bad[0]}"
        )
    return Found(tuple(rows), tuple(bad))


def load(path: str | os.PathLike[str]) -> Found:
    """Return the measurements of a CSV file.

    Raises:
      MeasurementError: As `read`, or if the file is not text.
      OSError: If it cannot be read.
    """
    try:
        text = text_files.read(path)
    except text_files.FileError as error:
        raise MeasurementError(str(error)) from None
    return read(text, origin=os.fspath(path))


def cells(row: Measurement) -> dict[str, str]:
    """Return a measurement's cells by column, numbers in full precision."""
    found = {name: getattr(row.case, name) for name in OF_CASE} | {
        "runtime_ms": row.runtime_ms,
        "runtime_spread": row.runtime_spread,
        "power_w": row.power_w,
        "power_source": row.power_source,
    }
    return {name: "" if value is None else str(value) for name, value in found.items()}


def write(rows: Iterable[Measurement], *, header: bool = True) -> str:
    """Return measurements as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow(cells(row))
    return text.getvalue()


def table(rows: Sequence[Measurement]) -> LayerTable:
    """Return the table of measured layers, one row each, none of which reads a source."""
    return cases.table([row.case for row in rows])
