import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.nao import front_gain
from greennas_jax.nao.front_gain import BestGoal, FrontGoal


@dataclasses.dataclass(frozen=True)
class Known:
    """A model whose mean is the first feature; spreads and noise are given."""

    spread: float
    deviation: float

    def predict(self, features):
        return features[:, 0], jnp.full(features.shape[0], self.spread)

    def joint(self, features):
        return features[:, 0], self.spread**2 * jnp.eye(features.shape[0])

    def noise(self):
        return jnp.asarray(self.deviation)


jax.tree_util.register_dataclass(Known, data_fields=["spread", "deviation"], meta_fields=[])
# Two points of a front; the reference is (accuracy 0.5, log cost 3), the ceiling 1.
FRONT = FrontGoal(
    accuracies=jnp.array([0.9, 0.7, front_gain.ABSENT, front_gain.ABSENT]),
    log_costs=jnp.array([2.0, 1.0, 3.0, 3.0]),
    floor=jnp.asarray(0.5),
    limit=jnp.asarray(3.0),
    ceiling=jnp.asarray(1.0),
    softness=jnp.asarray(1e-4),
)


def area_gained(accuracy: float, cost: float) -> float:
    """The staircase's missing part, by hand: levels 0.5 up to 1, 0.7 up to 2, 0.9 up to 3."""
    steps = [(-np.inf, 1.0, 0.5), (1.0, 2.0, 0.7), (2.0, 3.0, 0.9)]
    return sum(
        max(end - max(start, cost), 0.0) * max(accuracy - level, 0.0) for start, end, level in steps
    )


@pytest.mark.parametrize("cost", [0.5, 1.5, 2.5])
def test_gain_is_the_expected_area(cost):
    model = Known(0.4, 0.3)
    mean = -np.log(1 - 0.8)
    rng = np.random.default_rng(0)
    # What is observed has the spread of the belief and of the noise.
    drawn = 1 - np.exp(-rng.normal(mean, 0.5, 40_000))
    expected = np.mean([area_gained(value, cost) for value in drawn])
    worth = FRONT.worth(model, jnp.array([[mean]]), jnp.array([cost]))
    assert float(jnp.exp(worth[0])) == pytest.approx(expected, rel=0.02)


def test_gain_has_a_gradient_where_nothing_is_gained():
    def worth(value, cost):
        soft = FRONT._replace(softness=jnp.asarray(0.05))
        return soft.worth(Known(0.05, 0.05), value[None, None], cost[None])[0]

    pull = jax.grad(worth, argnums=(0, 1))(jnp.asarray(0.2), jnp.asarray(2.9))
    assert np.isfinite(pull).all() and pull[0] > 0 and pull[1] < 0


def test_accuracy_alone_is_expected_improvement():
    model, best = Known(0.3, 0.4), 0.85
    rng = np.random.default_rng(1)
    drawn = 1 - np.exp(-rng.normal(1.5, 0.5, 100_000))
    worth = BestGoal(best, 1.0).worth(model, jnp.array([[1.5]]), jnp.array([7.0]))
    expected = np.maximum(drawn - best, 0).mean()
    assert float(jnp.exp(worth[0])) == pytest.approx(expected, rel=0.02)


def test_a_batch_does_not_choose_the_same_gain_twice():
    model = Known(0.01, 0.01)
    # Two good candidates at one cost, and a worse one elsewhere that still gains after the first.
    mean = -jnp.log(1 - jnp.array([0.95, 0.949, 0.8, 0.1]))
    costs = jnp.array([2.4, 2.4, 1.5, 2.9])
    chosen = front_gain.select(
        model, mean[:, None], costs, jnp.array([True, True, True, False]), FRONT,
        front_gain.References(jnp.full(2, 0.5), jnp.full(2, FRONT.limit)), batch=2,
    )  # fmt: skip
    assert chosen.tolist() == [2, 0]
    gains = [area_gained(0.95, 2.4), area_gained(0.8, 1.5)]
    assert gains[1] > gains[0]


def test_unknown_cost_is_averaged_over():
    model, goal = Known(0.2, 0.2), FRONT._replace(cost=Known(0.3, 0.0))
    features = jnp.array([[1.5]])
    spread = float(np.hypot(0.2, 0.2))
    # Over a fine grid of the normal distribution of log cost, whose mean is the feature too.
    nodes = np.linspace(-4, 4, 2001)
    weights = np.exp(-0.5 * nodes**2) / np.exp(-0.5 * nodes**2).sum()
    costs = jnp.asarray(1.5 + 0.3 * nodes)
    gains = front_gain.log_gain(FRONT, jnp.full(2001, 1.5), jnp.full(2001, spread), costs)
    expected = float((weights * np.exp(np.asarray(gains))).sum())
    worth = goal.worth(model, features, jnp.zeros(1))
    assert float(jnp.exp(worth[0])) == pytest.approx(expected, rel=0.05)
