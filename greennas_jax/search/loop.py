"""The query loop: the same for every algorithm, so that only the proposals differ.

Search with one training a query; then the leaders are trained again on further seeds, round by
round fewer of them, and the cheapest one whose lower confidence bound meets the guard is returned.
That is what keeps the luckiest of hundreds of noisy trainings from being mistaken for the best.
"""

import collections
import dataclasses
from collections.abc import Callable

import numpy as np

from greennas_jax.search import archive as archives
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive, Query, Summary
from greennas_jax.search.problem import Algorithm, Problem, Proposal

Progress = Callable[[Archive], None]
ALGORITHMS = ("latent", "additive", "evolution", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Who proposes, on which budget, and how leaders are confirmed.

    Attributes:
      algorithm: One of ALGORITHMS.
      queries: Trainings of the search.
      batch: Queries proposed at once.
      rounds: Rounds in which leaders are trained again.
      leaders: Architectures trained again in a round.
      repeats: Further trainings of each leader in a round.
      most_repeats: Further trainings after which no more is learned of an architecture.
      confidence: Standard errors that a winner must be sure of, errors of the search and of the
        final test together. What the search learns of its validation images beyond their kind is
        not among them.
    """

    algorithm: str = "latent"
    queries: int = 128
    batch: int = 16
    rounds: int = 5
    leaders: int = 4
    repeats: int = 4
    most_repeats: int = 12
    confidence: float = 1.0

    def __post_init__(self):
        if self.algorithm not in ALGORITHMS:
            allowed = ", ".join(ALGORITHMS)
            raise ValueError(f"algorithm is {self.algorithm!r}; allowed: {allowed}")
        for name in ("queries", "batch", "leaders", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: from 1")
        if self.rounds < 0 or self.confidence < 0:
            raise ValueError(f"rounds {self.rounds}, confidence {self.confidence}: both from 0")


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
    config: SearchConfig,
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


def confirmed(archive: Archive) -> Archive:
    """Return the baseline and the leaders' further trainings alone.

    The training that made an architecture a leader was lucky more often than not; it is left out.
    """
    return Archive(tuple(query for query in archive.queries if query.kind != "search"))


def margin(
    problem: Problem, own: np.ndarray | float, one: np.ndarray | float, confidence: float
) -> np.ndarray | float:
    """Return how far above the guard a mean accuracy must be for the final test to hold.

    The verdict asks for some standard errors of its own difference of means; whether it finds them
    is subject to that same error and to what the search does not know.

    Args:
      problem: Its noise, baseline and verdict.
      own: Standard error of the architecture's mean accuracy.
      one: Standard deviation of one training of the architecture.
      confidence: Standard errors to spare.
    """
    final = np.sqrt((one**2 + problem.noise**2) / problem.verdict.seeds)
    known = np.sqrt(own**2 + problem.noise**2 / max(len(problem.baseline), 1))
    return problem.verdict.confidence * final + confidence * np.hypot(known, final)


def with_margin(problem: Problem, config: SearchConfig) -> Problem:
    """Return the problem that searches for what a winner needs, all its trainings done."""
    if problem.deterministic:
        return problem
    own = problem.noise / np.sqrt(config.most_repeats)
    needed = margin(problem, own, problem.noise, config.confidence)
    return dataclasses.replace(problem, margin=float(needed))


def lower_bounds(problem: Problem, summary: Summary, config: SearchConfig) -> np.ndarray:
    """Return each architecture's lower confidence bound on its accuracy above the guard [A].

    At zero the final test is expected to hold, with `config.confidence` standard errors to spare.
    """
    if problem.deterministic:
        return summary.mean - problem.threshold
    one = summary.error * np.sqrt(summary.repeats)
    return summary.mean - problem.threshold - margin(problem, summary.error, one, config.confidence)


def winner(problem: Problem, archive: Archive, config: SearchConfig) -> np.ndarray:
    """Return the tokens [T] of the cheapest architecture whose lower bound meets the guard.

    Only the leaders' further trainings count. Where no bound meets it, the given network.
    """
    judged = archive if problem.deterministic else confirmed(archive)
    summary = archives.summarise(judged, problem.noise)
    sure = (lower_bounds(problem, summary, config) >= 0) & ~summary.stopped
    sure[0] = True
    return summary.tokens[np.flatnonzero(sure)[np.argmin(summary.cost[sure])]]


def _leaders(
    problem: Problem, algorithm: Algorithm, archive: Archive, config: SearchConfig
) -> np.ndarray:
    """Return tokens [n, T] of the architectures most worth further trainings.

    Worth is the saving below the cheapest one that is sure so far, times the chance that the lower
    bound will meet the guard after this round.
    """
    summary = archives.summarise(archive, problem.noise)
    mean, spread = algorithm.believe(archive)
    sure = problem.cost(winner(problem, archive, config)[None])[0]
    again = collections.Counter(
        archives.key_of(query.tokens) for query in archive.queries if query.kind == "confirm"
    )
    trained = np.asarray([again[archives.key_of(row)] for row in summary.tokens])
    own = problem.noise / np.sqrt(trained + config.repeats)
    needed = margin(problem, own, problem.noise, config.confidence)
    above = mean - problem.threshold - needed
    # A logistic curve stands for the normal distribution function (within 0.01).
    scaled = above / np.maximum(np.hypot(spread, problem.noise / 2), 1e-9)
    chance = 1 / (1 + np.exp(-1.702 * np.clip(scaled, -30, 30)))
    worth = np.log(sure / summary.cost) * chance
    worth[summary.stopped | (trained >= config.most_repeats) | (summary.cost >= sure)] = 0
    order = np.argsort(-worth, kind="stable")[: config.leaders]
    return summary.tokens[order[worth[order] > 0]]


def confirm(
    problem: Problem,
    algorithm: Algorithm,
    archive: Archive,
    config: SearchConfig,
    progress: Progress | None = None,
) -> Archive:
    """Train the leaders again, round by round those that are then most worth it."""
    done = sum(query.kind == "confirm" for query in archive.queries)
    rounds = 0 if problem.deterministic else config.rounds
    for _ in range(rounds):
        leaders = _leaders(problem, algorithm, archive, config)
        if len(leaders) == 0:
            break
        tokens = np.repeat(leaders, config.repeats, axis=0)
        seeds = [problems.CONFIRM_SEEDS + done + i for i in range(len(tokens))]
        done += len(tokens)
        archive = archive.add(evaluate(problem, problems.plain(tokens), seeds, "confirm"))
        if progress is not None:
            progress(archive)
    return archive
