"""What the embedding is compared with: random, regularised evolution, local search, NSGA-II.

All work on canonical token strings and remember nothing but the queries, so that any of them goes
on from a log. Two objectives: accuracy up, cost down.

Shapes: n strings, T tokens.
"""

import dataclasses

import numpy as np

from greennas_jax.search import table_problem
from greennas_jax.search.table_problem import Observed, TableProblem

TRIES = 50


def _filled(problem, observed: Observed, draw, batch: int) -> np.ndarray:
    """Return `batch` new strings from a function that draws some, or fewer after many tries."""
    found = np.zeros((0, len(problem.space.positions)), np.int32)
    for _ in range(TRIES):
        found = problem.admitted(np.concatenate([found, draw()]), observed.keys())
        if len(found) >= batch:
            break
    return found[:batch]


def goodness(problem: TableProblem, observed: Observed, weight: float) -> np.ndarray:
    """Return the weighted ranks of accuracy and low cost, float64 [n]; larger is better.

    Args:
      problem: Its objective decides: on accuracy alone cost does not count; where a target is
        set, accuracy counts below it and cost above.
      observed: The queries.
      weight: Of accuracy, from 0 to 1.
    """
    high = np.argsort(np.argsort(observed.accuracy, kind="stable"), kind="stable")
    cheap = np.argsort(np.argsort(-observed.cost, kind="stable"), kind="stable")
    if problem.objective == "accuracy":
        return high.astype(float)
    if problem.objective == "constrained":
        return np.where(observed.accuracy >= problem.target, len(high) + cheap, high)
    return weight * high + (1 - weight) * cheap


@dataclasses.dataclass(frozen=True, eq=False)
class RandomFront:
    """Uniform samples of the space."""

    problem: TableProblem

    def propose(self, observed: Observed, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return new samples."""
        return _filled(
            self.problem, observed, lambda: self.problem.space.sample(rng, 4 * batch), batch
        )


@dataclasses.dataclass(frozen=True, eq=False)
class FrontEvolution:
    """Regularised evolution (Real et al. 2019) with a weighting drawn for every tournament.

    Attributes:
      problem: What is searched.
      population: Architectures alive: the last ones queried.
      tournament: Architectures drawn for one parent.
    """

    problem: TableProblem
    population: int = 32
    tournament: int = 8

    def propose(self, observed: Observed, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return one mutation of each tournament's winner; samples while the population fills."""
        if len(observed.accuracy) < self.population // 2:
            return RandomFront(self.problem).propose(observed, batch, rng)
        alive = np.arange(len(observed.accuracy))[-self.population :]

        def child() -> np.ndarray:
            fitness = goodness(self.problem, observed, rng.random())
            rivals = rng.choice(alive, min(self.tournament, len(alive)), replace=False)
            parent = observed.tokens[rivals[np.argmax(fitness[rivals])]]
            edits = self.problem.space.neighbours(parent)
            return edits[rng.integers(len(edits))][None]

        return _filled(self.problem, observed, child, batch)


@dataclasses.dataclass(frozen=True, eq=False)
class LocalFront:
    """Pareto local search (Paquete, Chiarandini and Stuetzle 2004): edits of what is best so far.

    Attributes:
      problem: What is searched.
      start: Samples before the first edit.
    """

    problem: TableProblem
    start: int = 5

    def propose(self, observed: Observed, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return new edits of random members of the front."""
        if len(observed.accuracy) < self.start:
            return RandomFront(self.problem).propose(observed, batch, rng)
        kept = np.flatnonzero(table_problem.nondominated(observed.accuracy, observed.cost))
        if self.problem.objective != "pareto":
            kept = np.argsort(-goodness(self.problem, observed, 1.0), kind="stable")[:1]
        front = observed.tokens[rng.permutation(kept)]
        edits = [rng.permutation(self.problem.space.neighbours(row)) for row in front]
        found = self.problem.admitted(np.concatenate(edits), observed.keys())
        # One member's edits may all be known; those of the next follow, and samples at last.
        return found[:batch]


@dataclasses.dataclass(frozen=True, eq=False)
class NondominatedSorting:
    """NSGA-II (Deb et al. 2002) whose parents are the best of all queries.

    Attributes:
      problem: What is searched.
      population: Parents, and samples before the first generation.
      crossover: Probability that a child has two parents.
    """

    problem: TableProblem
    population: int = 20
    crossover: float = 0.9

    def propose(self, observed: Observed, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return new children of binary tournaments."""
        if len(observed.accuracy) < self.population:
            return RandomFront(self.problem).propose(observed, batch, rng)
        order = self._ranked(observed)[: self.population]
        sizes = self.problem.space.sizes

        def parent() -> np.ndarray:
            return observed.tokens[order[rng.integers(len(order), size=2).min()]]

        def child() -> np.ndarray:
            one, other = parent(), parent()
            mixed = (rng.random(len(sizes)) < 0.5) & (rng.random() < self.crossover)
            tokens = np.where(mixed, other, one)
            changed = rng.random(len(sizes)) < 1 / len(sizes)
            return np.where(changed, rng.integers(0, sizes), tokens)[None].astype(np.int32)

        return _filled(self.problem, observed, child, batch)

    def _ranked(self, observed: Observed) -> np.ndarray:
        """Return the queries from best to worst: by front, then by crowding distance."""
        if self.problem.objective != "pareto":
            return np.argsort(-goodness(self.problem, observed, 1.0), kind="stable")
        left, order = np.arange(len(observed.accuracy)), []
        while len(left):
            kept = table_problem.nondominated(observed.accuracy[left], observed.cost[left])
            front = left[kept]
            distance = crowding(observed.accuracy[front], np.log(observed.cost[front]))
            order.append(front[np.argsort(-distance, kind="stable")])
            left = left[~kept]
        return np.concatenate(order)


def crowding(accuracy: np.ndarray, log_cost: np.ndarray) -> np.ndarray:
    """Return the crowding distance of the points of a front [n]; infinite at both ends."""
    order = np.argsort(log_cost, kind="stable")
    found = np.full(len(order), np.inf)
    for values in (accuracy, log_cost):
        row = values[order]
        span = max(float(np.ptp(row)), 1e-12)
        gaps = np.abs(row[2:] - row[:-2]) / span
        found[order[1:-1]] = np.where(np.isinf(found[order[1:-1]]), gaps, found[order[1:-1]] + gaps)
    return found


BASELINES = {
    "random": RandomFront,
    "evolution": FrontEvolution,
    "local": LocalFront,
    "nsga2": NondominatedSorting,
}
