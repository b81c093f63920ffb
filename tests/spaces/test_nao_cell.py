import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.costs import devices, profile, settings, terms
from greennas_jax.spaces import factors, nao_cell
from greennas_jax.spaces import nao_cell_network as networks
from greennas_jax.spaces import nao_cell_strings as strings
from greennas_jax.spec.network import SpecError
from tests.spaces.test_nao_cell_strings import cell

SPACE = nao_cell.PairSpace(config=networks.PairConfig(cells=2, channels=4, image=8))
DEVICE, CHOSEN = devices.load("titan_x"), settings.CostSettings()
TERMS = [terms.get("flops"), terms.get("energy")]
BEFORE = cell(*[(0, 0, 0, 4)] * 5)


def drawn(seed: int, n: int) -> np.ndarray:
    """Return random strings; a third of the cells read one input alone."""
    rows = np.random.default_rng(seed).integers(0, strings.sizes(), (n, strings.POSITIONS))
    for number, cells in enumerate(rows.reshape(-1, strings.CELL)):
        index = cells[::2]
        index[index == number % 6] = {0: 1, 1: 0}.get(number % 6, number % 6)
    return rows


def test_canonical_strings_are_networks_own():
    rows = SPACE.canonical(drawn(0, 8))
    np.testing.assert_array_equal(SPACE.canonical(rows), rows)
    for row in rows:
        np.testing.assert_array_equal(SPACE.encode(SPACE.decode(row)), row)
    assert SPACE.connected(rows).all()


def test_a_reduction_that_is_on_no_path_is_zeros():
    row = np.concatenate([BEFORE, cell((0, 2, 1, 3))])
    three = nao_cell.PairSpace(config=networks.PairConfig(cells=3, image=8))
    found = three.canonical(row)[0]
    assert not found[strings.CELL :].any() and found[: strings.CELL].any()
    normal, reduction = np.split(three.labels(row)[0], 2)
    assert normal.any() and not reduction.any()
    np.testing.assert_array_equal(three.encode(three.decode(row)), found)
    # With two cells in a stage the reduction is live.
    assert SPACE.canonical(row)[0, strings.CELL :].any()


def test_networks_of_other_spaces_are_refused():
    given = SPACE.given
    for wrong in (
        given.replace(layers=given.layers[:-1]),
        given.replace(layers=tuple(x for x in given.layers if "node3" not in x.name)),
        nao_cell.PairSpace(config=networks.PairConfig(cells=1)).given,
    ):
        with pytest.raises(SpecError, match="no point of nao_cell"):
            SPACE.encode(wrong)
    with pytest.raises(SpecError, match="token 5 at position 1; allowed: 0 to 4"):
        SPACE.decode(np.where(np.arange(40) == 1, 5, 0))


def test_positions_and_steps():
    positions = SPACE.positions
    assert len(positions) == 40 and len({position.name for position in positions}) == 40
    assert positions[18].name == "normal/node4/right.index" and len(positions[18].choices) == 6
    assert positions[39].choices == strings.OPERATIONS
    assert [len(step) for step in SPACE.steps] == [4] * 10
    assert SPACE.valid_mask.sum() == 2 * (2 * (2 + 3 + 4 + 5 + 6) + 10 * 5)


@pytest.mark.parametrize("config", [{}, {"cells": 1, "stages": 2}, {"cells": 3}])
def test_cost_tables_agree_with_profiles(config):
    space = nao_cell.PairSpace(config=networks.PairConfig(channels=4, image=8, **config))
    found = space.factors(DEVICE, TERMS, CHOSEN)
    rows = drawn(1, 7)
    for row, cost in zip(rows, factors.exact(found, rows.T).T, strict=True):
        totals = profile.profile(space.decode(row), DEVICE, CHOSEN)["totals"]
        np.testing.assert_allclose(cost, [totals["flops"], totals["energy_j"]], rtol=1e-12)
    same = factors.exact(found, space.canonical(rows).T)
    np.testing.assert_allclose(factors.exact(found, rows.T), same, rtol=1e-12)


def test_relaxed_costs_are_expectations():
    found = SPACE.factors(DEVICE, TERMS, CHOSEN)
    row = drawn(2, 1)
    relaxed = jax.jit(factors.relaxed)
    one_hot = jnp.asarray(np.eye(6)[row[0]], jnp.float32)
    exact = factors.exact(found, row.T)[:, 0]
    np.testing.assert_allclose(relaxed(found, one_hot), exact, rtol=1e-5)
    # Coins at an index and an operation of each cell: the mean over all sixteen strings, though
    # the indices decide which cells are live.
    coins = {0: (0, 1), 1: (0, 3), 20: (0, 1), 23: (1, 4)}
    grid = np.stack(np.meshgrid(*coins.values()), -1).reshape(-1, len(coins))
    rows = np.repeat(np.concatenate([BEFORE, BEFORE])[None], len(grid), axis=0)
    rows[:, list(coins)] = grid
    mean = jnp.asarray(np.eye(6)[rows].mean(0), jnp.float32)
    expected = factors.exact(found, rows.T).mean(1)
    np.testing.assert_allclose(relaxed(found, mean), expected, rtol=1e-5)


def test_samples_and_edits():
    rows = SPACE.sample(np.random.default_rng(3), 50)
    np.testing.assert_array_equal(SPACE.canonical(rows), rows)
    assert len(np.unique(rows, axis=0)) == 50
    edits = SPACE.neighbours(rows[0])
    np.testing.assert_array_equal(SPACE.canonical(edits), edits)
    assert len(np.unique(edits, axis=0)) == len(edits) > 50
    assert not (edits == rows[0]).all(1).any()


def test_labels_describe_each_cell():
    chain = cell((0, 0, 0, 4), (2, 2, 2, 2), (3, 4, 3, 4), (4, 4, 4, 4), (5, 4, 5, 4))
    row = np.concatenate([cell((0, 1, 1, 3)), chain])
    found = dict(zip(SPACE.label_names, SPACE.labels(row)[0], strict=True))
    # Normal: nine identities, one separable convolution (two depthwise, two pointwise), one
    # maximum, on ten paths. Reduction: the identity of input 0 is a 1x1 convolution; each later
    # node doubles the paths.
    expected = {
        "normal.spatial": 2, "normal.pointwise": 2, "normal.pooled": 1,
        "normal.paths": 10, "normal.weighted_longest": 4,
        "normal.weighted_mean": 0.4, "normal.weighted_shortest": 0,
        "reduction.spatial": 2, "reduction.pointwise": 3, "reduction.pooled": 2,
        "reduction.paths": 32, "reduction.weighted_mean": 2.5,
        "reduction.weighted_shortest": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
