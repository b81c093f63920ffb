import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax import limiting
from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.nao import embedding, latent_search
from greennas_jax.nao.ensemble import Ensemble
from greennas_jax.nao.gaussian_process import Posterior
from greennas_jax.nao.latent_search import LatentConfig
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import TrainingConfig
from greennas_jax.search import additive, latent, loop, random_search
from greennas_jax.search import archive as archives
from greennas_jax.search import problem as problems
from greennas_jax.search.loop import SearchConfig
from greennas_jax.search.problem import Problem
from greennas_jax.spaces import edits, exact
from greennas_jax.spec import paleo_json
from tests.search import limited, synthetic

QUICK = TrainingConfig(pool=2048, steps=300, batch=64)
SMALL = ModelConfig(width=32, hidden=64)


@pytest.fixture(scope="module")
def taught():
    problem = synthetic.problem()
    return embedding.teach(problem.space, problem.costs, ("energy",), 0, SMALL, QUICK)


def search_for(problem, taught, paths="both", term="energy", few=512):
    return latent.LatentSearch(
        problem=problem,
        model=taught.model,
        head=taught.heads[term],
        distance=taught.distance,
        labels=96,
        config=LatentConfig(restarts=32, steps=6, paths=paths, few=few),
    )


def run(algorithm, seed, queries=48):
    problem = algorithm.problem
    config = SearchConfig(queries=queries, batch=16)
    archive = problems.start(problem, range(8))
    rng = np.random.default_rng(seed)
    return loop.search(problem, algorithm, archive, rng, config), config


def test_embedding_knows_the_space(taught):
    assert taught.quality["exact_match"] >= 0.99
    assert taught.quality["cost_spearman"] >= 0.98


def test_proposals_are_new_distinct_and_predicted(taught):
    algorithm = search_for(synthetic.problem(), taught)
    archive, _ = run(algorithm, seed=0, queries=32)
    searched = [q for q in archive.queries if q.kind == "search"]
    assert len({archives.key_of(q.tokens) for q in searched}) == len(searched) == 32
    later = searched[16:]
    assert all(np.isfinite([q.expected, q.spread]).all() and q.spread > 0 for q in later)
    errors = np.array([q.accuracy - q.expected for q in later])
    assert np.median(np.abs(errors)) < 0.03


@pytest.mark.slow
def test_perceptrons_model_accuracy_where_labels_are_many(taught):
    problem = synthetic.problem()
    algorithm = search_for(problem, taught, few=20)
    archive = problems.start(problem, range(8))
    rng = np.random.default_rng(0)
    tokens = problems.unseen(problem.space.sample(rng, 90), archive)[:80]
    queries = loop.evaluate(problem, problems.plain(tokens), list(range(len(tokens))))
    archive = archive.add(queries)
    posterior, _, _ = algorithm._fit(archive)
    assert isinstance(posterior, Ensemble)
    mean, spread = algorithm.believe(archive)
    truth = synthetic.true_accuracy(archives.summarise(archive, problem.noise).tokens)
    assert np.corrcoef(mean, truth)[0, 1] > 0.8
    assert np.isfinite(spread).all() and (spread > 0).all()
    proposal = algorithm.propose(archive, 16, rng)
    assert len(proposal.tokens) == 16 and np.isfinite(proposal.expected).all()
    few, _, _ = search_for(problem, taught)._fit(archive)
    assert isinstance(few, Posterior)


@pytest.mark.slow
def test_same_seed_gives_the_same_queries(taught):
    first, second = (run(search_for(synthetic.problem(), taught), 3, 32)[0] for _ in range(2))
    for a, b in zip(first.queries, second.queries, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)


@pytest.mark.slow
def test_latent_search_beats_random_and_finds_nearly_the_best(taught):
    problem = synthetic.problem()
    found = {"latent": [], "random": []}
    for seed in range(3):
        for name in found:
            algorithm = (
                search_for(problem, taught)
                if name == "latent"
                else random_search.RandomSearch(problem)
            )
            archive, config = run(algorithm, seed, queries=80)
            found[name].append(problem.cost(loop.winner(problem, archive, config)[None])[0])
    assert np.mean(found["latent"]) < np.mean(found["random"])
    assert np.mean(found["latent"]) < 1.35 * synthetic.best_cost()


@pytest.mark.parametrize("paths", ["both", "heads", "relaxed"])
def test_cost_only_search_reaches_the_exact_optimum(taught, paths):
    problem = synthetic.problem()
    _, best = exact.cheapest(problem.costs, {"energy": 1.0})
    rng = np.random.default_rng(0)
    tokens, cost = search_for(problem, taught, paths).cheapest(rng, rounds=2)
    assert cost <= 1.01 * best
    np.testing.assert_allclose(problem.cost(tokens[None])[0], cost)


