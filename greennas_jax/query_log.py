"""The log of a search's queries: a CSV file that grows by whole steps and can be continued."""

import csv
import pathlib

import numpy as np

from greennas_jax.report import files
from greennas_jax.search.table_problem import Observed, TableProblem
from greennas_jax.spec import text_files

HEADER = "seed,step,arch_str,accuracy,energy_mj\n"
_FIELDS = 5


def lines(problem: TableProblem, seed: int, observed: Observed, first: int) -> str:
    """Return the lines of the queries from number `first` on; steps count from 1."""
    texts = [problem.texts[row] for row in problem.rows(observed.tokens[first:])]
    return "".join(
        f"{seed},{step + 1},{text},"
        f"{float(observed.accuracy[step])!r},{float(observed.cost[step])!r}\n"
        for step, text in enumerate(texts, first)
    )


def read(path: pathlib.Path, problem: TableProblem) -> dict[int, Observed]:
    """Return the logged queries by seed, in order; a line that was cut off is dropped.

    Raises:
      ValueError: If the file is not such a log.
    """
    if not path.exists():
        return {}
    text = text_files.read(path)
    rows = text[: text.rfind("\n") + 1].splitlines()
    if rows and rows[0] + "\n" != HEADER:
        raise ValueError(f"{path}: its first line is not {HEADER.strip()}")
    tokens: dict[int, list[np.ndarray]] = {}
    for number, row in enumerate(csv.reader(rows[1:]), 2):
        try:
            if len(row) != _FIELDS:
                raise ValueError(f"{len(row)} values")
            tokens.setdefault(int(row[0]), []).append(
                problem.space.canonical(problem.space.parse(row[2]))[0]
            )
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a logged query ({error})") from None
    return {seed: problem.query(np.stack(found)) for seed, found in tokens.items()}


def rewrite(path: pathlib.Path, problem: TableProblem, kept: dict[int, Observed]) -> None:
    """Write the log of some seeds' queries anew."""
    body = "".join(lines(problem, seed, observed, 0) for seed, observed in kept.items())
    files.write_text(path, HEADER + body)
