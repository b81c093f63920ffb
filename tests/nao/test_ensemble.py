import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.nao import acquisition, ensemble, training
from greennas_jax.nao.acquisition import Goal
from greennas_jax.nao.labels import Labels

WIDTH, OTHERS = 8, 3


def truth(x):
    return np.sin(x[:, OTHERS]) + 0.5 * x[:, OTHERS + 1] * x[:, OTHERS + 2]


def made(count, padded, noise, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(padded, OTHERS + WIDTH)).astype(np.float32)
    y = truth(x) + noise * rng.normal(size=padded)
    repeats = (np.arange(padded) < count).astype(np.float32)
    targets = np.where(repeats > 0, y, 99.0).astype(np.float32)
    return Labels(jnp.asarray(x), jnp.asarray(targets), jnp.asarray(repeats))


@pytest.fixture(scope="module")
def fitted():
    return ensemble.fit(made(600, 640, 0.2), jax.random.key(0), width=WIDTH)


@pytest.fixture(scope="module")
def fresh():
    return np.random.default_rng(9).normal(size=(500, OTHERS + WIDTH)).astype(np.float32)


@pytest.mark.slow
def test_many_labels_are_learned_and_ranked(fitted, fresh):
    mean, _ = fitted.predict(jnp.asarray(fresh))
    assert training.spearman(np.asarray(mean), truth(fresh)) > 0.9
    assert np.sqrt(np.mean((mean - truth(fresh)) ** 2)) < 0.4 * truth(fresh).std()


def test_uncertainty_covers_the_truth(fitted, fresh):
    """About 68 % of the noise-free truth lies within one standard deviation."""
    mean, spread = fitted.predict(jnp.asarray(fresh))
    assert 0.5 < np.mean(np.abs(truth(fresh) - mean) < spread) < 0.92


def test_noise_of_one_training_is_found(fitted):
    assert float(fitted.noise()) == pytest.approx(0.2, abs=0.15)


def test_uncertainty_grows_away_from_the_labels(fitted, fresh):
    _, near = fitted.predict(jnp.asarray(0.3 * fresh))
    _, far = fitted.predict(jnp.asarray(3 * fresh))
    assert np.mean(far) > 1.5 * np.mean(near)


def test_only_the_mean_of_the_embedding_is_read(fitted, fresh):
    other = fresh.copy()
    other[:, :OTHERS] += 5
    chex.assert_trees_all_close(
        fitted.predict(jnp.asarray(fresh)), fitted.predict(jnp.asarray(other)), atol=1e-5
    )


def test_padding_is_not_learned(fresh):
    """Padded targets are 99: one of them seen would wreck the mean."""
    few = ensemble.fit(made(100, 200, 0.1), jax.random.key(1), width=WIDTH)
    mean, _ = few.predict(jnp.asarray(fresh))
    assert np.abs(mean).max() < 10


def test_serves_the_selection_like_a_gaussian_process(fitted, fresh):
    features = jnp.asarray(fresh[:40])
    log_cost = jnp.linspace(-2.0, 0.0, 40)
    goal = Goal(jnp.asarray(0.0), jnp.asarray(0.0))
    chosen, _, _ = acquisition.select(fitted, features, log_cost, jnp.ones(40, bool), goal, batch=9)
    assert len(set(np.asarray(chosen).tolist())) == 9
    worth = goal.worth(fitted, features, log_cost)
    assert int(chosen[0]) == int(np.argmax(worth))
    mean, spread = fitted.predict(features)
    joint_mean, covariance = fitted.joint(features)
    np.testing.assert_allclose(joint_mean, mean, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), spread, rtol=1e-2)
