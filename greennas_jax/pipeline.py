"""The nine steps from a network's text to a greener network's text, as a few calls.

1-3 `costs.profile` of the network read; 4 `prepare` and `nao.embedding.teach`; 5-6 `solve`;
7 `accuracy.final_test`; 8-9 `report`. Programs join them; nothing here reads flags or writes files.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax import limiting
from greennas_jax.accuracy import final_test, recipes
from greennas_jax.accuracy.oracle import Oracle
from greennas_jax.accuracy.training import Recipe
from greennas_jax.costs import terms
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import WHOLE_MODES, CostSettings
from greennas_jax.nao import embedding as embeddings
from greennas_jax.nao.embedding import Embedding
from greennas_jax.nao.latent_search import LatentConfig
from greennas_jax.nao.model import Model, ModelConfig
from greennas_jax.nao.training import TrainingConfig
from greennas_jax.search import (
    additive,
    blocks,
    evolution,
    exact_solver,
    latent,
    loop,
    random_search,
)
from greennas_jax.search import problem as problems
from greennas_jax.search.archive import Archive
from greennas_jax.search.limits import Limits
from greennas_jax.search.loop import SearchConfig
from greennas_jax.search.problem import Algorithm, Problem, Verdict
from greennas_jax.spaces import edits
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spaces.edits import EditsConfig, EditSpace
from greennas_jax.spec.network import Network

TERMS = ("energy", "time", "memory", "parameters")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Everything that decides a run's result, besides the network, the device and the data.

    Attributes:
      objective: The cost term to lower, one of TERMS or another registered one.
      seed: Of every random choice of the search.
      max_accuracy_drop: Accuracy that may be lost, a fraction of 1 (0.01 is one point).
      proxy_tolerance: Relative drop of a training-free score that may be lost.
      proxy_images: Random images that a training-free score is taken on.
      baseline_seeds: Trainings of the given network that set the guard, and tell which folds are
        hard.
      settings: What is costed.
      space: Which edits are offered.
      model: Sizes of the embedding's networks.
      training: How the embedding is trained.
      latent: How the embedding is searched.
      search: Algorithm, budget and confirmation.
      recipe: How children are trained in the search, and with more epochs in the final test.
      resize: Whether images of one's own arrays, of CIFAR and of tfds are resized to the network's
        input; digits and folders of images always are.
      final_seeds: Fresh trainings of each network in the final test.
      final_epochs: Epochs of each; None for twice the recipe's.
      verdict_confidence: Standard errors of the difference that a verdict needs; 1 is 84 %,
        one-sided, and 1.645 is 95 %.
      target_energy: Hard limit on the found network's energy, of a batch or training step [J].
      target_time: Hard limit on its time [ms].
      target_memory: Hard limit on its peak memory, as its profile tells it [bytes].
      max_parameters: Hard limit on its trainable parameters.
    """

    objective: str = "energy"
    seed: int = 0
    max_accuracy_drop: float = 0.01
    proxy_tolerance: float = 0.15
    proxy_images: int = 8
    baseline_seeds: int = 16
    settings: CostSettings = CostSettings()
    space: EditsConfig = EditsConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    latent: LatentConfig = LatentConfig()
    search: SearchConfig = SearchConfig()
    recipe: Recipe = Recipe()
    resize: bool = False
    final_seeds: int = 8
    final_epochs: int | None = None
    verdict_confidence: float = 1.0
    target_energy: float | None = None
    target_time: float | None = None
    target_memory: float | None = None
    max_parameters: int | None = None

    def __post_init__(self):
        if self.objective not in terms.names():
            known = ", ".join(terms.names())
            raise ValueError(f"objective is {self.objective!r}; allowed: {known}")
        if self.settings.caches:
            raise ValueError(
                f"settings.mode is '{self.settings.mode}', which is for profiles; allowed: "
                + ", ".join(WHOLE_MODES)
            )
        for name in ("max_accuracy_drop", "proxy_tolerance"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: from 0, below 1")
        for name in limiting.NAMES:
            most = getattr(self, name)
            if most is not None and not 0 < most < math.inf:
                raise ValueError(f"{name} is {most!r}; allowed: a finite number above 0")


def settled(config: PipelineConfig, network: Network) -> PipelineConfig:
    """Return a configuration that leaves nothing open which follows the network or the algorithm.

    The exact solver has one answer, so that one query is its budget.
    """
    if config.search.algorithm == loop.EXACT:
        search = dataclasses.replace(config.search, queries=1, batch=1)
        config = dataclasses.replace(config, search=search)
    recipe = recipes.settled(config.recipe, network)
    final = config.final_epochs or recipes.FINAL_PASSES * (recipe.epochs or 0)
    return dataclasses.replace(config, recipe=recipe, final_epochs=final)


def terms_of(config: PipelineConfig) -> tuple[str, ...]:
    """Return the cost terms of a run: TERMS, and the objective where it is another one."""
    return TERMS if config.objective in TERMS else (*TERMS, config.objective)


class Prepared(NamedTuple):
    """A network's space with its costs.

    Attributes:
      space: The edits around the given network.
      costs: Factors of `terms_of` the configuration, in order.
      objective: Factors of the searched term alone.
      limits: Hard limits on what is found, or None.
    """

    space: EditSpace
    costs: cost_factors.Factors
    objective: cost_factors.Factors
    limits: Limits | None = None

    @property
    def size(self) -> float:
        """Number of token strings."""
        return float(np.prod(self.space.sizes.astype(float)))


def prepare(
    network: Network, device: Device, config: PipelineConfig, batch_size: int | None = None
) -> Prepared:
    """Build the space around a network and fill its cost tables.

    Raises:
      ValueError: If nothing of the network may be edited, or no network of the space keeps to the
        limits.
    """
    space = edits.build(network, config=config.space, batch_size=batch_size)
    if not space.positions:
        raise ValueError(f"network '{network.name}': nothing in it may be edited")
    costs = space.factors(device, [terms.get(name) for name in terms_of(config)], config.settings)
    targets = limiting.targets(config)
    limits = limiting.limits(targets, space, costs, device, config.settings, batch_size)
    objective = cost_factors.select_terms(costs, (config.objective,))
    return Prepared(space, costs, objective, limits)


def check_solvable(
    network: Network, device: Device, config: PipelineConfig, batch_size: int | None
) -> None:
    """Raise ValueError if no network keeps to the limits, or the exact solver has no answer."""
    exactly = config.search.algorithm == loop.EXACT
    if exactly or limiting.targets(config):
        prepared = prepare(network, device, config, batch_size)
        if exactly:
            exact_solver.cheapest(prepared.costs, config.objective, prepared.limits)


def embed(
    prepared: Prepared,
    config: PipelineConfig,
    progress: Callable[[int, float, float], None] | None = None,
    restore: Callable[[Model], Model] | None = None,
) -> Embedding:
    """Train the embedding of a prepared space, or restore it; see `nao.embedding.teach`."""
    return embeddings.teach(
        prepared.space,
        prepared.costs,
        terms_of(config),
        config.seed,
        config.model,
        config.training,
        progress,
        restore,
    )


def seed_of(config: PipelineConfig, number: int) -> int:
    """Return the seed of a training, so that runs of different seeds share none."""
    return (config.seed * 2_000_003 + number) % 2**31


def final_config(config: PipelineConfig) -> final_test.Config:
    """Return how both networks are trained for the verdict of a settled configuration."""
    return final_test.Config(
        recipe=dataclasses.replace(config.recipe, epochs=config.final_epochs),
        seeds=tuple(seed_of(config, problems.FRESH_SEEDS + i) for i in range(config.final_seeds)),
        z=config.verdict_confidence,
    )


Evaluate = Callable[[np.ndarray, Sequence[int]], Sequence[Any]]
Remember = Callable[[Evaluate, np.ndarray, Sequence[int]], Sequence[Any]]


def _seeds_of_given(oracle: Oracle, config: PipelineConfig) -> list[int]:
    """Return the seeds of the given network's own trials; a proxy needs one."""
    return list(range(1 if oracle.kind == "proxy" else config.baseline_seeds))


def try_given(
    prepared: Prepared, oracle: Oracle, config: PipelineConfig, remember: Remember | None = None
) -> list[Any]:
    """Return the given network's own trials, one per seed.

    Args:
      prepared: The space and its costs.
      oracle: Who says how accurate a network is.
      config: The run.
      remember: (evaluate, tokens [n, T], seeds) -> trials, calling `evaluate` on what it does not
        know already; by default it is called on all.
    """

    def of_given(tokens: np.ndarray, seeds: Sequence[int]):
        return oracle.baseline(seeds)

    own = [seed_of(config, seed) for seed in _seeds_of_given(oracle, config)]
    strings = np.zeros((len(own), len(prepared.space.positions)), np.int32)
    return list(remember(of_given, strings, own) if remember else of_given(strings, own))


def pose(
    prepared: Prepared,
    oracle: Oracle,
    config: PipelineConfig,
    trials: Sequence[Any],
    remember: Remember | None = None,
) -> tuple[Problem, Archive]:
    """Pose the search problem around the given network's own accuracy.

    Args:
      prepared: The space and its costs.
      oracle: Who says how accurate a network is.
      config: The run.
      trials: The given network's own, from `try_given`.
      remember: (evaluate, tokens [n, T], seeds) -> trials, calling `evaluate` on what it does not
        know already; by default it is called on all.

    Returns:
      The problem, and an archive that holds the baseline.
    """
    proxy = oracle.kind == "proxy"
    seeds = _seeds_of_given(oracle, config)
    own = [seed_of(config, seed) for seed in seeds]
    found = np.asarray([float(trial.accuracy) for trial in trials])
    common = blocks.estimate(found, np.asarray([oracle.block(seed) for seed in own]))

    def fair(trials: Sequence[Any], seeds: Sequence[int]) -> list[Any]:
        return [
            trial._replace(accuracy=common.without(float(trial.accuracy), oracle.block(seed)))
            for trial, seed in zip(trials, seeds, strict=True)
        ]

    baseline = np.asarray([trial.accuracy for trial in fair(trials, own)])
    taught = oracle.after_baseline(trials)

    def by_oracle(tokens: np.ndarray, seeds: Sequence[int]):
        return taught.evaluate([prepared.space.decode(row) for row in tokens], seeds)

    def of_run(tokens: np.ndarray, seeds: Sequence[int]):
        # A proxy compares networks under one draw of weights.
        chosen = [seed_of(config, 0 if proxy else seed) for seed in seeds]
        found = remember(by_oracle, tokens, chosen) if remember else by_oracle(tokens, chosen)
        return fair(found, chosen)

    allowed = config.proxy_tolerance if proxy else config.max_accuracy_drop
    if config.search.algorithm == loop.EXACT:
        allowed = math.inf
    problem = Problem(
        space=prepared.space,
        costs=prepared.objective,
        evaluate=of_run,
        threshold=float(baseline.mean()) - allowed,
        baseline=baseline,
        noise=common.noise,
        verdict=Verdict(config.final_seeds, config.verdict_confidence),
        deterministic=proxy,
        limits=prepared.limits,
    )
    problem = loop.with_margin(problem, config.search)
    return problem, problems.start(problem, seeds)


def algorithm_for(
    prepared: Prepared, problem: Problem, config: PipelineConfig, taught: Embedding | None
) -> Algorithm:
    """Return the configured algorithm.

    Args:
      prepared: The space and its costs.
      problem: What is searched.
      config: The run.
      taught: The embedding; needed by `latent` alone.
    """
    if config.search.algorithm == "random":
        return random_search.RandomSearch(problem)
    if config.search.algorithm == "evolution":
        return evolution.Evolution(problem)
    if config.search.algorithm == "additive":
        return additive.AdditiveSolver(problem)
    if config.search.algorithm == loop.EXACT:
        return exact_solver.ExactSolver(problem, prepared.costs, config.objective)
    if taught is None:
        raise ValueError("algorithm 'latent' needs a taught embedding")
    return latent.LatentSearch(
        problem=problem,
        model=taught.model,
        head=taught.heads[config.objective],
        distance=taught.distance,
        labels=1 + config.search.queries,
        config=config.latent,
        guide=limiting.guide(problem.limits, taught.heads),
    )


class Solution(NamedTuple):
    """What a search ends with.

    Attributes:
      tokens: int32 [T] of the winner; zeros are the given network.
      network: The winner.
      archive: Every query.
    """

    tokens: np.ndarray
    network: Network
    archive: Archive


def solve(
    problem: Problem,
    algorithm: Algorithm,
    archive: Archive,
    config: PipelineConfig,
    progress: loop.Progress | None = None,
) -> Solution:
    """Search, train the leaders again, and choose the winner."""
    rng = np.random.default_rng([config.seed, 2])
    archive = loop.search(problem, algorithm, archive, rng, config.search, progress)
    tokens = loop.winner(problem, archive, config.search)
    return Solution(tokens, problem.space.decode(tokens), archive)
