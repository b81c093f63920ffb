import dataclasses

import numpy as np
import pytest

from greennas_jax.nao import embedding
from greennas_jax.nao.latent_search import LatentConfig
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import TrainingConfig
from greennas_jax.report import front_table
from greennas_jax.search import front_baselines, front_search, tabular
from greennas_jax.search.front_search import FrontConfig, FrontSearch
from greennas_jax.search.tabular import TabularConfig
from greennas_jax.spaces import nasbench201
from tests.search import tabulated

# Teaching the embedding takes a minute.
pytestmark = pytest.mark.slow

PROBLEM = tabulated.problem()
CONFIG = TabularConfig(budget=30, start=5, batch=5, singly=10)
LATENT = LatentConfig(restarts=16, steps=4, paths="heads")


@pytest.fixture(scope="module")
def taught():
    costs = nasbench201.tabulated("cost", "", PROBLEM.tokens, PROBLEM.costs)
    config = TrainingConfig(pool=512, steps=150, batch=64, runs=1)
    model = ModelConfig(width=24, hidden=32)
    return costs, embedding.teach(PROBLEM.space, costs, ("cost",), 0, model, config)


def make(taught, problem=PROBLEM, **settings):
    costs, own = taught
    config = FrontConfig(latent=LATENT, most=300, **settings)
    return FrontSearch(problem=problem, embedding=own, costs=costs, term="cost", config=config)


def run(algorithm, seed, problem=PROBLEM, config=CONFIG, observed=None):
    observed = tabular.nothing(problem) if observed is None else observed
    *_, last = tabular.search(problem, algorithm, seed, config, observed)
    return last


def test_the_embedding_finds_the_front_with_few_queries(taught):
    found = run(make(taught), 0)
    assert len(np.unique(found.tokens, axis=0)) == 30
    rival = run(front_baselines.NondominatedSorting(PROBLEM), 0)
    own, other = (front_table.reached(PROBLEM, each.tokens, 30) for each in (found, rival))
    assert own["wide"] > max(other["wide"], 0.97) and own["strict"] > other["strict"]


@pytest.mark.parametrize("free", [True, False])
def test_starts_of_two_seeds_differ_and_lie_apart_in_the_labels(taught, free):
    problem = dataclasses.replace(PROBLEM, cost_is_free=free)
    algorithm = dataclasses.replace(make(taught), problem=problem)
    found = [run(algorithm, seed, problem, TabularConfig(budget=5)) for seed in (0, 1)]
    assert len(found[0].keys() | found[1].keys()) == 10
    drawn = algorithm.labels(PROBLEM.space.sample(np.random.default_rng(5), 200))
    usual = np.sqrt(((drawn[:100] - drawn[100:]) ** 2).mean(-1))
    for one in found:
        rows = algorithm.labels(one.tokens)
        gaps = np.sqrt(((rows[:, None] - rows[None]) ** 2).mean(-1))
        assert gaps[np.triu_indices(5, 1)].min() > np.median(usual)


def test_candidates_hold_what_is_worth_most_of_all_by_every_reference(taught, monkeypatch):
    shares = []
    select = FrontSearch._select

    def compared(self, pool, posterior, goal, references, batch):
        whole = PROBLEM.admitted(PROBLEM.tokens, self.queried)
        for one in front_search._turns(goal, references):
            own, best = (self._worth(found, posterior, one).max() for found in (pool, whole))
            shares.append(np.exp(own - best))
        return select(self, pool, posterior, goal, references, batch)

    propose = FrontSearch.propose

    def noted(self, observed, batch, rng):
        object.__setattr__(self, "queried", observed.keys())
        return propose(self, observed, batch, rng)

    monkeypatch.setattr(FrontSearch, "_select", compared)
    monkeypatch.setattr(FrontSearch, "propose", noted)
    run(make(taught), 2, config=TabularConfig(budget=25, singly=15))
    assert len(shares) > 12 and max(shares) <= 1 + 1e-4
    assert np.mean(shares) > 0.9 and np.median(shares) > 0.99


def test_every_source_scores_no_more_than_allowed(taught, monkeypatch):
    sizes = []
    select = FrontSearch._select

    def counted(self, pool, *rest):
        sizes.append(len(pool))
        return select(self, pool, *rest)

    monkeypatch.setattr(FrontSearch, "_select", counted)
    short = dataclasses.replace(CONFIG, budget=12)
    for candidates in front_search.CANDIDATES:
        sizes.clear()
        assert len(run(make(taught, candidates=candidates), 1, config=short).accuracy) == 12
        assert max(sizes) <= (6461 if candidates == "all" else 300)
        assert min(sizes) == 300 if candidates in ("edits", "latent") else min(sizes) > 10


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "accuracy"},
        {"objective": "constrained", "target": 0.8},
        {"cost_is_free": False},
    ],
)
def test_other_objectives_are_served(taught, settings):
    problem = tabulated.problem(**settings)
    found = run(make(taught, problem), 2, problem)
    if settings.get("objective") == "accuracy":
        assert found.accuracy.max() > np.quantile(PROBLEM.accuracy, 0.999)
    elif settings.get("objective") == "constrained":
        feasible = PROBLEM.costs[PROBLEM.accuracy >= 0.8]
        best = found.cost[found.accuracy >= 0.8].min()
        assert (feasible < best).mean() < 0.02
    else:
        # The cheapest corner, which the wide reference rewards, costs queries that a search without
        # known costs has not: it is as good there, and far better among the accurate.
        rival = run(front_baselines.RandomFront(problem), 2, problem)
        own, other = (front_table.reached(problem, each.tokens, 30) for each in (found, rival))
        assert own["wide"] > other["wide"] - 0.02 and own["strict"] > other["strict"] + 0.3


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="candidates is 'some'; allowed: latent, edits"):
        FrontConfig(candidates="some")
    with pytest.raises(ValueError, match="must be positive"):
        FrontConfig(most=0)
