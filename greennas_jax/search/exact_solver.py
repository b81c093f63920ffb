"""The cheapest string of a space, accuracy left aside: one exact answer in place of a search.

A cost is a sum of small tables, so that variable elimination finds the least of one term, and the
exact front of a term and the limited ones holds the least within limits.

Shapes: T positions.
"""

import dataclasses

import numpy as np

from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive
from greennas_jax.search.limits import Limits
from greennas_jax.search.problem import Problem, Proposal
from greennas_jax.spaces import exact
from greennas_jax.spaces.factors import Factors

MOST_TERMS = 3


class UnsolvableError(ValueError):
    """The least cost cannot be found exactly; the message says why."""


def cheapest(costs: Factors, objective: str, limits: Limits | None) -> np.ndarray:
    """Return the string int32 [T] with the least cost that keeps to all limits.

    Args:
      costs: Factors of the objective and of every limited term.
      objective: The term to make least.
      limits: The limits, of which some string is known to keep to; None for none.

    Raises:
      UnsolvableError: If a limit is no sum over layers, limits and objective are more than
        MOST_TERMS terms, their front is too large, or rounding decides who keeps to a limit.
      TooEntangledError: If the space's graph needs tables that are too large.
    """
    if limits is None:
        return exact.cheapest(costs, {objective: 1.0})[0]
    if limits.peak is not None:
        raise UnsolvableError(
            f"{limits.peak.name}: the peak memory of inference is no sum over layers, which "
            "algorithm 'exact' needs; leave it out, or search by another algorithm"
        )
    terms = list(dict.fromkeys([objective, *(target.term for target in limits.summed)]))
    if len(terms) > MOST_TERMS:
        raise UnsolvableError(
            f"algorithm 'exact' takes {MOST_TERMS} terms at most, the objective and limits on "
            f"others together; {len(terms)} are asked for: {', '.join(terms)}"
        )
    front = exact.front(costs, terms)
    if not front.exact:
        raise UnsolvableError(
            f"the front of {', '.join(terms)} is too large to be found whole; fewer limits, or "
            "another algorithm"
        )
    strings = limits.space.canonical(front.tokens)
    within = np.flatnonzero(limits.within(strings))
    if len(within) == 0:
        raise UnsolvableError(
            f"{' and '.join(map(str, limits.targets))}: kept to the last digit or not at all; "
            "algorithm 'exact' needs a limit that is a little above"
        )
    return strings[within[np.argmin(front.costs[within, 0])]]


@dataclasses.dataclass(frozen=True, eq=False)
class ExactSolver:
    """Proposes the cheapest string of the space, once.

    Attributes:
      problem: What is searched.
      costs: Factors of its term and of every limited one.
      objective: Its term.
    """

    problem: Problem
    costs: Factors
    objective: str

    def propose(self, archive: Archive, batch: int, rng: np.random.Generator) -> Proposal:
        """Return the cheapest string, or nothing where it was asked for already."""
        found = cheapest(self.costs, self.objective, self.problem.limits)
        found = self.problem.space.canonical(found[None])
        return problems.plain(problems.fresh(self.problem, found, archive))

    def believe(self, archive: Archive) -> tuple[np.ndarray, np.ndarray]:
        """Return what was observed: there is no model."""
        return problems.believe_the_observed(self.problem, archive)