@pytest.mark.slow
def test_gradient_alone_lowers_the_cost(taught):
    """Without expansion: what the ascent visits is far cheaper than where random moves lead."""
    problem, rng = synthetic.problem(), np.random.default_rng(1)
    lowest = {}
    for paths in ("both", "none"):
        algorithm = search_for(problem, taught, paths)
        archive = problems.start(problem, range(8))
        archive = archive.add(
            loop.evaluate(problem, problems.plain(problem.space.sample(rng, 8)), list(range(8)))
        )
        posterior, _, goal = algorithm._fit(archive)
        start = np.tile(problem.given(), (32, 1))
        goal = goal._replace(threshold=np.float32(-1e9))
        visited = algorithm._move(start, posterior, goal, np.random.default_rng(0))
        lowest[paths] = np.median(problem.cost(np.asarray(visited.tokens)[-1]))
    assert lowest["both"] < 0.5 * lowest["none"]


def test_additive_solver_finds_feasible_savings():
    problem = synthetic.problem()
    costs = []
    for seed in range(3):
        archive, config = run(additive.AdditiveSolver(problem), seed)
        winner = loop.winner(problem, archive, config)
        costs.append(problem.cost(winner[None])[0])
        assert synthetic.true_accuracy(winner[None])[0] >= synthetic.THRESHOLD - 0.002
    assert np.mean(costs) < 0.6 * problem.cost(problem.given()[None])[0]


def test_additive_model_learns_an_additive_truth():
    """Accuracies that are sums of single and pair effects are predicted almost exactly."""
    problem = synthetic.problem(noise=0.0)
    algorithm = additive.AdditiveSolver(problem)
    rng = np.random.default_rng(0)
    tokens = problems.unseen(problem.space.sample(rng, 300), archives.Archive())
    archive = archives.Archive().add(
        loop.evaluate(problem, problems.plain(tokens), [0] * len(tokens))
    )
    fresh = problems.unseen(problem.space.sample(rng, 400), archive)
    mean, spread = algorithm._predict(algorithm._fit(archive), fresh)
    truth = synthetic.true_accuracy(fresh)
    assert np.corrcoef(mean, truth)[0, 1] > 0.98
    assert np.mean(np.abs(mean - truth) < 3 * spread) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "alexnet", "vgg_cifar10"])
def test_cost_only_search_on_real_chains(name):
    network = paleo_json.load(f"configs/specs/{name}.json")
    space = edits.build(network)
    chosen = [terms.get(term) for term in ("energy", "time")]
    costs = space.factors(devices.load("titan_x"), chosen, CostSettings())
    from greennas_jax.spaces import factors as cost_factors

    problem = Problem(
        space=space,
        costs=cost_factors.select_terms(costs, ("energy",)),
        evaluate=lambda tokens, seeds: [],
        threshold=0.0,
        baseline=np.ones(1),
        noise=0.0,
        deterministic=True,
    )
    found = embedding.teach(space, costs, ("energy", "time"), 0, ModelConfig(), TrainingConfig())
    assert found.quality["exact_match"] >= 0.99
    assert found.quality["cost_spearman"] >= 0.98
    _, best = exact.cheapest(problem.costs, {"energy": 1.0})
    _, cost = search_for(problem, found).cheapest(np.random.default_rng(0))
    assert cost <= 1.01 * best


@pytest.mark.slow
def test_the_ascent_feels_limits_and_nothing_beyond_them_is_queried(taught):
    most = 3.0
    problem = limited.problem(energy=most, threshold=0.85)
    heads = {name: taught.heads[name] for name in ("energy",)}
    guide = limiting.guide(problem.limits, heads)
    algorithm = search_for(problem, taught, paths="relaxed")
    archive, _ = run(dataclasses.replace(algorithm, guide=guide), 0, queries=32)
    costs = [q.cost for q in archive.queries if q.kind != "baseline"]
    assert len(costs) >= 32 and max(costs) <= most
    # Well within, the step is flat; well beyond, its slope is that of the log: 1 / 0.05.
    inside, beyond = jnp.log(jnp.array([[0.5 * most]])), jnp.log(jnp.array([[1.4 * most]]))
    slope = jax.grad(lambda log_cost: latent_search.room(guide, log_cost).sum())
    np.testing.assert_allclose(slope(inside), 0.0, atol=1e-3)
    np.testing.assert_allclose(slope(beyond), -20.0, rtol=0.01)
