"""The query loop: the same for every algorithm, so that only the proposals differ.

Search with one training a query; the leaders are trained again on further seeds, round by round,
and the cheapest one whose lower confidence bound meets the guard is returned. That is what keeps
the luckiest of hundreds of noisy trainings from being mistaken for the best. From the middle of the
search on a round follows every batch: what leaders turn out to be worth tells where to look next,
so that a search that looked too boldly finds out while it can still look elsewhere.
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
# By how many standard deviations of its belief the next leader of a round is believed in less.
DOUBT = 1.0
# Those that learn accuracy from queries; the exact solver leaves it aside.
RIVALS = ("latent", "additive", "evolution", "random")
EXACT = "exact"
ALGORITHMS = (*RIVALS, EXACT)


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
      most_repeats: Further trainings after which no more is learned of an architecture; a winner
        has had as many, as long as `settling` lasts.
      settling: Rounds in which the winner itself is trained again.
      alone: Share of the queries before the first round; after it a round follows every batch.
      confidence: Standard errors that a winner must be sure of, errors of the search and of the
        final test together. What the search learns of its validation images beyond their kind is
        not among them.
    """

    algorithm: str = "latent"
    queries: int = 96
    batch: int = 16
    rounds: int = 6
    leaders: int = 4
    repeats: int = 4
    most_repeats: int = 12
    settling: int = 3
    alone: float = 0.5
    confidence: float = 1.0

    def __post_init__(self):
        if self.algorithm not in ALGORITHMS:
            allowed = ", ".join(ALGORITHMS)
            raise ValueError(f"algorithm is {self.algorithm!r}; allowed: {allowed}")
        for name in ("queries", "batch", "leaders", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: from 1")
        for name in ("rounds", "settling", "confidence"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: from 0")
        if not 0 <= self.alone <= 1:
            raise ValueError(f"alone is {self.alone}; allowed: from 0 to 1")

    @property
    def most_confirmations(self) -> int:
        """Further trainings of all leaders together, at most."""
        return (self.rounds * self.leaders + self.settling) * self.repeats


def evaluate(
    problem: Problem, proposal: Proposal, seeds: list[int], kind: str = "search"
) -> list[Query]:
    """Return the queries that train each proposed architecture on its seed."""
    proposal = problems.agreed(proposal)
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
            restarts=int(trials[i].restarts),
            diverged=bool(trials[i].diverged),
        )
        for i in range(len(seeds))
    ]


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

    Only the leaders' further trainings count. Where no bound meets it, the given network; where
    that breaks a limit, the one within the limits whose lower bound is the highest.
    """
    judged = archive if problem.deterministic else confirmed(archive)
    summary, sure = _sure(problem, judged, config)
    if sure.any():
        return summary.tokens[np.flatnonzero(sure)[np.argmin(summary.cost[sure])]]
    for known in (judged, archive):
        summary = archives.summarise(known, problem.noise)
        within = problem.within(summary.tokens)
        if within.any():
            bounds = np.where(within, lower_bounds(problem, summary, config), -np.inf)
            return summary.tokens[np.argmax(bounds)]
    return problem.given()


def is_sure(problem: Problem, archive: Archive, config: SearchConfig) -> bool:
    """Return whether the winner is sure to meet the guard, or is the given network."""
    judged = archive if problem.deterministic else confirmed(archive)
    return bool(_sure(problem, judged, config)[1].any())


def _sure(problem: Problem, judged: Archive, config: SearchConfig) -> tuple[Summary, np.ndarray]:
    """Return what is known of each architecture, and which ones may be the answer, bool [A]."""
    summary = archives.summarise(judged, problem.noise)
    sure = (lower_bounds(problem, summary, config) >= 0) & ~summary.stopped
    sure[0] = True
    return summary, sure & problem.within(summary.tokens)


def _trained(archive: Archive, tokens: np.ndarray) -> np.ndarray:
    """Return how many further trainings each of tokens [n, T] has had: int [n]."""
    again = collections.Counter(
        archives.key_of(query.tokens) for query in archive.queries if query.kind == "confirm"
    )
    return np.asarray([again[archives.key_of(row)] for row in tokens])


def _leaders(
    problem: Problem, algorithm: Algorithm, archive: Archive, config: SearchConfig
) -> np.ndarray:
    """Return tokens [n, T] of the architectures most worth further trainings.

    Worth is the saving below the cheapest one that is sure so far, times the chance that the lower
    bound will meet the guard after this round. Beliefs in the best of many are too high, all of
    them together, so that every further leader of a round is chosen with more doubt than the one
    before: the bold beside the safe. Rounds that made none sure leave their doubt to the next; and
    the one that is sure so far is trained again beside the others.
    """
    summary = archives.summarise(archive, problem.noise)
    mean, spread = algorithm.believe(archive)
    best = winner(problem, archive, config)
    trained = _trained(archive, summary.tokens)
    own = problem.noise / np.sqrt(trained + config.repeats)
    needed = margin(problem, own, problem.noise, config.confidence)
    error = np.maximum(np.hypot(spread, problem.noise / 2), 1e-9)
    found = best.any() and is_sure(problem, archive, config)
    serves = found or problems.given_serves(problem)
    cost = problem.cost(best[None])[0] if serves else problem.dearest()
    saving = np.log(cost / summary.cost)
    open_to = (saving > 0) & ~summary.stopped & (trained < config.most_repeats)
    open_to &= problem.within(summary.tokens)
    is_best = (summary.tokens == best).all(axis=1)
    chosen = np.flatnonzero(is_best & found & (trained < config.most_repeats)).tolist()
    in_vain = 0 if found else trained.sum() // (config.repeats * config.leaders)
    for doubt in DOUBT * (in_vain + np.arange(config.leaders - len(chosen))):
        scaled = (mean - problem.threshold - needed) / error - doubt
        # A logistic curve stands for the normal distribution function (within 0.01).
        chance = 1 / (1 + np.exp(-1.702 * np.clip(scaled, -30, 30)))
        worth = np.where(open_to, saving * chance, 0.0)
        if worth.max() <= 0:
            break
        chosen.append(int(np.argmax(worth)))
        open_to[chosen[-1]] = False
    return summary.tokens[np.asarray(chosen, int)]


def _propose(
    problem: Problem,
    algorithm: Algorithm,
    archive: Archive,
    rng: np.random.Generator,
    config: SearchConfig,
) -> Archive:
    """Return the archive with the next batch of queries; unchanged where the space ran out."""
    done = sum(query.kind == "search" for query in archive.queries)
    batch = min(config.batch, config.queries - done)
    proposal = algorithm.propose(archive, batch, rng)
    if problem.limits is not None and len(proposal.tokens) == 0:
        anchor = problems.fresh(problem, problem.limits.anchor[None], archive)
        proposal = problems.plain(anchor)
    seeds = [problems.SEARCH_SEEDS + done + i for i in range(len(proposal.tokens))]
    return archive.add(evaluate(problem, proposal, seeds)) if seeds else archive


def _train_again(
    problem: Problem, archive: Archive, leaders: np.ndarray, config: SearchConfig
) -> Archive:
    """Return the archive with `config.repeats` further trainings of each of leaders [n, T]."""
    tokens = np.repeat(leaders, config.repeats, axis=0)
    done = sum(query.kind == "confirm" for query in archive.queries)
    seeds = [problems.CONFIRM_SEEDS + done + i for i in range(len(tokens))]
    return archive.add(evaluate(problem, problems.plain(tokens), seeds, "confirm"))


def _settled(archive: Archive, tokens: np.ndarray, config: SearchConfig) -> bool:
    """Return whether nothing more is to be learned of a winner [T]."""
    return not tokens.any() or bool(_trained(archive, tokens[None])[0] >= config.most_repeats)


def search(
    problem: Problem,
    algorithm: Algorithm,
    archive: Archive,
    rng: np.random.Generator,
    config: SearchConfig,
    progress: Progress | None = None,
) -> Archive:
    """Spend the budget: batches of queries, rounds of leaders, and the winner's settling.

    The winner is trained again until it has been trained often or another has become the winner:
    the best of several few-times trained architectures is a lucky one. Where repeating a query
    tells nothing new, there are batches alone.

    Args:
      problem: What is searched.
      algorithm: Who proposes.
      archive: Holds the baseline, and earlier queries that count towards the budget, if any.
      rng: Host randomness of the algorithm.
      config: Budget.
      progress: Called with the archive after every batch and round.

    Returns:
      The archive with `config.queries` queries of kind "search", or fewer where the space ran out,
      and the leaders' further trainings of kind "confirm".
    """
    progress = progress or (lambda _: None)
    rounds = 0 if problem.deterministic else config.rounds
    done = sum(query.kind == "search" for query in archive.queries)
    while done < config.queries:
        before, archive = archive, _propose(problem, algorithm, archive, rng, config)
        if archive is before:
            break
        progress(archive)
        done = sum(query.kind == "search" for query in archive.queries)
        if rounds and config.alone * config.queries <= done < config.queries:
            rounds -= 1
            archive = _round(problem, algorithm, archive, config, progress)
    for _ in range(rounds):
        archive = _round(problem, algorithm, archive, config, progress)
    for _ in range(0 if problem.deterministic else config.settling):
        chosen = winner(problem, archive, config)
        if _settled(archive, chosen, config):
            break
        archive = _train_again(problem, archive, chosen[None], config)
        progress(archive)
    return archive


def _round(
    problem: Problem,
    algorithm: Algorithm,
    archive: Archive,
    config: SearchConfig,
    progress: Progress,
) -> Archive:
    """Return the archive with the further trainings of those that are then most worth them."""
    leaders = _leaders(problem, algorithm, archive, config)
    if len(leaders) == 0:
        return archive
    archive = _train_again(problem, archive, leaders, config)
    progress(archive)
    return archive
