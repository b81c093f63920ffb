"""The Gaussian process of `gaussian_process` fitted outside XLA, in double precision.

With a few hundred labels the gradient of the log posterior in closed form (Rasmussen and Williams
2006, equation 5.9) and a quasi-Newton method take milliseconds, where steps of Adam on padded
labels take seconds; and they end at the maximum.

Shapes: n labels, N labels (padded), F features, H = 4 hyper-parameters.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg, optimize

from greennas_jax.nao.gaussian_process import HyperPrior, Posterior

JITTER = 1e-4
BOUNDS = (-4.0, 3.0)
STEPS = 100
_PRIORS = np.asarray(
    [HyperPrior.LENGTH, HyperPrior.SIGNAL, HyperPrior.LINEAR, HyperPrior.NOISE], float
)


def fit(rows: np.ndarray, targets: np.ndarray, size: int, *, linear: bool = False) -> Posterior:
    """Fit hyper-parameters and return the posterior, padded to a fixed number of labels.

    Args:
      rows: Features [n, F]; at least one.
      targets: Values on the modelled scale [n].
      size: N, from n.
      linear: Whether the process is linear: its other part is held at its least.

    Raises:
      ValueError: If there are more labels than `size`, or none.
    """
    count = len(rows)
    if not 0 < count <= size:
        raise ValueError(f"{count} labels; allowed: 1 to {size}")
    rows = np.asarray(rows, float)
    mean = float(np.mean(targets))
    spread = max(float(np.std(targets)), 1e-3)
    standard = (np.asarray(targets, float) - mean) / spread
    dots, squares = _products(rows)
    bounds, start = [BOUNDS] * len(_PRIORS), _PRIORS[:, 0].copy()
    if linear:
        bounds[1], start[1] = (BOUNDS[0], BOUNDS[0]), BOUNDS[0]
    found = optimize.minimize(
        negative_log_posterior,
        start,
        args=(dots, squares, standard),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": STEPS},
    )
    covariance = _covariance(found.x, dots, squares)[0]
    factor = linalg.cholesky(covariance, lower=True)
    weights = linalg.cho_solve((factor, True), standard)
    whole = np.eye(size)
    whole[:count, :count] = factor
    return Posterior(
        features=padded(rows, size),
        weights=padded(weights, size),
        factor=jnp.asarray(whole, jnp.float32),
        present=jnp.arange(size) < count,
        hyper=jnp.asarray(found.x, jnp.float32),
        mean=jnp.asarray(mean, jnp.float32),
        spread=jnp.asarray(spread, jnp.float32),
    )


def padded(values: np.ndarray, size: int) -> jax.Array:
    """Return values [n, ...] with zeros behind them, float32 [size, ...]."""
    found = np.zeros((size, *values.shape[1:]), np.float32)
    found[: len(values)] = values
    return jnp.asarray(found)


def _products(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return dot products and squared distances [n, n] of rows [n, F], a feature's share each."""
    dots = rows @ rows.T / rows.shape[1]
    norms = np.diag(dots)
    return dots, np.maximum(norms[:, None] + norms[None] - 2 * dots, 0.0)


def _covariance(
    hyper: np.ndarray, dots: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariance of the labels [n, n] and its part that falls with distance."""
    length, signal, linear, noise = np.exp(2 * hyper)
    near = signal * np.exp(-0.5 * squares / length)
    return near + linear * dots + (noise + JITTER) * np.eye(len(dots)), near


def negative_log_posterior(
    hyper: np.ndarray, dots: np.ndarray, squares: np.ndarray, targets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the negative log posterior of hyper-parameters, but for a constant, and its gradient.

    Args:
      hyper: Logs of length scale, signal, linear part and noise, [H].
      dots: Dot products of the labels' features, [n, n].
      squares: Their squared distances, [n, n].
      targets: Standardised values [n].
    """
    covariance, near = _covariance(hyper, dots, squares)
    factor = linalg.cho_factor(covariance, lower=True)
    solved = linalg.cho_solve(factor, targets)
    inverse = linalg.cho_solve(factor, np.eye(len(targets)))
    pull = 0.5 * (inverse - np.outer(solved, solved))
    length, _, linear, noise = np.exp(2 * hyper)
    gradient = np.asarray(
        [
            np.sum(pull * near * squares) / length,
            2 * np.sum(pull * near),
            2 * linear * np.sum(pull * dots),
            2 * noise * np.trace(pull),
        ]
    )
    away = (hyper - _PRIORS[:, 0]) / _PRIORS[:, 1]
    value = 0.5 * targets @ solved + np.sum(np.log(np.diag(factor[0]))) + 0.5 * away @ away
    return float(value), gradient + away / _PRIORS[:, 1]
