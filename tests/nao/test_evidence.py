from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from sklearn import gaussian_process as reference

from greennas_jax.nao import evidence, gaussian_process


def made(count=30, features=6, noise=0.1):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, features))
    return rows, np.sin(rows[:, 0]) + 0.5 * rows[:, 1] + noise * rng.normal(size=count)


def products(rows):
    gaps = rows[:, None] - rows[None]
    return rows @ rows.T / rows.shape[1], (gaps**2).mean(-1)


def test_the_gradient_is_that_of_differences():
    rows, targets = made()
    dots, squares = products(rows)
    standard = (targets - targets.mean()) / targets.std()
    arguments = (dots, squares, standard)
    for hyper in ([0.5, 0.0, -0.5, -1.5], [-0.2, 0.7, -1.0, -2.5]):
        _, gradient = evidence.negative_log_posterior(np.asarray(hyper), *arguments)
        expected: Any = optimize.approx_fprime(
            np.asarray(hyper), lambda h: evidence.negative_log_posterior(h, *arguments)[0], 1e-6
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_the_posterior_is_scikit_learns_whatever_the_padding():
    rows, targets = made()
    posterior = evidence.fit(rows, targets, 64)
    length, signal, linear, noise = np.exp(np.asarray(posterior.hyper, np.float64))
    features, kernels = rows.shape[1], reference.kernels
    kernel = signal**2 * kernels.RBF(length * np.sqrt(features)) + (
        linear**2 / features
    ) * kernels.DotProduct(0.0, "fixed")
    model = reference.GaussianProcessRegressor(kernel, alpha=noise**2 + 1e-4, optimizer=None)
    standard = (targets - targets.mean()) / targets.std()
    queries = np.random.default_rng(1).normal(size=(10, features))
    expected, expected_spread = model.fit(rows, standard).predict(queries, return_std=True)
    mean, spread = gaussian_process.predict(posterior, jnp.asarray(queries, jnp.float32))
    np.testing.assert_allclose(mean, targets.mean() + targets.std() * expected, atol=5e-3)
    np.testing.assert_allclose(spread, targets.std() * expected_spread, atol=5e-3)


def test_no_hyper_parameters_near_by_are_better():
    rows, targets = made(count=40)
    found = np.asarray(evidence.fit(rows, targets, 40).hyper, float)
    arguments = (*products(rows), (targets - targets.mean()) / targets.std())
    least = evidence.negative_log_posterior(found, *arguments)[0]
    for axis in range(4):
        for step in (-0.1, 0.1):
            moved = found + step * np.eye(4)[axis]
            assert evidence.negative_log_posterior(moved, *arguments)[0] > least


def test_a_linear_process_predicts_a_plane():
    rows, targets = made(count=40, features=3)
    posterior = evidence.fit(rows, targets, 64, linear=True)
    direction = np.asarray([[1.0, -1.0, 2.0]], np.float32)
    along = jnp.asarray(np.concatenate([k * direction for k in range(3)]))
    mean, _ = gaussian_process.predict(posterior, along)
    assert abs(mean[1] - mean[0]) > 0.1
    np.testing.assert_allclose(mean[2] - mean[1], mean[1] - mean[0], rtol=0.1)


def test_too_many_labels_are_refused():
    rows, targets = made()
    with pytest.raises(ValueError, match="30 labels; allowed: 1 to 16"):
        evidence.fit(rows, targets, 16)
