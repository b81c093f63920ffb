import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import gaussian_process as reference

from greennas_jax.nao import acquisition, gaussian_process
from greennas_jax.nao.acquisition import Goal
from greennas_jax.nao.labels import Labels, Warp


def made_labels(count, padded, noise, seed=0, features=6):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(padded, features)).astype(np.float32)
    y = np.sin(x[:, 0]) + 0.5 * x[:, 1] + noise * rng.normal(size=padded)
    repeats = (np.arange(padded) < count).astype(np.float32)
    targets = np.where(repeats > 0, y, 99.0).astype(np.float32)
    return Labels(jnp.asarray(x), jnp.asarray(targets), jnp.asarray(repeats)), x, y


def test_padding_does_not_change_the_posterior():
    few, x, _ = made_labels(20, 64, 0.1)
    tight = Labels(few.features[:20], few.targets[:20], few.repeats[:20])
    wide_mean, wide_spread = gaussian_process.predict(gaussian_process.fit(few), x)
    mean, spread = gaussian_process.predict(gaussian_process.fit(tight), x)
    np.testing.assert_allclose(wide_mean, mean, atol=2e-3)
    np.testing.assert_allclose(wide_spread, spread, atol=2e-3)


def test_posterior_equals_scikit_learn_at_the_same_hyper_parameters():
    labels, x, _ = made_labels(30, 30, 0.1)
    posterior = gaussian_process.fit(labels)
    length, signal, linear, noise = np.exp(np.asarray(posterior.hyper, np.float64))
    features, kernels = x.shape[1], reference.kernels
    kernel = signal**2 * kernels.RBF(length * np.sqrt(features)) + (
        linear**2 / features
    ) * kernels.DotProduct(0.0, "fixed")
    model = reference.GaussianProcessRegressor(kernel, alpha=noise**2 + 1e-4, optimizer=None)
    y = (np.asarray(labels.targets) - float(posterior.mean)) / float(posterior.spread)
    queries = np.random.default_rng(1).normal(size=(10, features))
    expected, expected_spread = model.fit(x, y).predict(queries, return_std=True)
    mean, spread = gaussian_process.predict(posterior, jnp.asarray(queries, jnp.float32))
    unit = float(posterior.spread)
    np.testing.assert_allclose(mean, posterior.mean + unit * expected, atol=5e-3)
    np.testing.assert_allclose(spread, unit * expected_spread, atol=5e-3)


def test_uncertainty_is_calibrated_on_unseen_points():
    """Of the noise-free truth about 68 % lies within one standard deviation."""
    labels, _, _ = made_labels(60, 60, 0.1)
    posterior = gaussian_process.fit(labels)
    x = np.random.default_rng(5).normal(size=(500, 6)).astype(np.float32)
    mean, spread = gaussian_process.predict(posterior, jnp.asarray(x))
    truth = np.sin(x[:, 0]) + 0.5 * x[:, 1]
    inside = np.mean(np.abs(truth - mean) < spread)
    assert 0.5 < inside < 0.9
    assert np.sqrt(np.mean((truth - mean) ** 2)) < 0.35 * truth.std()


def test_repeats_shrink_the_error():
    labels, x, _ = made_labels(20, 20, 0.5)
    many = Labels(labels.features, labels.targets, labels.repeats * 25)
    hyper = gaussian_process.fit(labels)
    _, once = gaussian_process.predict(hyper, x)
    _, often = gaussian_process.predict(gaussian_process.fit(many), x)
    assert np.mean(often) < np.mean(once)


def test_joint_diagonal_is_the_marginal_variance():
    labels, _, _ = made_labels(20, 32, 0.1)
    posterior = gaussian_process.fit(labels)
    x = jnp.asarray(np.random.default_rng(2).normal(size=(7, 6)), jnp.float32)
    mean, spread = gaussian_process.predict(posterior, x)
    joint_mean, covariance = gaussian_process.joint(posterior, x)
    np.testing.assert_allclose(joint_mean, mean, atol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), spread, rtol=5e-2, atol=1e-2)


@pytest.mark.parametrize("ceiling", [1.0, np.inf])
def test_warp_inverts_and_keeps_order(ceiling):
    accuracies = np.array([0.1, 0.5, 0.9, 0.98])
    warp = Warp(ceiling)
    np.testing.assert_allclose(warp.backward(warp.forward(accuracies)), accuracies)
    assert np.all(np.diff(warp.forward(accuracies)) > 0)


def test_worth_is_saving_times_chance():
    # Saving 0.5 (far above the softness), mean one spread above the threshold: P = 0.8413.
    goal = Goal(threshold=2.0, best=-1.0)
    found = acquisition.log_worth(jnp.asarray([-1.5]), jnp.asarray([3.0]), jnp.asarray([1.0]), goal)
    np.testing.assert_allclose(found, np.log(0.5 * 0.8413447), atol=1e-5)


def test_saving_is_averaged_over_what_may_be_the_best():
    # Certainly feasible; savings of 0.5 and of 1.5 are equally probable.
    goal = Goal(threshold=-1e3, best=jnp.asarray([-1.0, 0.0]), levels=jnp.asarray([1.0, -1.0]))
    found = acquisition.log_worth(jnp.asarray([-1.5]), jnp.asarray([3.0]), jnp.asarray([1.0]), goal)
    np.testing.assert_allclose(found, np.log(1.0), atol=1e-5)


def test_worth_has_finite_gradient_everywhere():
    goal = Goal(threshold=2.0, best=-1.0)

    def total(cost, mean):
        return acquisition.log_worth(cost, mean, jnp.asarray(0.1), goal)

    for cost in (-30.0, -1.0, 30.0):
        for mean in (-50.0, 2.0, 50.0):
            assert np.all(np.isfinite(jax.grad(total, argnums=(0, 1))(cost, mean)))


def test_selection_takes_the_best_and_never_twice():
    labels, x, _ = made_labels(30, 32, 0.1)
    posterior = gaussian_process.fit(labels)
    features = jnp.asarray(np.random.default_rng(8).normal(size=(40, 6)), jnp.float32)
    log_cost = jnp.linspace(-2.0, 0.0, 40)
    goal = Goal(jnp.asarray(0.0), jnp.asarray(0.0))
    allowed = jnp.arange(40) % 2 == 0
    chosen, _, spread = acquisition.select(posterior, features, log_cost, allowed, goal, batch=20)
    worth = goal.worth(posterior, features, log_cost)
    assert int(chosen[0]) == int(np.argmax(np.where(allowed, worth, -np.inf)))
    assert sorted(np.asarray(chosen)) == list(range(0, 40, 2))
    _, first = gaussian_process.predict(posterior, features)
    assert np.all(np.asarray(spread) <= np.asarray(first)[np.asarray(chosen)] + 1e-3)


def test_selection_says_when_nothing_is_left():
    labels, _, _ = made_labels(10, 16, 0.1)
    posterior = gaussian_process.fit(labels)
    features = jnp.zeros((4, 6))
    goal = Goal(jnp.asarray(0.0), jnp.asarray(0.0))
    allowed = jnp.asarray([False, True, False, False])
    chosen, _, _ = acquisition.select(posterior, features, jnp.zeros(4), allowed, goal, batch=3)
    assert list(np.asarray(chosen)) == [1, -1, -1]
