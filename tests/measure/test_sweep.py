import collections
import itertools

import numpy as np
import pytest

from greennas_jax.costs import kinds
from greennas_jax.measure import cases, sweep

SMALL = sweep.EXTENTS["small"]


def test_halton_points_by_hand():
    # In base 2: 1/2, 1/4, 3/4; in base 3: 1/3, 2/3, 1/9.
    found = np.array(list(itertools.islice(sweep.points(2, np.zeros(2)), 3)))
    np.testing.assert_allclose(found, [[1 / 2, 1 / 3], [1 / 4, 2 / 3], [3 / 4, 1 / 9]])


@pytest.fixture(scope="module")
def drawn():
    return sweep.draw(SMALL)


def test_a_sweep_has_every_kind_and_its_beginning_is_balanced(drawn):
    codes = kinds.kind_codes(cases.table(drawn))
    names = [kinds.KINDS[code] for code in codes]
    assert set(names) == set(kinds.KINDS) - {"free"}
    whole, half = collections.Counter(names), collections.Counter(names[: len(names) // 2])
    assert all(abs(half[kind] - count / 2) <= 2 for kind, count in whole.items())
    assert len(set(drawn)) == len(drawn)


def test_cases_are_within_the_bounds(drawn):
    assert all(sweep.within(case, SMALL) for case in drawn)
    tight = SMALL._replace(flops=(1e5, 1e7), counts={"convolution": 5})
    assert len(sweep.draw(tight)) == 5
    assert not all(sweep.within(case, tight) for case in drawn)


def test_the_seed_decides(drawn):
    few = SMALL._replace(counts={"pooling": 4})
    assert sweep.draw(few, seed=3) == sweep.draw(few, seed=3) != sweep.draw(few, seed=4)


def test_formats_and_training():
    few = SMALL._replace(counts={"inner_product": 4}, training_share=0.5)
    found = sweep.draw(few, dtypes=("fp32", "bf16"))
    assert collections.Counter((case.mode, case.dtype) for case in found) == {
        ("inference", "fp32"): 4,
        ("inference", "bf16"): 4,
        ("training", "fp32"): 2,
        ("training", "bf16"): 2,
    }
