import dataclasses

import numpy as np
import pytest

from greennas_jax.search import archive as archives
from greennas_jax.search import evolution, loop, random_search
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive, Query
from greennas_jax.search.loop import SearchConfig
from tests.search import synthetic

FIRST, SECOND = np.zeros(10, np.int32), np.ones(10, np.int32)


def query(tokens, accuracy, kind="search", seed=0, cost=1.0, stopped=False):
    return Query(np.asarray(tokens, np.int32), seed, kind, accuracy, cost, stopped)


def run(algorithm, seed=0, queries=48):
    config = SearchConfig(queries=queries, batch=16)
    archive = problems.start(algorithm.problem, range(8))
    rng = np.random.default_rng(seed)
    return loop.search(algorithm.problem, algorithm, archive, rng, config), config


def test_summary_averages_repeats_and_keeps_their_order():
    archive = Archive().add([query(FIRST, 0.9), query(SECOND, 0.5), query(FIRST, 0.8)])
    summary = archives.summarise(archive, noise=0.1)
    np.testing.assert_array_equal(summary.tokens, [FIRST, SECOND])
    np.testing.assert_allclose(summary.mean, [0.85, 0.5])
    np.testing.assert_array_equal(summary.repeats, [2, 1])
    # Variance of two: (4 * 0.01 + 2 * 0.05^2) / (3 + 2) = 0.009; of one: 4 * 0.01 / 4 = 0.01.
    np.testing.assert_allclose(summary.error, [np.sqrt(0.009 / 2), 0.1])


def test_stopped_only_when_every_training_was():
    archive = Archive().add([query(FIRST, 0.3, stopped=True), query(FIRST, 0.9)])
    assert not archives.summarise(archive, 0.1).stopped[0]


@pytest.mark.parametrize("kind", [random_search.RandomSearch, evolution.Evolution])
def test_budget_is_spent_on_distinct_architectures(kind):
    archive, config = run(kind(synthetic.problem()))
    searched = [q for q in archive.queries if q.kind == "search"]
    assert len(searched) == config.queries
    assert len({archives.key_of(q.tokens) for q in searched}) == config.queries
    assert archives.key_of(FIRST) not in {archives.key_of(q.tokens) for q in searched}


