"""What the search for a front reaches with few queries, without each of its parts, and others.

The table is that of `experiments/search.py`. Every search has the same seeds and budget; its
queries are kept in FOLDER/NAME.csv where a folder is given, so that a long run can go on. The
hypervolumes are shares of the whole table's, from the floor of accuracy at the largest cost
("wide") and from the medians of both ("strict"). Tools that are not installed are skipped.

Shapes: Q numbers of queries.
"""

import dataclasses
import pathlib
import tempfile
import time
from typing import Any

import numpy as np

from greennas_jax import checkpoints, query_log, table_search
from greennas_jax.accuracy.table import Columns
from greennas_jax.nao.embedding import Embedding
from greennas_jax.nao.latent_search import LatentConfig
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import TrainingConfig
from greennas_jax.report import front_picture, front_table
from greennas_jax.search import front_search
from greennas_jax.search.table_problem import TableProblem
from greennas_jax.search.tabular import TabularConfig
from greennas_jax.table_search import Request

from . import rivals, suites

BUDGETS = (25, 50, 100, 200)
SMALL_BUDGET = 8
OWN = "nao"
# Name -> what differs from the search itself, in FrontConfig; or in Request under "request".
ABLATIONS: dict[str, dict[str, Any]] = {
    "whole space scored": {"candidates": "all"},
    "edits only": {"candidates": "edits"},
    "random candidates": {"candidates": "random"},
    "without gradient": {"paths": "none"},
    "without structure heads": {"structure": False},
    "deep ensemble": {"model": "ensemble"},
    "exact additive + pairwise solver": {"view": "pairs", "candidates": "all"},
}
BASELINES = {
    "random": "random",
    "regularised evolution": "evolution",
    "local search": "local",
    "NSGA-II": "nsga2",
}
SMALL = {
    "model": ModelConfig(width=8, hidden=8),
    "training": TrainingConfig(pool=64, steps=2, batch=8, runs=1),
}
TINY = LatentConfig(restarts=4, steps=1, paths="heads")


def names() -> list[str]:
    """Return the names of all searches."""
    return [OWN, *ABLATIONS, *BASELINES, *rivals.RIVALS]


def request(options: suites.Options, name: str) -> Request:
    """Return what one of the own searches is.

    Args:
      options: What the suite is told.
      name: OWN, or one of ABLATIONS or BASELINES.
    """
    base = Request(
        space="nasbench201",
        table=options.table or "",
        columns=Columns(accuracy=options.accuracy_column, cost=options.cost_column),
        algorithm=BASELINES.get(name, "nao"),
        cost_is_free=options.cost == "free",
        config=TabularConfig(budget=SMALL_BUDGET if options.small else options.budget),
        **(SMALL if options.small else {}),
    )
    front = front_search.FrontConfig()
    if options.small:
        front = dataclasses.replace(front, latent=TINY)
    changes = dict(ABLATIONS.get(name, {}))
    structure = changes.pop("structure", True)
    latent = dataclasses.replace(front.latent, paths=changes.pop("paths", front.latent.paths))
    front = dataclasses.replace(front, latent=latent, **changes)
    return dataclasses.replace(base, structure=structure, front=front)


def run(options: suites.Options) -> dict[str, Any]:
    """Return what every search reaches at every budget.

    Raises:
      ValueError: If no table is given, it is not usable, or a search is not known.
    """
    if options.table is None:
        raise ValueError("--suite=search needs --table=FILE, a table of NAS-Bench-201's cells")
    for name in options.only:
        if name not in names():
            raise ValueError(f"--only has {name!r}; allowed: {', '.join(names())}")
    problem = table_search.problem(request(options, OWN))
    with tempfile.TemporaryDirectory() as scratch:
        identity = dataclasses.asdict(request(options, OWN)) | {"first_seed": options.seed}
        folder = checkpoints.claim(options.keep or scratch, identity)
        return _compare(options, problem, folder)


def _compare(
    options: suites.Options, problem: TableProblem, folder: pathlib.Path
) -> dict[str, Any]:
    budget = request(options, OWN).config.budget
    budgets = [one for one in BUDGETS if one < budget] + [budget]
    searches, skipped, seconds = {}, {}, {}
    embeddings: dict[bool, Embedding] = {}
    for name in options.only or names():
        package = rivals.RIVALS[name][0] if name in rivals.RIVALS else None
        if package is not None and not rivals.installed(package):
            skipped[name] = f"{package} is not installed"
            continue
        options.tell(name)
        start = time.perf_counter()
        searches[name] = _searched(options, problem, name, folder, embeddings)
        seconds[name] = time.perf_counter() - start
    if options.picture:
        _draw(options.picture, problem, searches, budget)
    return {
        "table": pathlib.Path(options.table or "").name,
        "accuracy_column": options.accuracy_column,
        "cost_column": options.cost_column,
        "cost": options.cost,
        "seeds": options.seeds,
        "skipped": skipped,
        "searches": {
            name: {
                "kind": _kind(name),
                "seconds": seconds[name],
                **{str(one): _scores(problem, found, one) for one in budgets},
            }
            for name, found in searches.items()
        },
        "ahead_of": _ahead(problem, searches, budgets),
    }


