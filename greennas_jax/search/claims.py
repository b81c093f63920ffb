"""What a search believes of its winner, to be held against the final test on fresh seeds.

The best of many noisy trainings was lucky more often than not (the winner's curse). A search that
takes that into account makes a claim that fresh seeds bear out.
"""

from typing import NamedTuple

import numpy as np

from greennas_jax.search import archive as archives
from greennas_jax.search import loop
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem

# A claim and a verdict further apart than this many standard errors contradict each other.
APART = 2.0


class Claim(NamedTuple):
    """A winner's accuracy above the given network's, as the search knows it.

    Attributes:
      difference: Of mean accuracies on validation images.
      standard_error: Of that difference, over trainings.
      trainings: Of the winner; the one that made it a leader does not count.
    """

    difference: float
    standard_error: float
    trainings: int

    def agrees(self, difference: float, standard_error: float) -> bool:
        """Return whether another estimate lies within two standard errors of both."""
        return self.apart(difference, standard_error) <= APART

    def apart(self, difference: float, standard_error: float) -> float:
        """Return by how many standard errors of both another estimate differs."""
        gap = abs(difference - self.difference)
        return gap / max(float(np.hypot(self.standard_error, standard_error)), 1e-300)


def claim(problem: Problem, archive: Archive, tokens: np.ndarray) -> Claim | None:
    """Return what the search claims of an architecture.

    None of the given network, of which nothing is claimed, and of one that was not trained again.

    Args:
      problem: What was searched.
      archive: All queries.
      tokens: The architecture, int [T].
    """
    key = archives.key_of(np.asarray(tokens, np.int32))
    queries = loop.confirmed(archive).queries
    own = tuple(query for query in queries if archives.key_of(query.tokens) == key)
    if not own or not np.any(tokens):
        return None
    found = archives.summarise(Archive(own), problem.noise)
    given = problem.noise / np.sqrt(max(len(problem.baseline), 1))
    return Claim(
        float(found.mean[0] - problem.baseline.mean()),
        float(np.hypot(found.error[0], given)),
        int(found.repeats[0]),
    )
