"""Architectures whose accuracy and cost are known from a table: a file instead of training.

A CSV file (plain or gzip), or Parquet where pyarrow is installed; one row for each architecture.
Nothing in it is believed unread: every row has every declared figure, and no architecture twice.

Shapes: n rows.
"""

import csv
import dataclasses
import gzip
import importlib
import io
import math
import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from greennas_jax.spec import limits
from greennas_jax.spec.network import shown

# Columns that a message names.
_MOST_NAMED = 12
_LONGEST = 60


class TableError(ValueError):
    """A table is not usable; the message says where and what is allowed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a table's columns.

    Attributes:
      architecture: The architecture's text.
      accuracy: Larger is better.
      cost: Energy or another cost per inference, above 0; smaller is better.
      latency: A further cost that is only reported, or None.
      measured: 1 where a row's figures are its own, 0 where they were copied from an isomorphic
        architecture's; not read where the table has no such column.
    """

    architecture: str = "arch_str"
    accuracy: str
    cost: str
    latency: str | None = None
    measured: str = "own_measurement"

    def names(self) -> tuple[str, ...]:
        """Return the columns that must be there."""
        found = (self.architecture, self.accuracy, self.cost, self.latency)
        return tuple(name for name in found if name is not None)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """The rows of a table.

    Attributes:
      path: Where it was read.
      columns: What was read.
      architectures: Texts, [n].
      lines: Line (of Parquet: row) of each, int64 [n].
      accuracy: float64 [n].
      cost: float64 [n].
      latency: float64 [n] or None.
      measured: Whether the figures are the row's own, bool [n].
    """

    path: str
    columns: Columns
    architectures: tuple[str, ...]
    lines: np.ndarray
    accuracy: np.ndarray
    cost: np.ndarray
    latency: np.ndarray | None
    measured: np.ndarray


def load(path: str | os.PathLike[str], columns: Columns) -> Table:
    """Read a table.

    Args:
      path: A .csv, .csv.gz or .parquet file.
      columns: Which columns mean what.

    Raises:
      TableError: If a column is not there, a row is short, a figure is no number (or a cost not
        above 0), an architecture occurs twice, or no row is there.
      OSError: If the file cannot be read.
    """
    path = os.fspath(path)
    rows = _parquet(path, columns) if path.endswith(".parquet") else _csv(path, columns)
    first: dict[str, int] = {}
    lines: list[int] = []
    measured: list[bool] = []
    figures: dict[str, list[float]] = {name: [] for name in columns.names()[1:]}
    for line, row in rows:
        text = row[columns.architecture]
        if not isinstance(text, str) or not text.strip():
            raise TableError(f"{path}, line {line}: no architecture in '{columns.architecture}'")
        text = text.strip()
        if text in first:
            raise TableError(
                f"{path}, line {line}: architecture {shown(text)} is on line {first[text]} already"
            )
        first[text] = line
        lines.append(line)
        measured.append(_flag(path, line, columns.measured, row.get(columns.measured, "1")))
        for name, values in figures.items():
            values.append(_number(path, line, name, row[name], name in _costs(columns)))
    if not lines:
        raise TableError(f"{path}: no rows")
    arrays = {name: np.asarray(values) for name, values in figures.items()}
    return Table(
        path=path,
        columns=columns,
        architectures=tuple(first),
        lines=np.asarray(lines),
        accuracy=arrays[columns.accuracy],
        cost=arrays[columns.cost],
        latency=None if columns.latency is None else arrays[columns.latency],
        measured=np.asarray(measured),
    )


def _costs(columns: Columns) -> tuple[str | None, ...]:
    return columns.cost, columns.latency


def _number(path: str, line: int, name: str, value: object, positive: bool) -> float:
    """Return a finite number, above 0 where asked."""
    try:
        found = float(value)  # pyright: ignore[reportArgumentType] -- what is no number is told
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or (positive and found <= 0):
        allowed = "a number above 0" if positive else "a number"
        raise TableError(f"{path}, line {line}: '{name}' is {shown(value)}; allowed: {allowed}")
    return found


def _flag(path: str, line: int, name: str, value: object) -> bool:
    """Return whether a row's figures are its own."""
    if str(value) not in ("0", "1", "True", "False"):
        raise TableError(f"{path}, line {line}: '{name}' is {shown(value)}; allowed: 0 or 1")
    return str(value) in ("1", "True")


def _brief(column: str) -> str:
    """Return a column's name as it stands, or as a short text of one line where it is strange."""
    return column if column.isprintable() and len(column) <= _LONGEST else shown(column)


def _check_columns(path: str, present: list[str], columns: Columns) -> None:
    for name in columns.names():
        if name not in present:
            told = ", ".join(map(_brief, present[:_MOST_NAMED]))
            more = len(present) - _MOST_NAMED
            told += f" and {more} more" if more > 0 else ""
            raise TableError(f"{path}: no column '{name}'; it has {told}")


def _csv(path: str, columns: Columns) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield the line number and the values of each row of a CSV file."""
    opener = gzip.open if path.endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            data = file.read(limits.LARGEST_TABLE + 1)
        if len(data) > limits.LARGEST_TABLE:
            raise TableError(
                f"{path}: larger than {limits.LARGEST_TABLE} bytes, the most that is read"
            )
        reader = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
        _check_columns(path, list(reader.fieldnames or ()), columns)
        for row in reader:
            width = len(reader.fieldnames or ())
            if None in row or None in row.values():
                raise TableError(
                    f"{path}, line {reader.line_num}: not {width} values, as many as columns"
                )
            yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(f"{path}: not a CSV file ({error})") from None


def _parquet(path: str, columns: Columns) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield the row number, from 1, and the values of each row of a Parquet file."""
    if not pathlib.Path(path).exists():
        raise FileNotFoundError(2, "No such file or directory", path)
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise TableError(
            f"{path}: Parquet needs pyarrow, which is not installed; a .csv or .csv.gz file "
            "needs nothing"
        ) from None
    file = parquet.ParquetFile(path)
    _check_columns(path, list(file.schema_arrow.names), columns)
    wanted = {*columns.names(), columns.measured} & set(file.schema_arrow.names)
    rows = file.read(columns=sorted(wanted)).to_pylist()
    yield from enumerate(rows, 1)
