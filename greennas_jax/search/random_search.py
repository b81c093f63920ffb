"""Random search: samples of the space that would be cheaper than the best known.

The cost being free to compute, samples that could not improve on the best known are not queried;
the comparison is with random search as a careful user would run it.
"""

import dataclasses

import numpy as np

from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem, Proposal


@dataclasses.dataclass(frozen=True, eq=False)
class RandomSearch:
    """Samples until a batch is full."""

    problem: Problem

    def propose(self, archive: Archive, batch: int, rng: np.random.Generator) -> Proposal:
        """Return new samples cheaper than the best architecture observed feasible."""
        mean, _ = self.believe(archive)
        best = problems.best_feasible(self.problem, archive, mean)
        found = np.zeros((0, len(self.problem.space.positions)), np.int32)
        for _ in range(50):
            drawn = problems.draw(self.problem, rng, 16 * batch)
            drawn = problems.fresh(self.problem, np.concatenate([found, drawn]), archive)
            found = drawn[self.problem.cost(drawn) < best][:batch] if len(drawn) else drawn
            if len(found) == batch:
                break
        return problems.plain(found)

    def believe(self, archive: Archive) -> tuple[np.ndarray, np.ndarray]:
        """Return the observed means and their standard errors."""
        return problems.believe_the_observed(self.problem, archive)
