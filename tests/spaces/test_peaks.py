import functools

import numpy as np
import pytest

from greennas_jax.costs import devices, profile
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits
from greennas_jax.spaces.edits import EditsConfig
from greennas_jax.spaces.peaks import Peaks
from tests.spaces import conftest

DEVICE, SETTINGS = devices.load("titan_x"), CostSettings()


@functools.cache
def peaks_of(name, coarse=False):
    config = EditsConfig(width_ratios=(1, 0.5), operations=("given", "skip")) if coarse else None
    space = edits.build(conftest.EXAMPLES[name](), config=config)
    return Peaks(space=space, device=DEVICE, settings=SETTINGS)


@pytest.mark.parametrize("name", conftest.EXAMPLES)
def test_peaks_are_the_profiles_and_floors_are_not_above(name):
    peaks = peaks_of(name)
    strings = peaks.space.sample(np.random.default_rng(0), 6)
    expected = [
        profile.profile(peaks.space.decode(row), DEVICE, SETTINGS)["totals"]["peak_memory_bytes"]
        for row in strings
    ]
    np.testing.assert_array_equal(peaks.exact(strings), expected)
    assert (peaks.floors(strings) <= expected).all()
    middle = float(np.median(expected))
    np.testing.assert_array_equal(peaks.within(strings, middle), np.array(expected) <= middle)


@pytest.mark.parametrize("name", conftest.EXAMPLES)
def test_no_string_is_below_the_least(name):
    peaks = peaks_of(name)
    bound, tokens = peaks.least()
    strings = peaks.space.sample(np.random.default_rng(1), 300)
    assert bound <= peaks.floors(strings).min()
    reached = peaks.exact(tokens[None])[0]
    assert bound == reached if peaks.chain else bound <= reached


def test_the_least_of_a_chain_is_that_of_every_string():
    peaks = peaks_of("chain", coarse=True)
    assert peaks.chain
    grids = np.meshgrid(*(np.arange(size) for size in peaks.space.sizes), indexing="ij")
    strings = peaks.space.canonical(np.stack([grid.reshape(-1) for grid in grids], axis=1))
    assert len(strings) < 100_000
    assert peaks.least()[0] == peaks.floors(strings).min()
