import numpy as np
import pytest

from greennas_jax.accuracy import agreement


def test_pairs_by_hand():
    # Seen 1 < 2 = 2 < 4: five unequal pairs. The first prediction has four right and one equal,
    # the second four right and one wrong.
    seen = np.array([1, 2, 2, 4])
    found = agreement.pairwise_order(np.array([1.0, 1, 2, 2.5]), seen)
    assert found == pytest.approx((4 + 0.5) / 5)
    assert agreement.pairwise_order(np.array([1.0, 3, 2, 2.5]), seen) == pytest.approx(4 / 5)
    with pytest.raises(ValueError, match="no two values differ"):
        agreement.pairwise_order(np.arange(3), np.ones(3))


def test_rank_correlation_by_hand():
    # Ranks 0 1.5 1.5 3 and 0 1 2 3: covariance 4.5 / 4, variances 4.5 / 4 and 5 / 4.
    found = agreement.rank_correlation(np.array([1.0, 5, 5, 9]), np.array([2, 3, 7, 8]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert agreement.rank_correlation(np.ones(4), np.arange(4)) == 0


def test_what_noise_leaves():
    rng = np.random.default_rng(0)
    # 400 shares around a half: true deviation 0.04, noise of 500 examples 0.0224.
    truth = np.clip(rng.normal(0.5, 0.04, 400), 0, 1)
    seen = rng.binomial(500, truth) / 500
    true, found = agreement.attainable(seen, 500, 0)
    assert true == pytest.approx(0.04**2 / (0.04**2 + 0.0224**2), abs=0.05)
    assert found.pairwise == pytest.approx(agreement.pairwise_order(truth, seen), abs=0.02)
    # Of a truth and itself plus noise, both normal: 1/2 + asin(rho) / pi with rho^2 = 0.761.
    assert found.pairwise == pytest.approx(0.5 + np.arcsin(0.761**0.5) / np.pi, abs=0.02)
    alike = rng.binomial(500, np.full(200, 0.7)) / 500
    true, found = agreement.attainable(alike, 500, 0)
    assert true < 0.25 and found.pairwise < 0.68