def _kind(name: str) -> str:
    return "search" if name == OWN else "ablation" if name in ABLATIONS else "baseline"


def _searched(
    options: suites.Options,
    problem: TableProblem,
    name: str,
    folder: pathlib.Path,
    embeddings: dict[bool, Embedding],
) -> dict[int, np.ndarray]:
    """Return the queries of one search by seed, those that were kept not asked again."""
    seeds = range(options.seed, options.seed + options.seeds)
    path = folder / f"{name.replace(' ', '_')}.csv"
    asked = request(options, OWN if name in rivals.RIVALS else name)
    if name not in rivals.RIVALS:

        def choose():
            if asked.algorithm == "nao" and asked.structure not in embeddings:
                kept = folder / ("structure" if asked.structure else "plain")
                costs = table_search.known_costs(problem)
                embeddings[asked.structure] = table_search.teach(asked, problem, costs, kept)
            taught = embeddings.get(asked.structure)
            return table_search.algorithm(asked, problem, taught=taught)

        return table_search.search_all(choose, problem, asked.config, seeds, path, options.tell)
    known = query_log.read(path, problem)
    budget = asked.config.budget
    found = {}
    options.tell.phase("seeds", len(seeds))
    for seed in seeds:
        if seed in known and len(known[seed].accuracy) >= budget:
            found[seed] = known[seed].tokens[:budget]
        else:
            found[seed] = rivals.whole(problem, rivals.RIVALS[name][1], seed, budget)
        options.tell.did(1)
        query_log.rewrite(path, problem, {one: problem.query(rows) for one, rows in found.items()})
    return found


def _values(problem: TableProblem, found: dict[int, np.ndarray], budget: int) -> dict[str, Any]:
    rows = [front_table.reached(problem, tokens, budget) for tokens in found.values()]
    return {key: np.asarray([row[key] for row in rows]) for key in rows[0]}


def _error(values: np.ndarray) -> float | None:
    """Return the standard error of the mean of values, None of a single one."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def _scores(problem: TableProblem, found: dict[int, np.ndarray], budget: int) -> dict[str, Any]:
    return {
        key: {
            "mean": float(values.mean()),
            "standard_error": _error(values),
            "standard_deviation": float(values.std(ddof=1)) if len(values) > 1 else None,
        }
        for key, values in _values(problem, found, budget).items()
    }


def _ahead(
    problem: TableProblem, searches: dict[str, dict[int, np.ndarray]], budgets: list[int]
) -> dict[str, Any]:
    """Return by how many standard errors of the difference the own search leads each baseline."""
    if OWN not in searches:
        return {}
    found: dict[str, Any] = {}
    for name, other in searches.items():
        if _kind(name) != "baseline":
            continue
        found[name] = {}
        for budget in budgets:
            own, theirs = (_values(problem, each, budget) for each in (searches[OWN], other))
            found[name][str(budget)] = {
                key: _lead(own[key], theirs[key]) for key in ("wide", "strict")
            }
    return found


def _lead(own: np.ndarray, other: np.ndarray) -> float | None:
    errors = (_error(own), _error(other))
    if errors[0] is None or errors[1] is None:
        return None
    both = max((errors[0] ** 2 + errors[1] ** 2) ** 0.5, 1e-9)
    return float((own.mean() - other.mean()) / both)


def _draw(path: str, problem: TableProblem, searches: Any, budget: int) -> None:
    """Draw the own search and the baselines, query by query."""
    queries = list(range(5, budget + 1, 5)) or [budget]
    courses: dict[str, dict[str, front_picture.Course]] = {"wide": {}, "strict": {}}
    for name, found in searches.items():
        if _kind(name) == "ablation":
            continue
        values = [_values(problem, found, one) for one in queries]
        for reference, drawn in courses.items():
            own = np.stack([each[reference] for each in values])
            spread = own.std(1, ddof=1) if own.shape[1] > 1 else np.zeros(len(queries))
            error = spread / own.shape[1] ** 0.5
            drawn[name] = front_picture.Course(own.mean(1), error)
    front_picture.draw(path, queries, courses)
