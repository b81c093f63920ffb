"""Gaussian process on a few labelled architectures: accuracy with calibrated uncertainty.

Kernel: s^2 k(|x - y|^2 / l^2 O) + b^2 x.y / O + noise, k(q) = exp(-q / 2) or Matern's
(1 + r) exp(-r), r = sqrt(3 q) (Rasmussen and Williams 2006, chapters 2, 4 and 5), hyper-parameters
at the maximum of marginal likelihood x prior. Labels are padded to a
fixed number, so nothing recompiles as they come in.

Shapes: N labels (padded), O features, M queries.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from greennas_jax.nao.labels import Labels

STEPS = 150
# Under a root, so that its slope at a distance of 0 is finite.
ROUNDING = 1e-12


class HyperPrior:
    """Mean and standard deviation of the log-normal priors, targets being standardised."""

    LENGTH = (0.5, 0.7)
    SIGNAL = (0.0, 0.7)
    LINEAR = (-0.5, 0.7)
    NOISE = (-1.5, 0.5)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Posterior:
    """A fitted process: what `predict` needs, which knows the first O of an input's features."""

    features: jax.Array
    weights: jax.Array
    factor: jax.Array
    present: jax.Array
    hyper: jax.Array
    mean: jax.Array
    spread: jax.Array
    shape: str = dataclasses.field(default="squared", metadata={"static": True})

    def predict(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return `predict` of features [M, F]."""
        return predict(self, features[:, : self.features.shape[1]])

    def joint(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return `joint` of features [M, F]."""
        return joint(self, features[:, : self.features.shape[1]])

    def noise(self) -> jax.Array:
        """Return the fitted standard deviation of one training, on the modelled scale."""
        return self.spread * jnp.exp(self.hyper[3])


def falling(squares: jax.Array, shape: str) -> jax.Array:
    """Return k of squared distances in length scales, for a shape `squared` or `matern`."""
    if shape == "squared":
        return jnp.exp(-0.5 * squares)
    root = jnp.sqrt(3 * squares + ROUNDING)
    return (1 + root) * jnp.exp(-root)


def _kernel(
    first: jax.Array, second: jax.Array, hyper: jax.Array, shape: str = "squared"
) -> jax.Array:
    outputs = first.shape[1]
    length, signal, linear = jnp.exp(hyper[0]), jnp.exp(2 * hyper[1]), jnp.exp(2 * hyper[2])
    dots = first @ second.T / outputs
    squares = (first**2).mean(1)[:, None] + (second**2).mean(1)[None] - 2 * dots
    return signal * falling(jnp.maximum(squares, 0) / length**2, shape) + linear * dots


def _covariance(labels: Labels, hyper: jax.Array) -> jax.Array:
    present = labels.repeats > 0
    both = present[:, None] & present[None]
    kernel = jnp.where(both, _kernel(labels.features, labels.features, hyper), 0.0)
    noise = jnp.exp(2 * hyper[3]) / jnp.maximum(labels.repeats, 1) + 1e-4
    return kernel + jnp.diag(jnp.where(present, noise, 1.0))


def _negative_log_posterior(hyper: jax.Array, labels: Labels, targets: jax.Array) -> jax.Array:
    factor = jnp.linalg.cholesky(_covariance(labels, hyper))
    solved = jax.scipy.linalg.solve_triangular(factor, targets, lower=True)
    fit = 0.5 * jnp.sum(solved**2) + jnp.sum(jnp.log(jnp.diagonal(factor)))
    priors = jnp.asarray(
        [HyperPrior.LENGTH, HyperPrior.SIGNAL, HyperPrior.LINEAR, HyperPrior.NOISE]
    )
    return fit + 0.5 * jnp.sum(((hyper - priors[:, 0]) / priors[:, 1]) ** 2)


@functools.partial(jax.jit, static_argnames=("steps",))
def fit(labels: Labels, *, steps: int = STEPS) -> Posterior:
    """Fit hyper-parameters and return the posterior.

    Args:
      labels: Padded labels; at least two must be present. All their features are used.
      steps: Steps of Adam on the log posterior.
    """
    present = labels.repeats > 0
    count = jnp.maximum(present.sum(), 1)
    mean = jnp.sum(jnp.where(present, labels.targets, 0)) / count
    centred = jnp.where(present, labels.targets - mean, 0)
    spread = jnp.maximum(jnp.sqrt(jnp.sum(centred**2) / count), 1e-3)
    targets = centred / spread
    transform = optax.adam(0.1)

    def step(carry, _):
        hyper, state = carry
        grads = jax.grad(_negative_log_posterior)(hyper, labels, targets)
        updates, state = transform.update(grads, state)
        return (jnp.clip(hyper + updates, -4.0, 3.0), state), None

    start = jnp.asarray(
        [HyperPrior.LENGTH[0], HyperPrior.SIGNAL[0], HyperPrior.LINEAR[0], HyperPrior.NOISE[0]]
    )
    (hyper, _), _ = jax.lax.scan(step, (start, transform.init(start)), None, length=steps)
    factor = jnp.linalg.cholesky(_covariance(labels, hyper))
    weights = jax.scipy.linalg.cho_solve((factor, True), targets)
    return Posterior(labels.features, weights, factor, present, hyper, mean, spread)


def _cross(posterior: Posterior, features: jax.Array) -> jax.Array:
    cross = _kernel(features, posterior.features, posterior.hyper, posterior.shape)
    return jnp.where(posterior.present[None], cross, 0.0)


def predict(posterior: Posterior, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and standard deviation [M] of the noise-free value at features [M, O]."""
    cross = _cross(posterior, features)
    solved = jax.scipy.linalg.solve_triangular(posterior.factor, cross.T, lower=True)
    prior = jnp.exp(2 * posterior.hyper[1]) + jnp.exp(2 * posterior.hyper[2]) * (features**2).mean(
        1
    )
    variance = jnp.maximum(prior - jnp.sum(solved**2, axis=0), 1e-6)
    mean = posterior.mean + posterior.spread * (cross @ posterior.weights)
    return mean, posterior.spread * jnp.sqrt(variance)


def joint(posterior: Posterior, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean [M] and covariance [M, M] of the noise-free values at features [M, O]."""
    cross = _cross(posterior, features)
    solved = jax.scipy.linalg.solve_triangular(posterior.factor, cross.T, lower=True)
    covariance = _kernel(features, features, posterior.hyper, posterior.shape) - solved.T @ solved
    mean = posterior.mean + posterior.spread * (cross @ posterior.weights)
    return mean, posterior.spread**2 * covariance
