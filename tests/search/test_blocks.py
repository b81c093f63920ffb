import numpy as np
import pytest

from greennas_jax.search import blocks


def test_effects_of_known_blocks_are_found_and_taken_out():
    rng = np.random.default_rng(0)
    truth = np.array([0.01, -0.02, 0.0, 0.01])
    block = np.tile(np.arange(4), 50)
    accuracies = 0.9 + truth[block] + rng.normal(0, 0.005, len(block))
    found = blocks.estimate(accuracies, block)
    np.testing.assert_allclose([found.effects[i] for i in range(4)], truth, atol=2e-3)
    assert found.noise == pytest.approx(0.005, rel=0.15)
    assert found.without(0.9, 1) == pytest.approx(0.92, abs=2e-3)
    assert found.without(0.9, 7) == 0.9


def test_effects_are_shrunk_where_blocks_do_not_matter():
    """Averaged over many draws, noise is not taken for an effect and is not underestimated."""
    rng = np.random.default_rng(1)
    block = np.tile(np.arange(4), 4)
    noise, size = [], []
    for _ in range(300):
        found = blocks.estimate(rng.normal(0.9, 0.01, 16), block)
        noise.append(found.noise**2)
        size.append(np.mean(np.square(list(found.effects.values()))))
    assert np.sqrt(np.mean(noise)) == pytest.approx(0.01, rel=0.1)
    # The raw means of four would scatter by half of one training.
    assert np.sqrt(np.mean(size)) < 0.003


def test_one_block_has_no_effect():
    found = blocks.estimate(np.array([0.8, 0.9]), np.array([3, 3]))
    assert found.effects == {}
    assert found.noise == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert blocks.estimate(np.array([0.9]), np.array([0])).noise == 0.0
