"""What a query is worth to a front: the expected gain of hypervolume, with known or modelled cost.

The front of accuracy (up) and log cost (down) is a staircase of levels over log cost. A candidate
at a log cost adds, above every level from there to the reference, what its accuracy exceeds that
level by. Its accuracy being C - exp(-t) with t normal (`labels.Warp`), the expected excess is in
closed form: (C - L) Phi(z) - exp(s^2 / 2 - m) Phi(z - s), z = (m - t(L)) / s, as for the expected
improvement (Jones, Schonlau and Welch 1998) of a log-normal value; the sum over levels is the
expected hypervolume improvement (Emmerich, Giannakoglou and Naujoks 2006).

Shapes: M candidates, F features, P points of the front (padded).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from greennas_jax.nao.acquisition import AccuracyModel

ABSENT = -1e9
# Three-point Gauss-Hermite rule: nodes in standard deviations, and weights.
NODES = (-(3**0.5), 0.0, 3**0.5)
WEIGHTS = (1 / 6, 2 / 3, 1 / 6)


class References(NamedTuple):
    """Where the hypervolume of a query, or of each of several in turn, is counted from.

    Attributes:
      floor: Reference accuracy.
      limit: Reference log cost.
    """

    floor: Any
    limit: Any


class FrontGoal(NamedTuple):
    """The front so far, the reference point, and the scale accuracies are modelled on.

    Attributes:
      accuracies: Of the points, [P]; ABSENT where padded.
      log_costs: Of the points, [P].
      floor: Reference accuracy.
      limit: Reference log cost.
      ceiling: C of the modelled scale.
      softness: Log cost over which the edge of a step is softened, for the gradient's sake.
      cost: A fitted model of log cost on the same features where it is not known, else None.
    """

    accuracies: jax.Array
    log_costs: jax.Array
    floor: jax.Array | float
    limit: jax.Array | float
    ceiling: jax.Array | float
    softness: jax.Array | float
    cost: Any = None

    def worth(
        self, posterior: AccuracyModel, features: jax.Array, log_cost: jax.Array
    ) -> jax.Array:
        """Return the log of the expected gain [M] at features [M, F] and log cost [M].

        What a query tells is the value with its noise, so that the noise is part of the spread.
        """
        mean, spread = posterior.predict(features)
        spread = jnp.sqrt(spread**2 + posterior.noise() ** 2)
        if self.cost is None:
            return log_gain(self, mean, spread, log_cost)
        return self._averaged(mean, spread, *self.cost.predict(features))

    def _averaged(self, mean, spread, log_cost, deviation) -> jax.Array:
        """Return the log of the gain expected over a normal log cost."""
        gains = [
            log_gain(self, mean, spread, log_cost + node * deviation) + jnp.log(weight)
            for node, weight in zip(NODES, WEIGHTS, strict=True)
        ]
        return jax.nn.logsumexp(jnp.stack(gains), axis=0)


class BestGoal(NamedTuple):
    """The best accuracy so far, whatever it costs, and the scale accuracies are modelled on.

    Attributes:
      best: Accuracy.
      ceiling: C of the modelled scale.
    """

    best: jax.Array | float
    ceiling: jax.Array | float

    def worth(
        self, posterior: AccuracyModel, features: jax.Array, log_cost: jax.Array
    ) -> jax.Array:
        """Return the log of the expected improvement [M] at features [M, F]."""
        mean, spread = posterior.predict(features)
        spread = jnp.sqrt(spread**2 + posterior.noise() ** 2)
        return _log_excess(jnp.atleast_1d(jnp.asarray(self.best)), self.ceiling, mean, spread)[:, 0]


def _levels(goal: FrontGoal) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return start, end and level [P + 1] of every step of the front, from left to right."""
    order = jnp.argsort(goal.log_costs)
    costs = jnp.minimum(goal.log_costs[order], goal.limit)
    best = jax.lax.cummax(jnp.maximum(goal.accuracies[order], goal.floor))
    floor = jnp.full((1,), goal.floor, best.dtype)
    starts = jnp.concatenate([jnp.full((1,), ABSENT, costs.dtype), costs])
    ends = jnp.concatenate([costs, jnp.full((1,), goal.limit, costs.dtype)])
    return starts, ends, jnp.concatenate([floor, best])


