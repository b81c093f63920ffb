"""Regularised evolution (Real et al. 2019): tournament, one mutation, the oldest dies.

Fitness is the saving in log cost while the guard holds; below the guard the shortfall of accuracy
counts, in standard deviations of one training, so that infeasible parents are climbed out of.
"""

import dataclasses

import numpy as np

from greennas_jax.search import archive as archives
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem, Proposal


@dataclasses.dataclass(frozen=True, eq=False)
class Evolution:
    """Regularised evolution on token strings.

    Attributes:
      problem: What is searched.
      population: Architectures alive.
      tournament: Architectures drawn for one parent.
    """

    problem: Problem
    population: int = 32
    tournament: int = 8

    def propose(self, archive: Archive, batch: int, rng: np.random.Generator) -> Proposal:
        """Return one mutation of each tournament's winner; samples while the population fills."""
        space = self.problem.space
        summary = archives.summarise(archive, self.problem.noise)
        if len(summary.cost) - 1 < self.population // 2:
            drawn = problems.draw(self.problem, rng, 4 * batch)
            return problems.plain(problems.fresh(self.problem, drawn, archive)[:batch])
        alive = np.flatnonzero(self.problem.within(summary.tokens))[-self.population :]
        fitness = self._fitness(summary)
        found = np.zeros((0, len(space.positions)), np.int32)
        for _ in range(50 * batch):
            rivals = rng.choice(alive, min(self.tournament, len(alive)), replace=False)
            parent = summary.tokens[rivals[np.argmax(fitness[rivals])]]
            edits = space.neighbours(parent)
            child = edits[rng.integers(len(edits))][None]
            found = problems.fresh(self.problem, np.concatenate([found, child]), archive)
            if len(found) == batch:
                break
        return problems.plain(found)

    def _fitness(self, summary: archives.Summary) -> np.ndarray:
        saving = np.log(summary.cost[0] / summary.cost)
        unit = max(self.problem.noise, 1e-3)
        short = np.maximum(self.problem.target - summary.mean, 0) / unit
        return np.where(short > 0, -short, saving)

    def believe(self, archive: Archive) -> tuple[np.ndarray, np.ndarray]:
        """Return the observed means and their standard errors."""
        return problems.believe_the_observed(self.problem, archive)
