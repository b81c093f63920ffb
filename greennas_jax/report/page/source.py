"""What a page is drawn from: the files that every finished run leaves in its workdir."""

import csv
import io
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network

SCHEMA = "greennas.report/1"


class Query(NamedTuple):
    """One row of `history.csv`; what is unknown is None.

    Attributes:
      step: Number of the training, from 0.
      kind: "baseline", "search" or "confirm".
      tokens: The architecture.
      accuracy: Validation accuracy (fraction of 1), or the proxy score.
      cost: Cost of the searched term, in its unit.
      stopped: Whether the training was stopped early.
      expected: Accuracy that was expected of it.
      predicted_cost: Cost that the embedding predicted.
    """

    step: int
    kind: str
    tokens: str
    accuracy: float | None
    cost: float
    stopped: bool
    expected: float | None
    predicted_cost: float | None


class Evidence(NamedTuple):
    """One finished run.

    Attributes:
      report: A `greennas.report/1`.
      queries: Every training, in order.
      given: The given network.
      found: The network that was found.
      text: The found network's text.
    """

    report: Mapping[str, Any]
    queries: list[Query]
    given: Network
    found: Network
    text: str

    @property
    def measured(self) -> bool:
        """Return whether accuracies are measured ones."""
        return self.report["accuracy"].get("kind") != "proxy"


def evidence(report: Mapping[str, Any], history: str, given: str, found: str) -> Evidence:
    """Return a run from the texts of its files.

    Args:
      report: A `greennas.report/1`.
      history: Text of `history.csv`.
      given: Text of the given network.
      found: Text of the found one.

    Raises:
      ValueError: If one of them is not what it should be.
    """
    if report.get("schema") != SCHEMA:
        raise ValueError(f"report.json: schema is {report.get('schema')!r}; {SCHEMA!r} needed")
    networks = [paleo_json.read(text) for text in (given, found)]
    return Evidence(report, _queries(history), networks[0], networks[1], found)


def read(folder: str | os.PathLike[str]) -> Evidence:
    """Return the run that a workdir holds.

    Raises:
      ValueError: If a file is not what it should be.
      OSError: If one is missing.
    """
    place = pathlib.Path(folder)

    def text(name: str) -> str:
        return (place / name).read_text(encoding="utf-8")

    given = json.dumps(json.loads(text("config.json"))["network"])
    return evidence(
        json.loads(text("report.json")), text("history.csv"), given, text("optimized.json")
    )


def _queries(text: str) -> list[Query]:
    def number(cell: str) -> float | None:
        return float(cell) if cell else None

    found = []
    for line, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        try:
            found.append(
                Query(
                    step=int(row["step"]),
                    kind=row["kind"],
                    tokens=row["tokens"],
                    accuracy=number(row["accuracy"]),
                    cost=float(row["cost"]),
                    stopped=row["stopped"] == "1",
                    expected=number(row["expected_accuracy"]),
                    predicted_cost=number(row["predicted_cost"]),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"history.csv, line {line}: not a query ({error})") from None
    return found
