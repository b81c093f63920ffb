"""Non-negative fits with the least relative error, and how well they predict what they did not see.

Shapes: R measured layers, T terms.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

FOLDS = 10
REWEIGHTINGS = 6
HUBER = 3.0
OF_NORMAL = 1.4826
# Halves of these are tried: nought, and powers that a register or a cache may hold.
HALVES = (0.0, 1.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0)
# A relative error up to here counts by its square, beyond by itself (Huber 1964).
SQUARED_TO = 0.3
# Five figures are fitted to as many layers as make two for each, else three.
LEAST_FOR_HALVES = 20

Fit = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def solve(terms: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the non-negative coefficients of terms with the least relative error, float64 [T].

    An error beyond three robust standard deviations counts as if it were there.

    Args:
      terms: float64 [R, T].
      wanted: What their sum should be, float64 [R].
    """
    relative = terms / wanted[:, None]
    scale = np.maximum(np.abs(relative).max(0), 1e-300)
    weights = np.ones(len(wanted))
    found = np.zeros(terms.shape[1])
    for _ in range(REWEIGHTINGS):
        root = np.sqrt(weights)
        found = optimize.nnls(relative / scale * root[:, None], root)[0] / scale
        errors = np.abs(relative @ found - 1.0)
        limit = HUBER * OF_NORMAL * max(float(np.median(errors)), 1e-9)
        weights = np.minimum(1.0, limit / np.maximum(errors, 1e-300))
    return found


def linear(terms: np.ndarray, wanted: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts by `solve`."""
    found = solve(terms, wanted)
    return lambda others: others @ found


class Time(NamedTuple):
    """How long layers of a kind take: overhead, time of products, of traffic, and two halves.

    Attributes:
      coefficients: Of calls, time at the peak rate and time at the bandwidth, float64 [3].
      half_inputs: Numbers summed at which half of the rate is reached.
      half_outputs: Outputs at which half of it is reached.
    """

    coefficients: np.ndarray
    half_inputs: float
    half_outputs: float

    def __call__(self, terms: np.ndarray) -> np.ndarray:
        """Return the times of layers [ms], [R], given their terms [R, 5]."""
        return slowed(terms, self.half_inputs, self.half_outputs) @ self.coefficients


def slowed(terms: np.ndarray, half_inputs: float, half_outputs: float) -> np.ndarray:
    """Return (calls, slowed products, traffic) [R, 3].

    Args:
      terms: Calls, products at the peak rate, traffic at the bandwidth, numbers summed, outputs;
        float64 [R, 5].
      half_inputs: Numbers summed at which half of the rate is reached.
      half_outputs: Outputs at which half of it is reached.
    """
    slower = (1 + half_inputs / terms[:, 3]) * (1 + half_outputs / terms[:, 4])
    return np.stack([terms[:, 0], terms[:, 1] * slower, terms[:, 2]], axis=1)


def time(terms: np.ndarray, wanted: np.ndarray) -> Time:
    """Return the fit of times: of all pairs of halves the one with the least relative error.

    Args:
      terms: As `slowed`, float64 [R, 5].
      wanted: Measured times [ms], [R].
    """
    tried = itertools.product(HALVES, HALVES)
    if len(wanted) < LEAST_FOR_HALVES or not terms[:, 1].any():
        tried = [(0.0, 0.0)]
    fits = []
    for halves in tried:
        shaped = slowed(terms, *halves)
        coefficients = solve(shaped, wanted)
        errors = np.abs(shaped @ coefficients / wanted - 1.0)
        squared = np.minimum(errors, SQUARED_TO)
        loss = float(np.mean(squared * (2 * errors - squared)))
        # Without products the halves mean nothing; the least come first and stay.
        fits.append((loss, sum(halves), Time(coefficients, *halves)))
    return min(fits, key=lambda fit: fit[:2])[2]


def rmspe(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Return the root mean square percentage error [%]."""
    return float(100 * np.sqrt(np.mean((predicted / measured - 1.0) ** 2)))


def crossed(terms: np.ndarray, wanted: np.ndarray, seed: int, fit: Fit = linear) -> float:
    """Return the cross-validated RMSPE [%]: each tenth is predicted by a fit to the others.

    Args:
      terms: float64 [R, T].
      wanted: float64 [R], two or more.
      seed: Of the folds.
      fit: Returns what predicts.
    """
    order = np.random.default_rng(seed).permutation(len(wanted))
    predicted = np.zeros(len(wanted))
    for fold in range(min(FOLDS, len(wanted))):
        out = order[fold::FOLDS]
        kept = np.setdiff1d(order, out)
        predicted[out] = fit(terms[kept], wanted[kept])(terms[out])
    return rmspe(predicted, wanted)
