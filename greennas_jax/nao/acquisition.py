"""What a query is worth: expected saving below the best known, times the chance of feasibility.

Cost is known exactly, so the expected constrained improvement (Schonlau, Welch and Jones 1998;
Gardner et al. 2014) is the saving itself times the probability that the accuracy guard holds. In
logarithms, with a softened saving, its gradient reaches everywhere. Which architecture is the best
known is itself uncertain under noise, so the saving is averaged over what is the best at several
levels of belief (after Letham et al. 2019): an optimistic incumbent must not end the search above.

Shapes: M candidates, F features, J levels of belief.
"""

import functools
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

SOFTNESS = 0.02


class AccuracyModel(Protocol):
    """A fitted model of accuracy with uncertainty, a pytree; on the scale of a `Warp`."""

    def predict(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and standard deviation [M] at features [M, F]."""
        ...

    def joint(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean [M] and covariance [M, M] at features [M, F]."""
        ...

    def noise(self) -> jax.Array:
        """Return the standard deviation of one training."""
        ...


# Means of the five equally probable parts of a normal distribution, in standard deviations.
LEVELS = (-1.4, -0.53, 0.0, 0.53, 1.4)


class Goal(NamedTuple):
    """What the search is after.

    Attributes:
      threshold: Least accuracy, on the modelled scale; -1e9 where only cost counts.
      best: Log cost of the cheapest architecture believed feasible, at each level [J] or one.
      levels: Standard deviations that are added to a belief at each level, like `best`.
    """

    threshold: jax.Array | float
    best: jax.Array | float
    levels: jax.Array | float = 0.0

    def worth(
        self, posterior: AccuracyModel, features: jax.Array, log_cost: jax.Array
    ) -> jax.Array:
        """Return `log_worth` [M] at features [M, F] with known log cost [M]."""
        mean, spread = posterior.predict(features)
        return log_worth(log_cost, mean, spread, self)


class Worth(Protocol):
    """What a search is after, a pytree that says what a candidate is worth to it."""

    def worth(
        self, posterior: AccuracyModel, features: jax.Array, log_cost: jax.Array
    ) -> jax.Array:
        """Return the log of what querying is worth [M] at features [M, F] and log cost [M]."""
        ...


def log_worth(log_cost: jax.Array, mean: jax.Array, spread: jax.Array, goal: Goal) -> jax.Array:
    """Return the log of the expected constrained improvement.

    Args:
      log_cost: Natural log of the cost, [M].
      mean: Expected accuracy on the modelled scale, [M].
      spread: Its standard deviation, [M].
      goal: Threshold and best cost.
    """
    gaps = jnp.atleast_1d(jnp.asarray(goal.best)) - log_cost[..., None]
    saving = jnp.mean(SOFTNESS * jax.nn.softplus(gaps / SOFTNESS), axis=-1)
    feasible = jax.scipy.stats.norm.logcdf((mean - goal.threshold) / spread)
    return jnp.log(jnp.maximum(saving, 1e-30)) + feasible


@jax.jit
def believe(posterior: AccuracyModel, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and standard deviation [M] at features [M, F], compiled."""
    return posterior.predict(features)


@functools.partial(jax.jit, static_argnames=("batch",))
def select(
    posterior: AccuracyModel,
    features: jax.Array,
    log_cost: jax.Array,
    allowed: jax.Array,
    goal: Goal,
    *,
    batch: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose a batch one after another, believing each at its mean (Ginsbourger et al. 2010).

    Args:
      posterior: The accuracy model.
      features: Float [M, F].
      log_cost: Float [M].
      allowed: bool [M].
      goal: Threshold and best cost.
      batch: How many to choose.

    Returns:
      Indices int32 [batch], and mean and standard deviation of each when it was chosen; an index
      of -1 where no allowed candidate was left.
    """
    mean, covariance = posterior.joint(features)
    noise = posterior.noise() ** 2 + 1e-6

    def step(carry, _):
        covariance, allowed, best = carry
        spread = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 1e-8))
        worth = log_worth(log_cost, mean, spread, goal._replace(best=best))
        index = jnp.argmax(jnp.where(allowed, worth, -jnp.inf))
        column = covariance[:, index]
        covariance = covariance - jnp.outer(column, column) / (column[index] + noise)
        believed = mean[index] + levels * spread[index] >= goal.threshold
        best = jnp.where(believed, jnp.minimum(best, log_cost[index]), best)
        found = jnp.where(allowed[index], index, -1).astype(jnp.int32)
        return (covariance, allowed.at[index].set(False), best), (found, spread[index])

    levels = jnp.atleast_1d(jnp.asarray(goal.levels, mean.dtype))
    best = jnp.broadcast_to(jnp.asarray(goal.best, mean.dtype), levels.shape)
    carry = (covariance, allowed, best)
    _, (chosen, spreads) = jax.lax.scan(step, carry, None, length=batch)
    return chosen, mean[chosen], spreads
