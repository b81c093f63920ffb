"""What a query is worth: expected saving below the best known, times the chance of feasibility.

Cost is known exactly, so the expected constrained improvement (Schonlau, Welch and Jones 1998;
Gardner et al. 2014) is the saving itself times the probability that the accuracy guard holds. In
logarithms, with a softened saving, its gradient reaches everywhere.

Shapes: M candidates, O features.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from greennas_jax.nao import gaussian_process
from greennas_jax.nao.gaussian_process import Posterior

SOFTNESS = 0.02


class Goal(NamedTuple):
    """What the search is after.

    Attributes:
      threshold: Least accuracy, on the modelled scale; -1e9 where only cost counts.
      best: Log cost of the cheapest architecture believed feasible.
    """

    threshold: jax.Array | float
    best: jax.Array | float


def log_worth(log_cost: jax.Array, mean: jax.Array, spread: jax.Array, goal: Goal) -> jax.Array:
    """Return the log of the expected constrained improvement.

    Args:
      log_cost: Natural log of the cost, [M].
      mean: Expected accuracy on the modelled scale, [M].
      spread: Its standard deviation, [M].
      goal: Threshold and best cost.
    """
    saving = SOFTNESS * jax.nn.softplus((goal.best - log_cost) / SOFTNESS)
    feasible = jax.scipy.stats.norm.logcdf((mean - goal.threshold) / spread)
    return jnp.log(jnp.maximum(saving, 1e-30)) + feasible


def worth_at(
    posterior: Posterior, features: jax.Array, log_cost: jax.Array, goal: Goal
) -> jax.Array:
    """Return `log_worth` [M] at features [M, O] with known log cost [M]."""
    mean, spread = gaussian_process.predict(posterior, features)
    return log_worth(log_cost, mean, spread, goal)


@functools.partial(jax.jit, static_argnames=("batch",))
def select(
    posterior: Posterior,
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
      features: Float [M, O].
      log_cost: Float [M].
      allowed: bool [M].
      goal: Threshold and best cost.
      batch: How many to choose.

    Returns:
      Indices int32 [batch], and mean and standard deviation of each when it was chosen; an index
      of -1 where no allowed candidate was left.
    """
    mean, covariance = gaussian_process.joint(posterior, features)
    noise = gaussian_process.noise(posterior) ** 2 + 1e-6

    def step(carry, _):
        covariance, allowed, best = carry
        spread = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 1e-8))
        worth = log_worth(log_cost, mean, spread, Goal(goal.threshold, best))
        index = jnp.argmax(jnp.where(allowed, worth, -jnp.inf))
        column = covariance[:, index]
        covariance = covariance - jnp.outer(column, column) / (column[index] + noise)
        believed = mean[index] >= goal.threshold
        best = jnp.where(believed, jnp.minimum(best, log_cost[index]), best)
        found = jnp.where(allowed[index], index, -1).astype(jnp.int32)
        return (covariance, allowed.at[index].set(False), best), (found, spread[index])

    carry = (covariance, allowed, jnp.asarray(goal.best, mean.dtype))
    _, (chosen, spreads) = jax.lax.scan(step, carry, None, length=batch)
    return chosen, mean[chosen], spreads
