import dataclasses

import numpy as np
import pytest

from greennas_jax.costs import kinds
from greennas_jax.measure import calibration, fitting, sweep
from greennas_jax.measure.calibration import Peaks
from greennas_jax.measure.measurements import Measurement

PEAKS = {"fp32": Peaks(gflops=100.0, gbs=20.0)}
# Overhead [us], share of the peak rate, share of the bandwidth.
TRUTH = {"convolution": (7.0, 0.5, 0.25), "inner_product": (3.0, 0.8, 0.4)}


@pytest.fixture(scope="module")
def measured():
    """Return layers of a device that is known, their times 3 % off at random, some far off."""
    counts = {"convolution": 40, "inner_product": 30}
    cases = sweep.draw(sweep.EXTENTS["small"]._replace(counts=counts, flops=(1e4, 1e7)))
    generator = np.random.default_rng(1)
    rows = [Measurement(case, 1.0, 0.0, None, "no meter") for case in cases]
    amount = calibration.amounts(rows)
    found = []
    for i, row in enumerate(rows):
        overhead, compute, memory = TRUTH[kinds.KINDS[amount.kind[i]]]
        seconds = (
            overhead * 1e-6
            + amount.flops[i] / (100e9 * compute)
            + amount.moved[i] / (20e9 * memory)
        )
        # 12 W, 50 pJ a FLOP, 300 pJ a byte.
        joules = 12.0 * seconds + 50e-12 * amount.flops[i] + 300e-12 * amount.moved[i]
        noise = 1 + 0.03 * generator.standard_normal()
        found.append(
            row._replace(
                runtime_ms=1000 * seconds * noise, power_w=joules / seconds, power_source="m"
            )
        )
    found[5] = found[5]._replace(runtime_ms=6 * found[5].runtime_ms)
    return found


def test_a_known_device_is_recovered(measured):
    fits = {fit.kind: fit for fit in calibration.times(measured, PEAKS, seed=0)}
    assert set(fits) == set(TRUTH)
    for kind, (overhead, compute, memory) in TRUTH.items():
        assert fits[kind].overhead_us == pytest.approx(overhead, rel=0.25)
        assert fits[kind].compute == pytest.approx(compute, rel=0.1)
        assert fits[kind].memory == pytest.approx(memory, rel=0.25)
    clean = next(kind for kind in TRUTH if fits[kind].fitted < 10)
    assert fits[clean].crossed == pytest.approx(3.0, abs=1.5)


def test_measured_power_gives_its_coefficients(measured):
    found = calibration.power(measured, seed=0)
    assert isinstance(found, calibration.Watts)
    assert found.static_w == pytest.approx(12.0, rel=0.1)
    assert found.pj_per_flop == pytest.approx(50.0, rel=0.1)
    assert found.pj_per_byte == pytest.approx(300.0, rel=0.1)
    assert found.source == "m"


def test_without_power_there_is_a_reason(measured):
    rows = [row._replace(power_w=None, power_source="no meter here") for row in measured]
    assert calibration.power(rows, seed=0) == "no meter here"


def test_training_counts_every_pass(measured):
    (row,) = measured[:1]
    trained = row._replace(case=dataclasses.replace(row.case, mode="training"))
    forward, step = calibration.amounts([row]), calibration.amounts([trained])
    # Forward, two gradients and the update, the products three times.
    assert (forward.calls[0], step.calls[0]) == (1, 4)
    assert 3 * forward.flops[0] < step.flops[0] < 3.1 * forward.flops[0]


def test_coefficients_are_not_negative():
    terms = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [1.0, 4.0]])
    # Falling with the second term, whose best coefficient without a bound is -1.
    found = fitting.solve(terms, 10.0 - terms[:, 1])
    assert found[1] == 0.0
    assert 6.0 < found[0] < 9.0


def test_of_several_measurements_the_least_median_counts(measured):
    slower = measured[0]._replace(runtime_ms=2 * measured[0].runtime_ms)
    assert calibration.best([slower, measured[0], measured[1]]) == measured[:2]