@pytest.mark.parametrize("kind", [random_search.RandomSearch, evolution.Evolution])
def test_same_seed_gives_the_same_queries(kind):
    first, second = (run(kind(synthetic.problem()), seed=3)[0] for _ in range(2))
    for a, b in zip(first.queries, second.queries, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        assert (a.seed, a.accuracy) == (b.seed, b.accuracy)


def test_search_goes_on_from_an_archive():
    """Queries already in the archive count towards the budget."""
    algorithm = random_search.RandomSearch(synthetic.problem())
    config = SearchConfig(queries=20, batch=8)
    archive = problems.start(algorithm.problem, range(8))
    rng = np.random.default_rng(0)
    half = loop.search(algorithm.problem, algorithm, archive, rng, SearchConfig(queries=8, batch=8))
    whole = loop.search(algorithm.problem, algorithm, half, rng, config)
    assert sum(q.kind == "search" for q in whole.queries) == 20
    assert whole.queries[: len(half.queries)] == half.queries


def test_winner_is_the_cheapest_sure_one_and_a_lucky_training_does_not_count():
    problem = synthetic.problem(noise=0.005)
    archive = problems.start(problem, range(8))
    lucky, sound = np.eye(10, dtype=np.int32)[0], np.eye(10, dtype=np.int32)[1]
    archive = archive.add([query(lucky, 0.99, cost=1.0), query(sound, 0.95, cost=2.0)])
    archive = archive.add([query(lucky, 0.92, "confirm", cost=1.0)] * 4)
    archive = archive.add([query(sound, 0.945, "confirm", cost=2.0)] * 4)
    np.testing.assert_array_equal(loop.winner(problem, archive, SearchConfig()), sound)


def test_winner_without_a_sure_one_is_the_given_network():
    problem = synthetic.problem()
    archive = problems.start(problem, range(8)).add([query(SECOND, 0.99, cost=0.1)])
    np.testing.assert_array_equal(loop.winner(problem, archive, SearchConfig()), FIRST)


def test_lower_bound_counts_the_search_and_the_verdict():
    problem = synthetic.problem(noise=0.004)
    archive = Archive().add([query(FIRST, 0.94, "confirm")] * 4)
    summary = archives.summarise(archive, problem.noise)
    # Own variance of one training: 4 * 0.004^2 / (3 + 4); of the mean of four, a quarter of it.
    own = 4 * 0.004**2 / 7
    final = np.sqrt((own + 0.004**2) / 8)
    known = np.sqrt(own / 4 + 0.004**2 / 8)
    margin = 1.0 * final + 2.0 * np.hypot(known, final)
    found = loop.lower_bounds(problem, summary, SearchConfig(confidence=2.0))
    np.testing.assert_allclose(found, [0.94 - synthetic.THRESHOLD - margin])


def test_confirmation_trains_leaders_on_seeds_the_search_never_used():
    archive, config = run(random_search.RandomSearch(synthetic.problem()))
    search = {q.seed for q in archive.queries if q.kind != "confirm"}
    confirm = [q.seed for q in archive.queries if q.kind == "confirm"]
    assert confirm and not search & set(confirm)
    assert len(confirm) <= config.most_confirmations


def test_rounds_follow_batches_from_the_middle_of_the_search_on():
    archive, config = run(random_search.RandomSearch(synthetic.problem()), queries=96)
    kinds = [q.kind for q in archive.queries if q.kind != "baseline"]
    turns = [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]
    # Three batches, then a round after each of the other three, the last one's with the rest.
    assert turns == ["search", "confirm"] * 4
    assert kinds.index("confirm") == config.alone * config.queries == 48
    whole = SearchConfig(queries=96, batch=16, alone=1.0)
    problem = synthetic.problem()
    first = loop.search(
        problem,
        random_search.RandomSearch(problem),
        problems.start(problem, range(8)),
        np.random.default_rng(0),
        whole,
    )
    kinds = [q.kind for q in first.queries if q.kind != "baseline"]
    assert kinds.index("confirm") == kinds.count("search") == 96


def test_a_repeatable_score_is_asked_for_once():
    archive, _ = run(
        random_search.RandomSearch(dataclasses.replace(synthetic.problem(), deterministic=True))
    )
    assert {q.kind for q in archive.queries} == {"baseline", "search"}


def test_winner_has_been_trained_to_the_end():
    """Whoever wins was not lucky in a few trainings alone."""
    for seed in range(4):
        algorithm = evolution.Evolution(synthetic.problem())
        archive, config = run(algorithm, seed)
        best = loop.winner(algorithm.problem, archive, config)
        own = [q for q in archive.queries if q.kind == "confirm" and (q.tokens == best).all()]
        assert best.any() and len(own) >= config.most_repeats


ROWS = np.eye(10, dtype=np.int32)
# The cheaper, the worse, in steps of one deviation; the guard lies amid them.
NOISE = 0.004
ACCURACIES = synthetic.THRESHOLD + NOISE * (np.arange(10) - 2)


def steps_archive(problem):
    """Return an archive of ten architectures, and what they cost."""
    archive = problems.start(problem, range(8))
    costs = archive.queries[0].cost * (0.3 + 0.06 * np.arange(10))
    rows = zip(ROWS, ACCURACIES, costs, strict=True)
    return archive.add([query(row, a, cost=c) for row, a, c in rows]), costs


def leaders(problem, archive, config):
    """Return the numbers of the architectures that a round would train."""

    class Observer:
        def believe(self, archive):
            return problems.believe_the_observed(problem, archive)

    return loop._leaders(problem, Observer(), archive, config).argmax(axis=1)


def test_leaders_of_a_round_are_ever_safer_and_the_winner_is_among_them():
    problem = synthetic.problem(noise=NOISE)
    archive, costs = steps_archive(problem)
    archive = archive.add([query(ROWS[9], ACCURACIES[9], "confirm", cost=costs[9])] * 4)
    config = SearchConfig(leaders=4)
    np.testing.assert_array_equal(loop.winner(problem, archive, config), ROWS[9])
    found = leaders(problem, archive, config)
    assert len(found) == 4 == len(np.unique(found))
    assert found[0] == 9


def test_rounds_that_made_none_sure_make_the_next_leaders_safer():
    problem = synthetic.problem(noise=NOISE)
    archive, costs = steps_archive(problem)
    config = SearchConfig(leaders=3)
    first = leaders(problem, archive, config)
    bad = [query(ROWS[0], ACCURACIES[0], "confirm", cost=costs[0])] * config.most_repeats
    archive = archive.add(bad * 3)
    assert not loop.winner(problem, archive, config).any()
    assert leaders(problem, archive, config).mean() > first.mean()


def test_deterministic_scores_are_not_asked_twice():
    archive, _ = run(random_search.RandomSearch(synthetic.problem(noise=0.0)))
    assert not [q for q in archive.queries if q.kind == "confirm"]


def test_unseen_drops_the_known_and_the_repeated():
    archive = Archive().add([query(FIRST, 0.9)])
    rows = np.stack([FIRST, SECOND, SECOND])
    np.testing.assert_array_equal(problems.unseen(rows, archive), [SECOND])


def test_evolution_beats_random_on_average():
    problem = synthetic.problem()
    best = {}
    for kind in (random_search.RandomSearch, evolution.Evolution):
        costs = []
        for seed in range(8):
            archive, config = run(kind(problem), seed, queries=96)
            costs.append(problem.cost(loop.winner(problem, archive, config)[None])[0])
        best[kind.__name__] = np.mean(costs)
    assert best["Evolution"] < best["RandomSearch"] < 0.5 * problem.cost(FIRST[None])[0]


@pytest.mark.parametrize(
    "change", [{"queries": 0}, {"batch": 0}, {"rounds": -1}, {"algorithm": "magic"}]
)
def test_bad_budget_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        SearchConfig(**change)
