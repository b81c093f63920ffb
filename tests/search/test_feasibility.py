import re

import numpy as np
import pytest

from greennas_jax.search import feasibility
from greennas_jax.search.feasibility import InfeasibleError
from tests.search import limited, synthetic

ENERGIES = synthetic.problem().cost(limited.STRINGS)
COUNTS = limited.parameters(limited.STRINGS)


def test_an_anchor_is_found_wherever_there_is_one_and_its_absence_is_proven():
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(25):
        # Between the least of each and somewhat above, where only some pairs can be kept.
        energy = ENERGIES.min() * rng.uniform(1.0, 2.0)
        count = int(COUNTS.min() + rng.integers(0, 12))
        exists = limited.enumerated(energy, count).any()
        outcomes.append(exists)
        if exists:
            found = limited.limits(energy, count)
            row = (limited.STRINGS == found.anchor).all(axis=1)
            assert limited.enumerated(energy, count)[row].all()
        else:
            with pytest.raises(InfeasibleError, match="together, whatever its accuracy"):
                limited.limits(energy, count)
    assert 3 < sum(outcomes) < 22


def test_the_least_that_is_told_can_be_asked_for():
    with pytest.raises(InfeasibleError) as raised:
        limited.limits(energy=0.5 * ENERGIES.min())
    told = re.search(r"needs less than (\S+) J, whatever", str(raised.value))
    assert told is not None and str(raised.value).startswith("target_energy is ")
    least = float(told[1])
    assert ENERGIES.min() <= least <= ENERGIES.min() * (1 + 1e-5)
    assert limited.enumerated(energy=least).any()
    anchor = limited.limits(energy=least).anchor
    assert synthetic.problem().cost(anchor[None])[0] <= least


def test_a_count_is_told_whole():
    with pytest.raises(InfeasibleError, match=rf"less than {COUNTS.min()}, whatever"):
        limited.limits(count=int(COUNTS.min()) - 1)
    anchor = limited.limits(count=int(COUNTS.min())).anchor
    assert limited.parameters(anchor)[0] == COUNTS.min()


@pytest.mark.parametrize(
    "value, text", [(1.0000004, "1.00001"), (0.0, "0"), (22.0, "22"), (1.23456e-7, "1.23456e-07")]
)
def test_rounding_up_never_falls_below(value, text):
    assert feasibility.rounded_up(value) == text
    assert float(feasibility.rounded_up(value * 1.1)) >= value * 1.1
