"""How well predictions order architectures, and how well noise lets them be ordered at all.

Shapes: n architectures.
"""

from typing import NamedTuple

import numpy as np


class Agreement(NamedTuple):
    """Two scores of an order.

    Attributes:
      pairwise: Share of pairs in the right order.
      spearman: Rank correlation.
    """

    pairwise: float
    spearman: float


def pairwise_order(predicted: np.ndarray, seen: np.ndarray) -> float:
    """Return the share of pairs that a prediction [n] orders as seen [n] (Luo et al. 2018).

    Pairs that are seen equal are left out; one that is predicted equal counts a half.

    Raises:
      ValueError: If no two seen values differ.
    """
    above = np.triu(np.sign(np.subtract.outer(seen, seen)), 1)
    if not above.any():
        raise ValueError("no two values differ; an order needs two that do")
    agrees = above * np.sign(np.subtract.outer(predicted, predicted))
    return float(np.mean((1 + agrees[above != 0]) / 2))


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values [n] from 0, equal values their mean rank: float64 [n]."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's correlation of values [n] and [n]; 0 where one of them is constant."""
    one, other = ranks(first), ranks(second)
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def agreement(predicted: np.ndarray, seen: np.ndarray) -> Agreement:
    """Return both scores of a prediction [n] of what was seen [n]."""
    return Agreement(pairwise_order(predicted, seen), rank_correlation(predicted, seen))


def attainable(
    seen: np.ndarray, examples: int, seed: int, *, draws: int = 200
) -> tuple[float, Agreement]:
    """Return what the noise of shares leaves to be predicted.

    The truth is unknown; what stands for it are the observed shares drawn towards their mean until
    their variance is the observed one less that of the noise (binomial, of `examples` trials). It
    is scored against draws of what would be observed. A model that knew the truth would score so.

    Args:
      seen: Observed shares, float64 [n].
      examples: Trials behind each.
      seed: Of the draws.
      draws: How many are averaged.

    Returns:
      The true part of the observed variance, and the scores.
    """
    rng = np.random.default_rng(seed)
    whole, noise = float(np.var(seen)), float(np.mean(seen * (1 - seen))) / examples
    true = max(whole - noise, 0.0) / whole if whole else 0.0
    centre = np.mean(seen)
    truth = np.clip(centre + np.sqrt(true) * (seen - centre), 0, 1)
    found = [agreement(truth, rng.binomial(examples, truth) / examples) for _ in range(draws)]
    return true, Agreement(*np.mean(found, axis=0).tolist())
