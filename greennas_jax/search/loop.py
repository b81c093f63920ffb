"""The query loop: the same for every algorithm, so that only the proposals differ.

Search with one training a query; then the leaders are trained again on further seeds, round by
round fewer of them, and the cheapest one whose lower confidence bound meets the guard is returned.
That is what keeps the luckiest of hundreds of noisy trainings from being mistaken for the best.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from greennas_jax.search import archive as archives
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive, Query
from greennas_jax.search.problem import Algorithm, Problem, Proposal

Progress = Callable[[Archive], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Budget and confirmation.

    Attributes:
      queries: Trainings of the search.
      batch: Queries proposed at once.
      leaders: Architectures trained again, round by round.
      repeats: Further trainings of each leader, round by round.
      confidence: Standard errors between a leader's mean and its lower confidence bound.
    """

    queries: int = 128
    batch: int = 16
    leaders: tuple[int, ...] = (12, 6)
    repeats: tuple[int, ...] = (3, 5)
    confidence: float = 1.0

    def __post_init__(self):
        if len(self.leaders) != len(self.repeats):
            raise ValueError(f"leaders {self.leaders} and repeats {self.repeats} differ in length")
        if self.queries < 1 or self.batch < 1:
            raise ValueError(f"queries {self.queries} and batch {self.batch} must be positive")


def evaluate(
    problem: Problem, proposal: Proposal, seeds: list[int], kind: str = "search"
) -> list[Query]:
    """Return the queries that train each proposed architecture on its seed."""
    trials = problem.evaluate(proposal.tokens, seeds)
    costs = problem.cost(proposal.tokens)
    return [
        Query(
            tokens=proposal.tokens[i],
            seed=seeds[i],
            kind=kind,
            accuracy=float(trials[i].accuracy),
            cost=float(costs[i]),
            stopped=bool(trials[i].stopped),
            expected=float(proposal.expected[i]),
            spread=float(proposal.spread[i]),
            predicted_cost=float(proposal.predicted_cost[i]),
        )
        for i in range(len(seeds))
    ]


def search(
    problem: Problem,
    algorithm: Algorithm,
    archive: Archive,
    rng: np.random.Generator,
    config: LoopConfig,
    progress: Progress | None = None,
) -> Archive:
    """Spend the query budget.

    Args:
      problem: What is searched.
      algorithm: Who proposes.
      archive: Holds the baseline, and earlier queries of the same search where it is resumed.
      rng: Host randomness of the algorithm.
      config: Budget.
      progress: Called with the archive after every batch.

    Returns:
      The archive with `config.queries` queries of kind "search", or fewer where the space ran out.
    """
    done = sum(query.kind == "search" for query in archive.queries)
    while done < config.queries:
        batch = min(config.batch, config.queries - done)
        proposal = algorithm.propose(archive, batch, rng)
        if len(proposal.tokens) == 0:
            break
        seeds = [problems.SEARCH_SEEDS + done + i for i in range(len(proposal.tokens))]
        archive = archive.add(evaluate(problem, proposal, seeds))
        done += len(seeds)
        if progress is not None:
            progress(archive)
    return archive


def lower_bounds(problem: Problem, archive: Archive, config: LoopConfig) -> np.ndarray:
    """Return each architecture's lower confidence bound on its accuracy above the guard.

    The guard is itself an estimate from the baseline's trainings; both errors count.
    """
    summary = archives.summarise(archive, problem.noise)
    if problem.deterministic:
        return summary.mean - problem.threshold
    guard = problem.noise**2 / max(len(problem.baseline), 1)
    error = np.sqrt(summary.error**2 + guard)
    return summary.mean - problem.threshold - config.confidence * error


def _leaders(
    problem: Problem, archive: Archive, believed: tuple[np.ndarray, np.ndarray], count: int
) -> np.ndarray:
    """Return indices of the architectures most worth another training.

    Ranked by expected saving: (log of given cost over cost) x chance of feasibility.
    """
    summary = archives.summarise(archive, problem.noise)
    mean, spread = believed
    margin = (mean - problem.threshold) / np.maximum(spread, 1e-9)
    # A logistic curve stands for the normal distribution function (within 0.01).
    chance = 1 / (1 + np.exp(-1.702 * np.clip(margin, -30, 30)))
    saving = np.log(summary.cost[0] / summary.cost)
    worth = np.where(summary.stopped | (saving <= 0), -np.inf, saving * chance)
    order = np.argsort(-worth, kind="stable")[:count]
    return order[np.isfinite(worth[order])]


def confirmed(archive: Archive) -> Archive:
    """Return the baseline and the leaders' further trainings alone.

    The training that made an architecture a leader was lucky more often than not; it is left out.
    """
    return Archive(tuple(query for query in archive.queries if query.kind != "search"))


def confirm(
    problem: Problem, algorithm: Algorithm, archive: Archive, config: LoopConfig
) -> Archive:
    """Train the leaders again on further seeds, round by round fewer of them."""
    if problem.deterministic:
        return archive
    seed = problems.CONFIRM_SEEDS
    for turn, (leaders, repeats) in enumerate(zip(config.leaders, config.repeats, strict=True)):
        pool = archive if turn == 0 else confirmed(archive)
        believed = (
            algorithm.believe(archive)
            if turn == 0
            else problems.believe_the_observed(problem, pool)
        )
        chosen = _leaders(problem, pool, believed, leaders)
        tokens = archives.summarise(pool, problem.noise).tokens[chosen]
        if len(tokens) == 0:
            break
        tokens = np.repeat(tokens, repeats, axis=0)
        seeds = [seed + i % repeats for i in range(len(tokens))]
        seed += repeats
        archive = archive.add(evaluate(problem, problems.plain(tokens), seeds, "confirm"))
    return archive


def winner(problem: Problem, archive: Archive, config: LoopConfig) -> np.ndarray:
    """Return the tokens [T] of the cheapest architecture whose lower bound meets the guard.

    Where none does, the given network.
    """
    judged = archive if problem.deterministic else confirmed(archive)
    summary = archives.summarise(judged, problem.noise)
    most = summary.repeats[1:].max(initial=1)
    sure = (lower_bounds(problem, judged, config) >= 0) & ~summary.stopped
    # Leaders that fell out after the first round were not trained often enough to be sure.
    sure &= problem.deterministic | (summary.repeats >= most)
    sure[0] = True
    return summary.tokens[np.flatnonzero(sure)[np.argmin(summary.cost[sure])]]
