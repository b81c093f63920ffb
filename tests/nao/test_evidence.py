from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from sklearn import gaussian_process as reference

from greennas_jax.nao import evidence


def made(count=30, features=6, noise=0.1):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, features))
    return rows, np.sin(rows[:, 0]) + 0.5 * rows[:, 1] + noise * rng.normal(size=count)


def standardised(targets):
    return (targets - targets.mean()) / targets.std()


def test_the_gradient_is_that_of_differences():
    rows, targets = made()
    arguments = (rows, standardised(targets))
    for hyper in ([0.5, 0.0, -0.5, -1.5], [-0.2, 0.7, -1.0, -2.5]):
        values = np.concatenate([hyper, np.linspace(-0.7, 0.5, rows.shape[1])])
        _, gradient = evidence.negative_log_posterior(values, *arguments)
        expected: Any = optimize.approx_fprime(
            values, lambda v: evidence.negative_log_posterior(v, *arguments)[0], 1e-6
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_the_process_is_scikit_learns_but_wider_whatever_the_padding():
    rows, targets = made()
    found = evidence.fit(rows, targets, 64)
    length, signal, linear, noise = np.exp(np.asarray(found.posterior.hyper, np.float64))
    scale = np.asarray(found.scale, np.float64)
    features, kernels = rows.shape[1], reference.kernels
    kernel = signal**2 * kernels.Matern(length * np.sqrt(features), nu=1.5) + (
        linear**2 / features
    ) * kernels.DotProduct(0.0, "fixed")
    model = reference.GaussianProcessRegressor(kernel, alpha=noise**2 + 1e-4, optimizer=None)
    queries = np.random.default_rng(1).normal(size=(10, features))
    model = model.fit(rows * scale, standardised(targets))
    expected, expected_spread = model.predict(queries * scale, return_std=True)
    wider = np.sqrt(1 + 15 / 30)
    for mean, spread in (
        found.predict(jnp.asarray(queries, jnp.float32)),
        (lambda mean, joint: (mean, np.sqrt(np.diag(joint))))(
            *found.joint(jnp.asarray(queries, jnp.float32))
        ),
    ):
        np.testing.assert_allclose(mean, targets.mean() + targets.std() * expected, atol=5e-3)
        np.testing.assert_allclose(spread, wider * targets.std() * expected_spread, atol=5e-3)
    np.testing.assert_allclose(found.noise(), wider * targets.std() * noise, rtol=1e-3)


def test_no_hyper_parameters_near_by_are_better():
    rows, targets = made(count=40)
    found = evidence.fit(rows, targets, 40)
    values = np.concatenate([found.posterior.hyper, np.log(np.asarray(found.scale, float))])
    arguments = (rows, standardised(targets))
    least = evidence.negative_log_posterior(values, *arguments)[0]
    for axis in range(len(values)):
        for step in (-0.1, 0.1):
            moved = values + step * np.eye(len(values))[axis]
            assert evidence.negative_log_posterior(moved, *arguments)[0] > least


def test_features_that_matter_are_found_relevant():
    rows, targets = made(count=80)
    scale = np.asarray(evidence.fit(rows, targets, 128).scale)
    assert scale[:2].min() > 1.2 * scale[2:].max()


def test_a_linear_process_predicts_a_plane():
    rows, targets = made(count=40, features=3)
    posterior = evidence.fit(rows, targets, 64, linear=True)
    direction = np.asarray([[1.0, -1.0, 2.0]], np.float32)
    along = jnp.asarray(np.concatenate([k * direction for k in range(3)]))
    mean, _ = posterior.predict(along)
    assert abs(mean[1] - mean[0]) > 0.1
    np.testing.assert_allclose(mean[2] - mean[1], mean[1] - mean[0], rtol=0.1)


def test_too_many_labels_are_refused():
    rows, targets = made()
    with pytest.raises(ValueError, match="30 labels; allowed: 1 to 16"):
        evidence.fit(rows, targets, 16)
