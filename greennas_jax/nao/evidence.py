"""A Gaussian process that learns which features matter, fitted outside XLA in double precision.

The kernel is that of `gaussian_process` in Matern's shape, on features that are each scaled by a
relevance of their own (Rasmussen and Williams 2006, section 5.1; relevances are log-normal around
1, so that few labels change them little). With a few hundred labels the gradient of the log
posterior in closed form (ibid., equation 5.9) and a quasi-Newton method take milliseconds, where
steps of Adam on padded labels take seconds; and they end at the maximum.

The most probable hyper-parameters of few labels are too sure of themselves: in searches of two
tables of NAS-Bench-201 (12 seeds each) the errors of the queries that followed 8 to 16 labels were
1.5 to 7 times as large as expected, in part because the best label seen sets the scale, and those
after 40 as expected. Predicted variances are therefore widened by 1 + WIDENING / labels; the number
was chosen by what searches of these tables reached.

Shapes: n labels, N labels (padded), F features, M queries, H = 4 hyper-parameters.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg, optimize

from greennas_jax.nao.gaussian_process import HyperPrior, Posterior

JITTER = 1e-4
BOUNDS = (-4.0, 3.0)
STEPS = 60
# Standard deviation of the log of a relevance, and how far it may go.
RELEVANCE = 0.35
FARTHEST = (-3.0, 2.0)
WIDENING = 15.0
_PRIORS = np.asarray(
    [HyperPrior.LENGTH, HyperPrior.SIGNAL, HyperPrior.LINEAR, HyperPrior.NOISE], float
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Process:
    """A fitted process.

    Attributes:
      posterior: Of the scaled features.
      scale: Relevance of each feature, [F].
      width: Factor on predicted standard deviations, and on the noise.
    """

    posterior: Posterior
    scale: jax.Array
    width: jax.Array

    def predict(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and standard deviation [M] of the noise-free value at features [M, F]."""
        mean, spread = self.posterior.predict(features * self.scale)
        return mean, self.width * spread

    def joint(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean [M] and covariance [M, M] of the noise-free values at features [M, F]."""
        mean, covariance = self.posterior.joint(features * self.scale)
        return mean, self.width**2 * covariance

    def noise(self) -> jax.Array:
        """Return the standard deviation of one training, on the modelled scale."""
        return self.width * self.posterior.noise()


class _Parts(NamedTuple):
    """Covariance of labels and what its derivatives need.

    Attributes:
      covariance: With noise, [n, n].
      near: Its part that falls with distance, [n, n].
      slope: Derivative of that part by the squared distance, [n, n].
      dots: Products of scaled features, a feature's share each, [n, n].
      squares: Squared distances of them, likewise, [n, n].
    """

    covariance: np.ndarray
    near: np.ndarray
    slope: np.ndarray
    dots: np.ndarray
    squares: np.ndarray


def fit(rows: np.ndarray, targets: np.ndarray, size: int, *, linear: bool = False) -> Process:
    """Fit hyper-parameters and relevances; the posterior is padded to a fixed number of labels.

    Args:
      rows: Features [n, F]; at least one.
      targets: Values on the modelled scale [n].
      size: N, from n.
      linear: Whether the process is linear in equally relevant features: its other part is held
        at its least.

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
    bounds = [BOUNDS] * len(_PRIORS) + [(0.0, 0.0) if linear else FARTHEST] * rows.shape[1]
    start = np.concatenate([_PRIORS[:, 0], np.zeros(rows.shape[1])])
    if linear:
        bounds[1], start[1] = (BOUNDS[0], BOUNDS[0]), BOUNDS[0]
    found = optimize.minimize(
        negative_log_posterior,
        start,
        args=(rows, standard),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": STEPS},
    )
    hyper, relevance = np.split(found.x, [len(_PRIORS)])
    scaled = rows * np.exp(relevance)
    factor = linalg.cholesky(_parts(hyper, scaled).covariance, lower=True)
    weights = linalg.cho_solve((factor, True), standard)
    whole = np.eye(size)
    whole[:count, :count] = factor
    posterior = Posterior(
        features=padded(scaled, size),
        weights=padded(weights, size),
        factor=jnp.asarray(whole, jnp.float32),
        present=jnp.arange(size) < count,
        hyper=jnp.asarray(hyper, jnp.float32),
        mean=jnp.asarray(mean, jnp.float32),
        spread=jnp.asarray(spread, jnp.float32),
        shape="matern",
    )
    return Process(
        posterior,
        jnp.asarray(np.exp(relevance), jnp.float32),
        jnp.asarray(np.sqrt(1 + WIDENING / count), jnp.float32),
    )


def padded(values: np.ndarray, size: int) -> jax.Array:
    """Return values [n, ...] with zeros behind them, float32 [size, ...]."""
    found = np.zeros((size, *values.shape[1:]), np.float32)
    found[: len(values)] = values
    return jnp.asarray(found)


def _parts(hyper: np.ndarray, scaled: np.ndarray) -> _Parts:
    """Return the covariance of labels with scaled features [n, F], and its parts."""
    length, signal, linear, noise = np.exp(2 * hyper)
    dots = scaled @ scaled.T / scaled.shape[1]
    norms = np.diag(dots)
    squares = np.maximum(norms[:, None] + norms[None] - 2 * dots, 0.0)
    root = np.sqrt(3 * squares / length)
    near = signal * (1 + root) * np.exp(-root)
    slope = -1.5 * signal * np.exp(-root) / length
    covariance = near + linear * dots + (noise + JITTER) * np.eye(len(dots))
    return _Parts(covariance, near, slope, dots, squares)


def negative_log_posterior(
    values: np.ndarray, rows: np.ndarray, targets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the negative log posterior, but for a constant, and its gradient.

    Args:
      values: Logs of length scale, signal, linear part and noise, then of the relevances, [H + F].
      rows: Features of the labels, [n, F].
      targets: Standardised values [n].
    """
    hyper, relevance = np.split(np.asarray(values, float), [len(_PRIORS)])
    parts = _parts(hyper, rows * np.exp(relevance))
    factor = linalg.cho_factor(parts.covariance, lower=True)
    solved = linalg.cho_solve(factor, targets)
    inverse = linalg.cho_solve(factor, np.eye(len(targets)))
    pull = 0.5 * (inverse - np.outer(solved, solved))
    _, _, linear, noise = np.exp(2 * hyper)
    by_distance = pull * parts.slope
    gradient = [
        -2 * np.sum(by_distance * parts.squares),
        2 * np.sum(pull * parts.near),
        2 * linear * np.sum(pull * parts.dots),
        2 * noise * np.trace(pull),
    ]
    # Of a feature: the sum over pairs of w_ij (x_i - x_j)^2 and of v_ij x_i x_j, its weight
    # outside.
    apart = 2 * (by_distance.sum(1) @ rows**2 - np.sum(rows * (by_distance @ rows), axis=0))
    along = linear * np.sum(rows * (pull @ rows), axis=0)
    by_relevance = 2 * np.exp(2 * relevance) / rows.shape[1] * (apart + along)
    away = (hyper - _PRIORS[:, 0]) / _PRIORS[:, 1]
    value = 0.5 * targets @ solved + np.sum(np.log(np.diag(factor[0]))) + 0.5 * away @ away
    value += 0.5 * np.sum((relevance / RELEVANCE) ** 2)
    slopes = [np.asarray(gradient) + away / _PRIORS[:, 1], by_relevance + relevance / RELEVANCE**2]
    return float(value), np.concatenate(slopes)
