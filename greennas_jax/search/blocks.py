"""What trainings have in common that were judged on the same images, and how to take it out.

Some folds of a data set are harder than others. The given network, trained on each, tells by how
much; with that taken out, one training of one fold can be compared with one of another.
"""

from typing import NamedTuple

import numpy as np


class Blocks(NamedTuple):
    """Effects of blocks on accuracy.

    Attributes:
      effects: Accuracy above the mean of all blocks, by block; 0 for a block that is not known.
      noise: Standard deviation of one training once its block's effect is taken out.
    """

    effects: dict[int, float]
    noise: float

    def without(self, accuracy: float, block: int) -> float:
        """Return an accuracy without what is due to its block."""
        return accuracy - self.effects.get(block, 0.0)


def estimate(accuracies: np.ndarray, blocks: np.ndarray) -> Blocks:
    """Estimate block effects from trainings of one network.

    The one-way random effects model: means of blocks, shrunk by the share of their variance that
    is not that of single trainings (Searle, Casella and McCulloch 1992, chapters 3 and 7).

    Args:
      accuracies: float [n].
      blocks: int [n], the block of each.
    """
    accuracies, blocks = np.asarray(accuracies, float), np.asarray(blocks)
    names, member, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    means = np.bincount(member, accuracies) / sizes
    freedom = len(accuracies) - len(names)
    if len(names) < 2 or freedom < 1:
        noise = float(accuracies.std(ddof=1)) if len(accuracies) > 1 else 0.0
        return Blocks({}, noise)
    within = ((accuracies - means[member]) ** 2).sum() / freedom
    of_means = within / sizes
    between = max(means.var(ddof=1) - of_means.mean(), 0.0)
    shares = between / np.maximum(between + of_means, 1e-300)
    effects = shares * (means - accuracies.mean())
    unknown = (shares * of_means).mean()
    return Blocks(
        {int(name): float(effect) for name, effect in zip(names, effects, strict=True)},
        float(np.sqrt(within + unknown)),
    )
