"""The query loop of tabular problems: the same for every algorithm, seed by seed.

A step's randomness comes from the seed and the number of queries before it alone, so that a search
that goes on after its first n queries asks for what an unbroken one would have asked.
"""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from greennas_jax.mesh import arrays
from greennas_jax.search.table_problem import Observed, TableProblem


@dataclasses.dataclass(frozen=True, kw_only=True)
class TabularConfig:
    """The budget and how it is spent.

    Attributes:
      budget: Queries of distinct architectures.
      start: Queries of the first step.
      batch: Queries of a step later on.
      singly: Queries up to which steps have one.
    """

    budget: int = 200
    start: int = 5
    batch: int = 5
    singly: int = 25

    def __post_init__(self):
        for name in ("budget", "start", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: from 1")

    def step_after(self, done: int) -> int:
        """Return the queries of the step that follows `done` queries."""
        size = self.start if done == 0 else 1 if done < self.singly else self.batch
        return min(size, self.budget - done)

    def whole_steps(self, done: int) -> int:
        """Return the queries of the steps that `done` queries complete."""
        total = 0
        while total < done and total + self.step_after(total) <= done:
            total += self.step_after(total)
        return total


class FrontAlgorithm(Protocol):
    """Says what to query next."""

    def propose(self, observed: Observed, batch: int, rng: np.random.Generator) -> np.ndarray:
        """Return up to `batch` new canonical strings, int32 [n, T]."""
        ...


def check_budget(problem: TableProblem, config: TabularConfig) -> None:
    """Raise ValueError if the budget is larger than the space."""
    if config.budget > len(problem.tokens):
        raise ValueError(
            f"budget {config.budget} is larger than the space; {problem.space.name} has "
            f"{len(problem.tokens)} architectures"
        )


def nothing(problem: TableProblem) -> Observed:
    """Return what is known before the first query."""
    return problem.query(np.zeros((0, len(problem.space.positions)), np.int32))


def search(
    problem: TableProblem,
    algorithm: FrontAlgorithm,
    seed: int,
    config: TabularConfig,
    observed: Observed,
) -> Iterator[Observed]:
    """Yield what is known after every step, until the budget is spent.

    Args:
      problem: What is searched.
      algorithm: Who proposes.
      seed: Of all random choices.
      config: The budget.
      observed: Queries of earlier steps; whole steps alone.
    """
    while len(observed.accuracy) < config.budget:
        done = len(observed.accuracy)
        size = config.step_after(done)
        rng = np.random.default_rng([seed, done])
        proposed = problem.admitted(algorithm.propose(observed, size, rng), observed.keys())
        tokens = topped_up(problem, observed, proposed[:size], size, rng)
        tokens = arrays.as_first(tokens)
        told = problem.query(tokens)
        observed = Observed(*(np.concatenate(pair) for pair in zip(observed, told, strict=True)))
        yield observed


def topped_up(
    problem: TableProblem,
    observed: Observed,
    tokens: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return strings [n, T] filled up to [size, T] with others at random, none observed."""
    if len(tokens) < size:
        others = problem.tokens[rng.permutation(len(problem.tokens))]
        tokens = problem.admitted(np.concatenate([tokens, others]), observed.keys())[:size]
    return tokens
