import dataclasses

import numpy as np
import pytest

from greennas_jax.costs import devices, kinds, paleo
from greennas_jax.costs.settings import CostSettings
from greennas_jax.measure import cases, fitting

RNG = np.random.default_rng(5)


def planted(rows=60, half_inputs=16.0, half_outputs=8.0):
    """Return terms [R, 5] and times that obey the model exactly."""
    logs = RNG.uniform(-3, 3, (rows, 2))
    summed, outputs = (np.round(np.exp(RNG.uniform(0, 6, rows))) for _ in range(2))
    terms = np.stack([np.ones(rows), *np.exp(logs).T, summed, outputs], axis=1)
    coefficients = np.array([0.05, 3.0, 1.5])
    return terms, fitting.slowed(terms, half_inputs, half_outputs) @ coefficients, coefficients


def test_halves_and_coefficients_are_recovered():
    terms, wanted, coefficients = planted()
    found = fitting.time(terms, wanted)
    assert (found.half_inputs, found.half_outputs) == (16.0, 8.0)
    np.testing.assert_allclose(found.coefficients, coefficients, rtol=1e-6)
    np.testing.assert_allclose(found(terms), wanted, rtol=1e-6)


def test_halves_are_left_out_where_they_explain_nothing():
    terms, wanted, _ = planted(half_inputs=0.0, half_outputs=0.0)
    found = fitting.time(terms, wanted)
    assert (found.half_inputs, found.half_outputs) == (0.0, 0.0)


def test_few_layers_fit_three_figures():
    terms, wanted, _ = planted(rows=fitting.LEAST_FOR_HALVES - 1)
    found = fitting.time(terms, wanted)
    assert (found.half_inputs, found.half_outputs) == (0.0, 0.0)


def test_one_absurd_layer_does_not_decide():
    terms, wanted, coefficients = planted()
    wanted[3] *= 5
    found = fitting.time(terms, wanted)
    np.testing.assert_allclose(found.coefficients, coefficients, rtol=0.1)


def test_crossed_predicts_what_it_did_not_see():
    terms, wanted, _ = planted()
    assert fitting.crossed(terms, wanted, 0, fitting.time) < 1.0
    # Noise of 10 % cannot be predicted, whoever saw it.
    noisy = wanted * np.exp(0.1 * RNG.normal(size=len(wanted)))
    assert 7.0 < fitting.crossed(terms, noisy, 0, fitting.time) < 20.0


@pytest.mark.parametrize(("half_inputs", "half_outputs"), [(25.0, 0.0), (0.0, 6.0), (25.0, 6.0)])
def test_a_device_with_halves_is_slower_on_small_products(half_inputs, half_outputs):
    """A 5x5 kernel of one channel sums 25 numbers for each of six outputs."""
    case = cases.Case(
        type="Convolution",
        batch=8,
        in_height=64,
        in_width=64,
        in_channels=1,
        out_channels=6,
        kernel_height=5,
        kernel_width=5,
        stride_height=1,
        stride_width=1,
        padding="SAME",
        groups=1,
    )
    table = cases.table([case])
    code = kinds.CODES["convolution"]

    def compute(device):
        return np.asarray(paleo.units(device, CostSettings(), table).compute_efficiency)[0]

    plain = devices.load("titan_x")

    def of(value):
        return tuple(value if i == code else 0.0 for i in range(len(kinds.KINDS)))

    slowed = dataclasses.replace(
        plain, kind_half_inputs=of(half_inputs), kind_half_outputs=of(half_outputs)
    )
    times = (1 + half_inputs / 25) * (1 + half_outputs / 6)
    assert compute(plain) / compute(slowed) == pytest.approx(times, rel=1e-12)
