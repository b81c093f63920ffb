"""Architectures that another search has evaluated: text, accuracy, and a cost it reported.

A CSV file as `table` reads; every architecture is read by the space's own rules, every accuracy is
a share of a known number of examples. Several rows may be one network; they stay rows here.

Shapes: n rows, m networks, T positions.
"""

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from greennas_jax.accuracy import table as tables
from greennas_jax.accuracy.table import Columns, TableError

COLUMNS = Columns(architecture="arch", accuracy="accuracy", cost="reported_energy")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What was evaluated.

    Attributes:
      path: Where it was read.
      tokens: Strings as written, int32 [n, T].
      accuracy: Share of examples that were right, float64 [n].
      reported: The reported cost in the file's own unit, float64 [n].
      examples: Examples that each accuracy was measured on.
    """

    path: str
    tokens: np.ndarray
    accuracy: np.ndarray
    reported: np.ndarray
    examples: int

    @property
    def deviation(self) -> np.ndarray:
        """Standard error of each accuracy, float64 [n]: sqrt(p (1 - p) / examples)."""
        share = np.clip(self.accuracy, 0.5 / self.examples, 1 - 0.5 / self.examples)
        return np.sqrt(share * (1 - share) / self.examples)


def load(
    path: str | os.PathLike[str],
    parse: Callable[[str], np.ndarray],
    *,
    examples: int,
    columns: Columns = COLUMNS,
) -> Evaluated:
    """Read what a search evaluated.

    Args:
      path: A file as `tables.load` takes.
      parse: A space's reading of an architecture's text, tokens int32 [T].
      examples: Examples that each accuracy was measured on, from 1.
      columns: Its columns.

    Raises:
      TableError: If the file is no such table, an architecture is of another space, or an accuracy
        is no share; the line is named.
      OSError: If the file cannot be read.
    """
    if examples < 1:
        raise ValueError(f"examples is {examples}; allowed: from 1")
    table = tables.load(path, columns)
    tokens = []
    for text, line, accuracy in zip(table.architectures, table.lines, table.accuracy, strict=True):
        try:
            tokens.append(parse(text))
        except ValueError as error:
            raise TableError(f"{table.path}, line {line}: {error}") from None
        if not 0 <= accuracy <= 1:
            raise TableError(
                f"{table.path}, line {line}: '{columns.accuracy}' is {accuracy:g}; allowed: 0 to 1"
            )
    return Evaluated(
        path=table.path,
        tokens=np.stack(tokens).astype(np.int32),
        accuracy=table.accuracy,
        reported=table.cost,
        examples=examples,
    )
