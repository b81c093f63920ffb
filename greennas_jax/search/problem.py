"""What a search is given: a space, the cost it lowers, an accuracy oracle and the guard.

Shapes: n architectures, T tokens.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from greennas_jax.mesh import arrays
from greennas_jax.search import archive as archives
from greennas_jax.search.archive import Archive, Query
from greennas_jax.search.limits import Limits
from greennas_jax.spaces import factors as cost_factors

# Seeds of the search, of the leaders' further trainings and of the final test never meet.
SEARCH_SEEDS = 1_000
CONFIRM_SEEDS = 100_000
FRESH_SEEDS = 1_000_000


class Verdict(NamedTuple):
    """The final test that a winner will be put to: trainings, and standard errors it needs."""

    seeds: int = 8
    confidence: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One search problem.

    Attributes:
      space: A space of the space contract.
      costs: Factors of the searched term alone (K = 1).
      evaluate: (tokens [n, T], seeds) -> trials with `accuracy` and `stopped`.
      threshold: Least accuracy (or proxy score) that is acceptable.
      baseline: Accuracies of the given network, one per seed.
      noise: Standard deviation of one training of the given network.
      verdict: The final test.
      margin: Accuracy above the threshold that a winner needs to be sure of the verdict; what is
        searched for is `threshold + margin`.
      deterministic: Whether repeating a query gives the same answer (proxies).
      limits: Hard limits on everything that is queried and found, or None.
    """

    space: Any
    costs: cost_factors.Factors
    evaluate: Callable[[np.ndarray, Sequence[int]], Sequence[Any]]
    threshold: float
    baseline: np.ndarray
    noise: float
    verdict: Verdict = Verdict()
    margin: float = 0.0
    deterministic: bool = False
    limits: Limits | None = None

    @property
    def target(self) -> float:
        """The accuracy that is searched for."""
        return self.threshold + self.margin

    def cost(self, tokens: np.ndarray) -> np.ndarray:
        """Return the exact cost [n] of tokens [n, T] in the term's unit."""
        return np.asarray(cost_factors.exact(self.costs, np.asarray(tokens).T))[0]

    def within(self, tokens: np.ndarray) -> np.ndarray:
        """Return whether canonical tokens [n, T] keep to the limits, bool [n]."""
        if self.limits is None:
            return np.ones(len(tokens), bool)
        return self.limits.within(tokens)

    def dearest(self) -> float:
        """Return a cost that no architecture of the space is above."""
        return float(self.costs.constant[0] + sum(table[0].max() for table in self.costs.tables))

    def given(self) -> np.ndarray:
        """Return the tokens [T] of the given network."""
        return np.zeros(len(self.space.positions), np.int32)


class Proposal(NamedTuple):
    """What an algorithm wants queried next.

    Attributes:
      tokens: int32 [n, T], canonical, distinct and new.
      expected: Expected accuracy [n], nan where the algorithm has no model.
      spread: Its standard deviation [n], nan where there is none.
      predicted_cost: Cost [n] predicted before decoding, nan where there is none.
    """

    tokens: np.ndarray
    expected: np.ndarray
    spread: np.ndarray
    predicted_cost: np.ndarray


def plain(tokens: np.ndarray) -> Proposal:
    """Return a proposal of an algorithm that predicts nothing."""
    unknown = np.full(len(tokens), np.nan)
    return Proposal(np.asarray(tokens, np.int32), unknown, unknown, unknown)


def agreed(proposal: Proposal) -> Proposal:
    """Return what the first process of a run proposes, in every process."""
    return Proposal(*arrays.as_first(tuple(proposal)))


class Algorithm(Protocol):
    """Proposes batches, and says in the end how good it believes each queried architecture."""

    def propose(self, archive: Archive, batch: int, rng: np.random.Generator) -> Proposal:
        """Return up to `batch` new architectures."""
        ...

    def believe(self, archive: Archive) -> tuple[np.ndarray, np.ndarray]:
        """Return (mean, standard deviation) of the accuracy of each distinct architecture."""
        ...


def believe_the_observed(problem: Problem, archive: Archive) -> tuple[np.ndarray, np.ndarray]:
    """Return each architecture's mean observed accuracy and its standard error."""
    summary = archives.summarise(archive, problem.noise)
    return summary.mean, summary.error


def start(problem: Problem, seeds: Sequence[int]) -> Archive:
    """Return an archive that holds the given network's baseline."""
    given = problem.given()
    cost = float(problem.cost(given[None])[0])
    return Archive().add(
        [
            Query(given, int(seed), "baseline", float(accuracy), cost, False)
            for seed, accuracy in zip(seeds, problem.baseline, strict=True)
        ]
    )


def best_feasible(problem: Problem, archive: Archive, mean: np.ndarray) -> float:
    """Return the lowest cost among architectures whose believed accuracy meets the guard."""
    summary = archives.summarise(archive, problem.noise)
    feasible = (mean >= problem.target) & ~summary.stopped & problem.within(summary.tokens)
    if feasible.any():
        return float(summary.cost[feasible].min())
    return float(summary.cost[0]) if given_serves(problem) else problem.dearest()


def given_serves(problem: Problem) -> bool:
    """Return whether the given network keeps to the limits, so that it may be the answer."""
    return problem.limits is None or bool(problem.within(problem.given()[None])[0])


def draw(problem: Problem, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return random canonical strings within the limits, int32 [n, T]."""
    drawn = problem.space.sample(rng, n)
    return drawn if problem.limits is None else problem.limits.repaired(drawn, rng)


def fresh(problem: Problem, tokens: np.ndarray, archive: Archive) -> np.ndarray:
    """Return the distinct rows of tokens [n, T] that may be queried, in their order.

    Those are within the limits and were never queried.
    """
    new = unseen(tokens, archive)
    return new if problem.limits is None else new[problem.within(new)]


def unseen(tokens: np.ndarray, archive: Archive) -> np.ndarray:
    """Return the distinct rows of tokens [n, T] that were never queried, in their order."""
    known = archive.known()
    kept = []
    for row in np.asarray(tokens, np.int32):
        key = archives.key_of(row)
        if key not in known:
            known.add(key)
            kept.append(row)
    return np.stack(kept) if kept else np.zeros((0, np.shape(tokens)[-1]), np.int32)
