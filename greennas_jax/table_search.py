"""A search of a tabular benchmark from request to log, over several seeds, to be continued."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from greennas_jax import checkpoints, query_log
from greennas_jax.accuracy import table as tables
from greennas_jax.accuracy.table import Columns
from greennas_jax.nao import embedding
from greennas_jax.nao.embedding import Embedding
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import TrainingConfig
from greennas_jax.report import files, front_table, telling
from greennas_jax.search import front_baselines, front_models, front_search, table_problem, tabular
from greennas_jax.search.front_search import FrontConfig
from greennas_jax.search.table_problem import TableProblem
from greennas_jax.search.tabular import FrontAlgorithm, TabularConfig
from greennas_jax.spaces import catalogue

ALGORITHMS = ("nao", *front_baselines.BASELINES)
TERM = "cost"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What decides a search's result.

    Attributes:
      space: A name of `spaces.catalogue`.
      table: Path of the table.
      columns: Its columns.
      algorithm: One of ALGORITHMS.
      cost_is_free: Whether cost is known without a query.
      objective: One of `table_problem.OBJECTIVES`.
      target: Least accuracy of the constrained objective.
      floor: Accuracy of a network that has learned nothing; by default the table's.
      config: The budget.
      front: How the embedding is searched.
      model: Sizes of the embedding's networks.
      training: How the embedding is taught.
      structure: Whether its heads are taught structure labels; if not, the accuracy model sees
        the embedding itself.
    """

    space: str
    table: str
    columns: Columns
    algorithm: str = "nao"
    cost_is_free: bool = True
    objective: str = "pareto"
    target: float | None = None
    floor: float | None = None
    config: TabularConfig = TabularConfig()
    front: FrontConfig = FrontConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    structure: bool = True

    def __post_init__(self):
        catalogue.get(self.space)
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm is {self.algorithm!r}; allowed: {', '.join(ALGORITHMS)}")


def problem(request: Request) -> TableProblem:
    """Return the problem of a request.

    Raises:
      ValueError: If the table is not usable, or the budget is larger than the space.
      OSError: If the table cannot be read.
    """
    found = table_problem.build(
        catalogue.get(request.space).make(),
        tables.load(request.table, request.columns),
        floor=request.floor,
        objective=request.objective,
        target=request.target,
        cost_is_free=request.cost_is_free,
    )
    tabular.check_budget(found, request.config)
    return found


def known_costs(found: TableProblem):
    """Return the cost that the embedding is taught as tables: the searched one where it is free.

    Where queries alone reveal it, multiply-adds stand for it, which the graph tells.
    """
    entry = catalogue.get(found.space.name)
    if found.cost_is_free:
        return entry.tabulated(TERM, "", found.tokens, found.costs)
    return entry.counted(found.space, TERM)


def teach(
    request: Request, found: TableProblem, costs: Any, folder: pathlib.Path | None
) -> Embedding:
    """Return the embedding of the problem's space, kept in a folder where one is given."""
    kept = None if folder is None else folder / "embedding.safetensors"
    restore = None
    if kept is not None and kept.exists():
        restore = functools.partial(checkpoints.load_arrays, kept)
    space = found.space if request.structure else front_models.Unlabelled(found.space)
    taught = embedding.teach(
        space, costs, (TERM,), 0, request.model, request.training, restore=restore
    )
    if kept is not None and restore is None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        checkpoints.save_arrays(kept, taught.model)
    return taught


def algorithm(
    request: Request,
    found: TableProblem,
    folder: pathlib.Path | None = None,
    taught: Embedding | None = None,
) -> FrontAlgorithm:
    """Return the algorithm of a request.

    Args:
      request: What is searched, and how.
      found: Its `problem`.
      folder: Where the embedding is kept, or None.
      taught: The embedding where it is there already.
    """
    if request.algorithm != "nao":
        return front_baselines.BASELINES[request.algorithm](found)
    costs = known_costs(found)
    front = request.front
    if not request.structure:
        front = dataclasses.replace(front, view="embedding")
    return front_search.FrontSearch(
        problem=found,
        embedding=teach(request, found, costs, folder) if taught is None else taught,
        costs=costs,
        term=TERM,
        config=front,
    )


def run(
    request: Request,
    found: TableProblem,
    seeds: range,
    workdir: pathlib.Path,
    listener: telling.Listener | None = None,
) -> dict[int, np.ndarray]:
    """Search under every seed and log the queries in WORKDIR/queries.csv.

    Args:
      request: What is searched, and how.
      found: Its `problem`.
      seeds: Of the searches.
      workdir: Where the log is; what it holds already is gone on from.
      listener: Hears of every seed, and after every step what its queries reach.

    Returns:
      The queried strings int32 [budget, T] by seed.
    """
    return search_all(
        lambda: algorithm(request, found, workdir / "checkpoints"),
        found,
        request.config,
        seeds,
        workdir / "queries.csv",
        listener,
    )


def search_all(
    choose: Callable[[], FrontAlgorithm],
    found: TableProblem,
    config: TabularConfig,
    seeds: range,
    path: pathlib.Path,
    listener: telling.Listener | None = None,
) -> dict[int, np.ndarray]:
    """Search under every seed by any algorithm and log the queries.

    Args:
      choose: Returns the algorithm; not called where the log is complete.
      found: What is searched.
      config: The budget.
      seeds: Of the searches.
      path: The log; what it holds already is gone on from.
      listener: As in `run`.

    Returns:
      The queried strings int32 [budget, T] by seed.
    """
    logged = query_log.read(path, found)
    kept = {}
    for seed in seeds:
        if seed not in logged:
            break
        done = config.whole_steps(len(logged[seed].accuracy))
        kept[seed] = table_problem.first(logged[seed], done)
        if done < config.budget:
            break
    query_log.rewrite(path, found, kept)
    chosen = None
    for seed in seeds:
        observed = kept.get(seed, tabular.nothing(found))
        if len(observed.accuracy) >= config.budget:
            continue
        chosen = chosen or choose()
        if listener is not None:
            listener.phase(f"seed {seed}", config.budget)
        for told in tabular.search(found, chosen, seed, config, observed):
            if listener is not None:
                # Before the log, which is gone on from: no step's figures are lost to a kill.
                listener.reach(len(told.accuracy), **_reached(found, told))
            files.append_text(path, query_log.lines(found, seed, told, len(observed.accuracy)))
            observed = told
        kept[seed] = observed
    return {seed: kept[seed].tokens for seed in seeds}


def _reached(found: TableProblem, told: table_problem.Observed) -> dict[str, float]:
    """Return what the queries of a search reach."""
    reached = front_table.reached(found, told.tokens, len(told.tokens))
    return {
        "best_accuracy": float(told.accuracy.max()),
        "hypervolume": reached["wide"],
        "strict_hypervolume": reached["strict"],
    }
