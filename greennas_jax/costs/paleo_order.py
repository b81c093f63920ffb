"""Which layers the original Paleo's walk of a graph reaches."""

from collections.abc import Sequence

import numpy as np

from greennas_jax.costs import series_parallel
from greennas_jax.spec.network import Network


def dropped(network: Network, names: Sequence[str]) -> np.ndarray:
    """Return which layers the original leaves out without a message, bool [L].

    Args:
      network: A network without ModelParallel.
      names: Names of its layers, in any order.
    """
    reached: set[str] = set()
    waiting = list(series_parallel.nest(network))
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            reached.add(item)
        else:
            waiting.extend(part for branch in item for part in branch)
    return np.array([name not in reached for name in names], bool)
