import numpy as np
import pytest

from greennas_jax.costs import kinds, layer_table
from greennas_jax.costs.settings import CostSettings
from greennas_jax.measure import whole
from greennas_jax.measure.calibration import Peaks
from greennas_jax.spec import paleo_json

PEAKS = Peaks(gflops=100.0, gbs=20.0)
# Overhead [us], share of the peak rate, share of the bandwidth.
TRUTH = {"convolution": (40.0, 0.5, 0.25), "inner_product": (3.0, 0.8, 0.4)}
RNG = np.random.default_rng(3)


def networks(count=60):
    """Return work drawn at random: two kinds of layers, one to nine of each."""
    shape = (count, len(kinds.KINDS))
    calls, flops, moved = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for kind in TRUTH:
        code = kinds.CODES[kind]
        calls[:, code] = RNG.integers(1, 10, count)
        flops[:, code] = np.exp(RNG.uniform(12, 18, count))
        moved[:, code] = np.exp(RNG.uniform(10, 16, count))
    return whole.Work(calls, flops, moved)


def seconds_of(done):
    total = 0.0
    for kind, (overhead, compute, memory) in TRUTH.items():
        code = kinds.CODES[kind]
        total = total + overhead * 1e-6 * done.calls[:, code]
        total = total + done.flops[:, code] / (100e9 * compute)
        total = total + done.moved[:, code] / (20e9 * memory)
    return total


def test_a_known_device_is_recovered_from_whole_networks():
    done = networks()
    fits = whole.times(done, 1000 * seconds_of(done), PEAKS, CostSettings(), seed=0)
    assert [fit.kind for fit in fits] == sorted(TRUTH, key=kinds.CODES.get)
    for fit in fits:
        overhead, compute, memory = TRUTH[fit.kind]
        assert fit.overhead_us == pytest.approx(overhead, rel=1e-6)
        assert fit.compute == pytest.approx(compute, rel=1e-6)
        assert fit.memory == pytest.approx(memory, rel=1e-6)
        assert fit.rows == 60 and fit.crossed < 1e-4


def test_power_is_recovered_from_energies():
    done = networks()
    seconds = seconds_of(done)
    joules = 4.0 * seconds + 50e-12 * done.flops.sum(1) + 300e-12 * done.moved.sum(1)
    found = whole.power(done, 1000 * seconds, joules, "a meter", seed=0)
    assert found.static_w == pytest.approx(4.0, rel=1e-6)
    assert found.pj_per_flop == pytest.approx(50.0, rel=1e-6)
    assert found.pj_per_byte == pytest.approx(300.0, rel=1e-6)
    assert (found.rows, found.source) == (60, "a meter")


def test_work_is_the_networks_own(specs):
    table = layer_table.from_network(paleo_json.load(specs / "lenet5.json"), batch_size=1)
    done = whole.work([table], CostSettings())
    # 2 x 28 x 28 x 6 x 25 and 2 x 10 x 10 x 16 x 150; 400 x 120, 120 x 84, 84 x 10.
    convolutions = 2 * 28 * 28 * 6 * 25 + 2 * 10 * 10 * 16 * 150
    products = 2 * (400 * 120 + 120 * 84 + 84 * 10)
    assert done.flops[0, kinds.CODES["convolution"]] == pytest.approx(convolutions, rel=0.02)
    assert done.flops[0, kinds.CODES["inner_product"]] == pytest.approx(products, rel=0.02)
    assert done.calls[0, kinds.CODES["convolution"]] == 2
    assert done.calls[0, kinds.CODES["inner_product"]] == 3
