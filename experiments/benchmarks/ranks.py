"""Rank correlation, with ties."""

import math
from typing import Any

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of some values [N] from 0, equal values their mean rank: float64 [N]."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def spearman(first: Any, second: Any) -> float | None:
    """Return the rank correlation of two vectors [N]; None where one of them does not vary."""
    one, other = ranks(np.asarray(first)), ranks(np.asarray(second))
    if one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def interval(correlation: float | None, count: int) -> list[float] | None:
    """Return the 95 % interval of a rank correlation of so many pairs.

    Fisher's transform with the variance 1.06 / (N - 3) (Fieller, Hartley and Pearson 1957).
    """
    if correlation is None or count < 4 or abs(correlation) >= 1:
        return None
    centre, half = math.atanh(correlation), 1.96 * math.sqrt(1.06 / (count - 3))
    return [math.tanh(centre - half), math.tanh(centre + half)]
