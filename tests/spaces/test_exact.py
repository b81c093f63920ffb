import itertools

import numpy as np
import pytest

from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, elimination, exact, factors, fronts
from greennas_jax.spaces.edits import EditsConfig
from greennas_jax.spaces.exact import Extra
from tests.spaces import examples
from tests.spaces.conftest import EXAMPLES, TERMS, built

SMALL = ("chain", "stacked", "residual", "mobile", "inception", "nested", "vit", "bert")


def small(name):
    """A space of at most some 10^5 strings, its costs and all its strings [T, B]."""
    frozen = {"inception": ("stem", "b*", "a/reduce"), "residual": ("c*", "b1", "b2", "project")}
    config = EditsConfig(
        width_ratios=(1, 0.25), operations=("given", "skip"), freeze=frozen.get(name, ())
    )
    space = edits.build(EXAMPLES[name](), config=config)
    wanted = [terms.get(term) for term in TERMS]
    costs = space.factors(devices.load("titan_x"), wanted, CostSettings())
    assert space.sizes.prod() <= 200_000
    every = np.indices(space.sizes).reshape(len(space.sizes), -1)
    return space, costs, every


def scores(space, rng, scale, objectives=None):
    """Random further tables: one per position and one per neighbouring pair, of either sign."""
    count = len(space.sizes)
    scopes = [(p,) for p in range(count)] + [(p, p + 1) for p in range(count - 1)]
    front = () if objectives is None else (objectives,)
    return [
        Extra(scope, scale * rng.normal(size=(*front, *space.sizes[list(scope)])))
        for scope in scopes
    ]


def total(extra, strings):
    return sum(one.table[(..., *strings[list(one.scope)])] for one in extra)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("weights", [{"energy": 1.0}, {"time": 1.0, "parameters": -1e-7}])
