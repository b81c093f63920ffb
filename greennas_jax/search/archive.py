"""Every query of a search, in order, and what is known of each architecture from them.

Shapes: n queries, A distinct architectures, T tokens.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

Key = bytes


class Query(NamedTuple):
    """One training (or one proxy score) of one architecture.

    Attributes:
      tokens: int32 [T].
      seed: Seed of the training.
      kind: "baseline", "search" or "confirm".
      accuracy: Validation accuracy (fraction of 1), or the proxy score.
      cost: Exact cost of the searched term, in its unit.
      stopped: Whether the training was stopped early.
      expected: Accuracy the model expected (nan where it had none).
      spread: Standard deviation of that expectation (nan where it had none).
      predicted_cost: Cost the embedding predicted (nan where it had none).
      restarts: How often the training began anew, because its numbers were no longer finite.
      diverged: Whether they were not finite in the last one either; it then counts as stopped.
    """

    tokens: np.ndarray
    seed: int
    kind: str
    accuracy: float
    cost: float
    stopped: bool
    expected: float = float("nan")
    spread: float = float("nan")
    predicted_cost: float = float("nan")
    restarts: int = 0
    diverged: bool = False


def key_of(tokens: np.ndarray) -> Key:
    """Return a hashable form of a token string."""
    return np.ascontiguousarray(tokens, np.int32).tobytes()


@dataclasses.dataclass(frozen=True)
class Archive:
    """All queries so far."""

    queries: tuple[Query, ...] = ()

    def add(self, queries: list[Query]) -> "Archive":
        """Return the archive with further queries."""
        return Archive(self.queries + tuple(queries))

    def known(self) -> set[Key]:
        """Return the keys of all architectures queried."""
        return {key_of(query.tokens) for query in self.queries}


class Summary(NamedTuple):
    """Distinct architectures in the order of their first query.

    Attributes:
      tokens: int32 [A, T].
      mean: Mean accuracy, float64 [A].
      repeats: Trainings, int64 [A].
      error: Standard error of the mean (the given spread of one training over root repeats).
      cost: float64 [A].
      stopped: Whether every training was stopped early, bool [A].
    """

    tokens: np.ndarray
    mean: np.ndarray
    repeats: np.ndarray
    error: np.ndarray
    cost: np.ndarray
    stopped: np.ndarray


def summarise(archive: Archive, noise: float) -> Summary:
    """Average the queries of each architecture.

    Args:
      archive: At least one query.
      noise: Standard deviation of one training's accuracy, where one training is all there is.
    """
    groups: dict[Key, list[Query]] = {}
    for query in archive.queries:
        groups.setdefault(key_of(query.tokens), []).append(query)
    rows = list(groups.values())
    accuracies = [np.asarray([query.accuracy for query in row]) for row in rows]
    repeats = np.asarray([len(row) for row in rows])
    # Few repeats estimate a spread badly, so the known noise counts as four more of them.
    variance = np.asarray(
        [(4 * noise**2 + ((a - a.mean()) ** 2).sum()) / (3 + len(a)) for a in accuracies]
    )
    return Summary(
        tokens=np.stack([row[0].tokens for row in rows]),
        mean=np.asarray([a.mean() for a in accuracies]),
        repeats=repeats,
        error=np.sqrt(variance / repeats),
        cost=np.asarray([row[0].cost for row in rows]),
        stopped=np.asarray([all(query.stopped for query in row) for row in rows]),
    )
