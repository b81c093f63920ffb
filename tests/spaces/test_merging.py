import numpy as np
import pytest

from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, factors, merging
from tests.spaces import examples


def filled(space, names=("energy", "parameters")):
    return space.factors(
        devices.load("titan_x"), [terms.get(n) for n in names], CostSettings(mode="training")
    )


def strings(space, count):
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, count) for size in space.sizes]).astype(np.uint8)


@pytest.mark.parametrize("make", [examples.chain, examples.residual, examples.inception])
@pytest.mark.parametrize("entries", [1, 64, 2**12, 2**20])
def test_merged_tables_cost_the_same(make, entries):
    space = edits.build(make())
    given = filled(space)
    merged = merging.merge(given, entries=entries, all_entries=2**22)
    tokens = strings(space, 200)
    np.testing.assert_allclose(
        factors.exact(merged, tokens), factors.exact(given, tokens), rtol=1e-12
    )
    assert len(merged.scopes) <= len(given.scopes)
    assert all(
        table.shape[1] <= max(entries, *(t.shape[1] for t in given.tables))
        for table in merged.tables
    )
    # Every layer is still accounted for.
    assert sorted(sum(merged.names, ())) == sorted(sum(given.names, ()))


def test_all_entries_are_bounded():
    space = edits.build(examples.chain())
    given = filled(space)
    least = given.entries
    assert merging.merge(given, entries=2**20, all_entries=least).entries <= least
    assert len(merging.merge(given, entries=2**20, all_entries=2**22).scopes) < len(given.scopes)