def test_cheapest_is_the_least_of_all_strings(name, weights):
    space, costs, every = small(name)
    weight = np.array([weights.get(term, 0.0) for term in TERMS])
    tokens, cost = exact.cheapest(costs, weights)
    assert tokens.shape == (len(space.sizes),)
    assert cost == pytest.approx((weight @ factors.exact(costs, every)).min(), rel=1e-12)
    assert cost == pytest.approx(weight @ factors.exact(costs, tokens[:, None])[:, 0], rel=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_cheapest_with_learned_scores(name):
    space, costs, every = small(name)
    time = factors.exact(costs, every)[TERMS.index("time")]
    for seed in range(3):
        extra = scores(space, np.random.default_rng(seed), 0.2 * time.std())
        tokens, cost = exact.cheapest(costs, {"time": 1.0}, extra=extra)
        assert cost == pytest.approx((time + total(extra, every)).min(), rel=1e-9)
        found = time[np.ravel_multi_index(tokens, space.sizes)] + total(extra, tokens)
        assert cost == pytest.approx(found, rel=1e-9)


def undominated(costs):
    """The distinct undominated columns of [K, B], by definition, sorted."""
    costs = np.unique(np.round(costs / np.abs(costs).max(axis=1, keepdims=True), 12), axis=1)
    kept = []
    for row, column in enumerate(costs.T):
        better = (costs <= column[:, None]).all(axis=0)
        better[row] = False
        if not better.any():
            kept.append(column)
    return np.array(sorted(map(tuple, kept)))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_front_is_that_of_all_strings(name, objectives):
    space, costs, every = small(name)
    rng = np.random.default_rng(objectives)
    names = ("time", "parameters", "memory")[:objectives]
    rows = [TERMS.index(term) for term in names]
    plain = factors.exact(costs, every)[rows]
    # Few values per score keep the fronts that definition finds in quadratic time small.
    extra = [
        Extra((p,), rng.integers(0, 3, (objectives, size)) * plain.std(axis=1)[:, None] / 3)
        for p, size in enumerate(space.sizes)
    ]
    found = exact.front(costs, names, extra=extra)
    assert found.exact
    wanted = plain + total(extra, every)
    np.testing.assert_allclose(
        found.costs, (plain[:, _rows(found, space)] + total(extra, found.tokens.T)).T, rtol=1e-12
    )
    candidates = wanted[:, _coarse_front(wanted)]
    scaled = found.costs / np.abs(wanted[:, _coarse_front(wanted)]).max(axis=1)
    np.testing.assert_allclose(
        np.array(sorted(map(tuple, scaled))), undominated(candidates), atol=1e-9
    )


def _rows(found, space):
    return np.ravel_multi_index(tuple(found.tokens.T), space.sizes)


def _coarse_front(costs):
    """Columns that none of a few good ones dominates: a superset of the front."""
    kept = np.ones(costs.shape[1], dtype=bool)
    scaled = costs / np.abs(costs).max(axis=1, keepdims=True)
    for weights in np.random.default_rng(0).dirichlet(np.ones(len(costs)), 60):
        best = (weights @ scaled).argmin()
        beaten = (costs >= costs[:, best, None]).all(axis=0)
        beaten &= (costs > costs[:, best, None]).any(axis=0)
        kept &= ~beaten
    return np.flatnonzero(kept)


def test_front_with_an_objective_of_its_own():
    space, costs, every = small("chain")
    rng = np.random.default_rng(0)
    extra = [
        Extra((p,), np.stack([np.zeros(size), -rng.integers(0, 4, size)]))
        for p, size in enumerate(space.sizes)
    ]
    found = exact.front(costs, ("energy",), extra=extra)
    energy = factors.exact(costs, every)[TERMS.index("energy")]
    score = total(extra, every)[1]
    for point in found.costs:
        assert energy[score <= point[1]].min() == pytest.approx(point[0], rel=1e-12)
    assert found.costs[:, 1].min() == score.min()
    assert (np.diff(found.costs[:, 0]) > 0).all()


def test_coarse_fronts_are_close_and_say_so():
    space, costs = built("stacked")
    rng = np.random.default_rng(0)
    extra = [
        Extra((p,), np.stack([np.zeros(size), np.sort(rng.random(size))]))
        for p, size in enumerate(space.sizes)
    ]
    whole = exact.front(costs, ("energy",), extra=extra)
    coarse = exact.front(costs, ("energy",), extra=extra, epsilon=0.002)
    limited = exact.front(costs, ("energy",), extra=extra, most=10_000)
    assert whole.exact and not coarse.exact and not limited.exact
    for found, slack in ((coarse, 0.05), (limited, 0.2)):
        assert len(found.costs) < len(whole.costs)
        for point in whole.costs:
            near = (found.costs <= point + slack * np.abs(whole.costs).max(axis=0)).all(axis=1)
            assert near.any()


def test_supported_points_are_on_the_front():
    space, costs = built("stacked")
    rng = np.random.default_rng(0)
    extra = [
        Extra((p,), np.stack([np.zeros(size), np.sort(rng.random(size))]))
        for p, size in enumerate(space.sizes)
    ]
    whole = exact.front(costs, ("energy",), extra=extra)
    some = exact.supported_front(costs, ("energy",), extra=extra)
    assert not some.exact
    assert 5 < len(some.costs) < len(whole.costs)
    points = {tuple(np.round(point, 9)) for point in whole.costs}
    assert {tuple(np.round(point, 9)) for point in some.costs} <= points
    np.testing.assert_allclose(some.costs.min(axis=0), whole.costs.min(axis=0), rtol=1e-9)


def test_a_space_without_positions_has_one_string():
    space = edits.build(examples.chain(), config=EditsConfig(freeze=("*",)))
    costs = space.factors(devices.load("titan_x"), [terms.get("flops")], CostSettings())
    tokens, cost = exact.cheapest(costs, {"flops": 1.0})
    assert tokens.shape == (0,)
    found = exact.front(costs)
    assert found.tokens.shape == (1, 0)
    assert cost == found.costs[0, 0] == factors.exact(costs, tokens[:, None])[0, 0]


def test_cheapest_of_every_example_beats_samples(case):
    space, costs = case
    tokens, cost = exact.cheapest(costs, {"energy": 1.0})
    sampled = factors.exact(costs, space.sample(np.random.default_rng(0), 2000).T)[0]
    around = factors.exact(costs, space.neighbours(tokens).T)[0]
    assert cost <= min(sampled.min(), around.min()) * (1 + 1e-12)
    ends = exact.front(costs, ("energy", "memory"))
    assert ends.costs[:, 0].min() == pytest.approx(cost, rel=1e-9)


def test_tables_that_are_too_large_are_refused(monkeypatch):
    _, costs = built("inception")
    monkeypatch.setattr(elimination, "LARGEST_TABLE", 100)
    with pytest.raises(elimination.TooEntangledError, match="at most 100 are allowed"):
        exact.cheapest(costs, {"energy": 1.0})


def test_wrong_requests_are_refused():
    _, costs = built("chain")
    with pytest.raises(ValueError, match="'carbon' is not in these factors; allowed: energy"):
        exact.cheapest(costs, {"carbon": 1.0})
    with pytest.raises(ValueError, match=r"weights of shape \[2\]; allowed: one per term, 5"):
        exact.cheapest(costs, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"a table of shape \[3\]; needed: \[3, 6\]"):
        exact.cheapest(costs, {"energy": 1.0}, extra=[Extra((0, 1), np.zeros(3))])
    with pytest.raises(ValueError, match="distinct positions below 9"):
        exact.cheapest(costs, {"energy": 1.0}, extra=[Extra((9,), np.zeros(2))])
    with pytest.raises(ValueError, match="4 objectives; allowed: 1 to 3"):
        exact.front(costs, ("energy", "time", "memory", "flops"))
    with pytest.raises(ValueError, match="'carbon' is not in these factors"):
        exact.front(costs, ("carbon",))


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_nondominated_agrees_with_the_definition(objectives):
    rng = np.random.default_rng(objectives)
    costs = rng.integers(0, 8, (400, objectives)).astype(float)
    entry = rng.integers(0, 5, 400)
    kept = fronts.nondominated(costs, entry)
    assert (np.diff(entry[kept]) >= 0).all()
    for group in range(5):
        members = costs[entry == group]
        expected = {
            tuple(one)
            for one in members
            if not ((members <= one).all(axis=1) & (members < one).any(axis=1)).any()
        }
        found = [tuple(one) for one in costs[kept[entry[kept] == group]]]
        assert len(found) == len(set(found))
        assert set(found) == expected


def test_elimination_orders_agree():
    # x0 and x1 decide n3 = (x0 + x1) % 2; a table ties n3 to x2.
    sizes, parents = (3, 3, 2, 2), {3: (0, 1)}
    maps = {3: np.add.outer(np.arange(3), np.arange(3)) % 2}
    rng = np.random.default_rng(0)
    tables = [((0,), rng.random(3)), ((1,), rng.random(3)), ((2, 3), rng.random((2, 2)))]
    least = min(
        tables[0][1][a] + tables[1][1][b] + tables[2][1][c, (a + b) % 2]
        for a, b, c in itertools.product(range(3), range(3), range(2))
    )
    found = elimination.minimise(sizes, tables, parents, maps)
    assert found[3] == (found[0] + found[1]) % 2
    value = tables[0][1][found[0]] + tables[1][1][found[1]] + tables[2][1][found[2], found[3]]
    assert value == pytest.approx(least)
    for order in itertools.permutations(range(4)):
        steps = elimination.plan(sizes, [scope for scope, _ in tables], parents, order)
        assert [step.variable for step in steps] == list(order)