def log_gain(goal: FrontGoal, mean: jax.Array, spread: jax.Array, log_cost: jax.Array) -> jax.Array:
    """Return the log of the expected gain [M] of accuracies with mean and spread [M]."""
    starts, ends, levels = _levels(goal)
    left = jnp.maximum(starts, log_cost[:, None])
    widths = goal.softness * jax.nn.softplus((ends - left) / goal.softness)
    # A step between two points of one cost has no width, however soft its edges are.
    widths = jnp.where(ends > starts, jnp.minimum(widths, ends - starts), 0.0)
    excess = _log_excess(levels, goal.ceiling, mean, spread)
    return jax.nn.logsumexp(jnp.log(jnp.maximum(widths, 1e-30)) + excess, axis=1)


def _log_excess(levels, ceiling, mean: jax.Array, spread: jax.Array) -> jax.Array:
    """Return the log of the expected excess [M, P] of accuracies above levels [P]."""
    room = jnp.maximum(ceiling - levels, 1e-6)
    z = (mean[:, None] + jnp.log(room)) / spread[:, None]
    whole = jnp.log(room) + jax.scipy.special.log_ndtr(z)
    half = 0.5 * spread**2 - mean
    lost = half[:, None] + jax.scipy.special.log_ndtr(z - spread[:, None])
    # Where both are tiny their difference is lost to rounding; its order of magnitude is not.
    return whole + jnp.log1p(-jnp.exp(jnp.minimum(lost - whole, -1e-4)))


@functools.partial(jax.jit, static_argnames=("batch",))
def select(
    posterior: AccuracyModel,
    features: jax.Array,
    log_cost: jax.Array,
    allowed: jax.Array,
    goal: FrontGoal,
    references: References,
    *,
    batch: int,
) -> jax.Array:
    """Choose a batch one after another, believing each at its mean (Ginsbourger et al. 2010).

    Args:
      posterior: The accuracy model.
      features: Float [M, F].
      log_cost: Float [M]; of modelled costs not read.
      allowed: bool [M].
      goal: The front; its last `batch` points are padding.
      references: Of each choice in turn, [batch].
      batch: How many to choose.

    Returns:
      Indices int32 [batch]; -1 where no allowed candidate was left.
    """
    mean, covariance = posterior.joint(features)
    noise = posterior.noise() ** 2 + 1e-6
    deviation = jnp.zeros_like(mean)
    if goal.cost is not None:
        log_cost, deviation = goal.cost.predict(features)

    def step(carry, inputs):
        covariance, allowed, goal = carry
        reference, place = inputs
        spread = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 1e-8) + noise)
        goal = goal._replace(floor=reference.floor, limit=reference.limit)
        if goal.cost is None:
            gain = log_gain(goal, mean, spread, log_cost)
        else:
            gain = goal._averaged(mean, spread, log_cost, deviation)
        index = jnp.argmax(jnp.where(allowed, gain, -jnp.inf))
        column = covariance[:, index]
        covariance = covariance - jnp.outer(column, column) / (column[index] + noise)
        goal = goal._replace(
            accuracies=goal.accuracies.at[place].set(goal.ceiling - jnp.exp(-mean[index])),
            log_costs=goal.log_costs.at[place].set(log_cost[index]),
        )
        found = jnp.where(allowed[index], index, -1).astype(jnp.int32)
        return (covariance, allowed.at[index].set(False), goal), found

    places = goal.accuracies.shape[0] - batch + jnp.arange(batch)
    goal = goal._replace(
        floor=jnp.asarray(goal.floor, mean.dtype), limit=jnp.asarray(goal.limit, mean.dtype)
    )
    _, chosen = jax.lax.scan(step, (covariance, allowed, goal), (references, places), length=batch)
    return chosen
