import dataclasses

import numpy as np
import pytest

from greennas_jax.search import additive, evolution, loop, random_search
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive, Query
from greennas_jax.search.loop import SearchConfig
from tests.search import limited, synthetic

GIVEN = np.zeros(10, np.int32)


@pytest.mark.parametrize("energy, count", [(3.0, None), (None, 30), (2.5, 33)])
def test_what_keeps_to_limits_is_what_enumeration_says(energy, count):
    found = limited.limits(energy, count).within(limited.STRINGS)
    expected = limited.enumerated(energy or np.inf, count or np.inf)
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.sum() < len(expected)


def test_at_a_limit_the_profile_decides():
    asked = limited.limits(energy=3.0)
    near = synthetic.problem().cost(limited.STRINGS[5000:5001])[0]
    target = asked.summed[0]._replace(most=near)
    for by, expected in ((1.0, True), (1 + 1e-12, False)):
        decided = dataclasses.replace(
            asked, summed=(target,), totals=lambda _, by=by: {"energy_j": near * by}
        )
        assert decided.within(limited.STRINGS[5000:5001])[0] == expected


def test_repaired_strings_keep_to_the_limits_and_differ():
    asked = limited.limits(2.0, 33)
    rng = np.random.default_rng(0)
    drawn = asked.space.sample(rng, 200)
    found = asked.repaired(drawn, rng)
    assert asked.within(found).all()
    kept = asked.within(drawn)
    np.testing.assert_array_equal(found[kept], drawn[kept])
    assert len(np.unique(found, axis=0)) > 30


@pytest.mark.parametrize(
    "kind", [random_search.RandomSearch, evolution.Evolution, additive.AdditiveSolver]
)
def test_nothing_beyond_the_limits_is_queried_or_found(kind):
    # The given network breaks both limits; few strings keep to them.
    problem = limited.problem(3.0, 33, threshold=0.85)
    assert limited.enumerated(3.0, 33).mean() < 0.2
    config = SearchConfig(queries=24, batch=8, rounds=2, leaders=2, settling=1)
    archive = problems.start(problem, range(8))
    rng = np.random.default_rng(0)
    archive = loop.search(problem, kind(problem), archive, rng, config)
    asked = np.array([q.tokens for q in archive.queries if q.kind != "baseline"])
    assert sum(q.kind == "search" for q in archive.queries) == 24
    assert (problem.cost(asked) <= 3.0).all() and (limited.parameters(asked) <= 33).all()
    found = loop.winner(problem, archive, config)
    assert problem.cost(found[None])[0] <= 3.0 and limited.parameters(found)[0] <= 33


def query(tokens, accuracy, kind):
    cost = synthetic.problem().cost(tokens[None])[0]
    return Query(np.asarray(tokens, np.int32), 0, kind, accuracy, cost, False)


def test_without_a_sure_one_the_winner_is_the_best_within_and_never_the_given():
    problem = limited.problem(3.0, 33)
    inside = limited.STRINGS[limited.enumerated(3.0, 33)][:2]
    outside = np.eye(10, dtype=np.int32)[0]
    archive = problems.start(problem, range(8))
    rows = [query(row, 0.5 + 0.1 * i, "confirm") for i, row in enumerate(inside)]
    archive = archive.add([*rows, query(outside, 0.99, "confirm")])
    config = SearchConfig()
    np.testing.assert_array_equal(loop.winner(problem, archive, config), inside[1])
    assert not loop.is_sure(problem, archive, config)
    # Whoever is queried then saves, whatever the given network costs.
    leaders = loop._leaders(problem, random_search.RandomSearch(problem), archive, config)
    assert problem.within(leaders).all() and len(leaders) == 2


def test_a_given_network_within_loose_limits_stays_the_answer():
    problem = limited.problem(100.0, 1000)
    archive = problems.start(problem, range(8))
    np.testing.assert_array_equal(loop.winner(problem, archive, SearchConfig()), GIVEN)
    assert loop.is_sure(problem, archive, SearchConfig())
    assert problems.best_feasible(problem, archive, np.zeros(1)) == archive.queries[0].cost


def test_where_a_proposal_is_empty_the_anchor_is_queried():
    problem = limited.problem(3.0, 33)

    class Nothing(random_search.RandomSearch):
        def propose(self, archive, batch, rng):
            return problems.plain(np.zeros((0, 10), np.int32))

    archive = problems.start(problem, range(8))
    config = SearchConfig(queries=4, batch=4, rounds=0, settling=0)
    archive = loop.search(problem, Nothing(problem), archive, np.random.default_rng(0), config)
    assert isinstance(archive, Archive) and len(archive.queries) == 9
    np.testing.assert_array_equal(archive.queries[-1].tokens, problem.limits.anchor)
