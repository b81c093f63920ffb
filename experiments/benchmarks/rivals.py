"""Searches by other people's tools, as baselines: Optuna's NSGA-II and TPE, pymoo's NSGA-II.

Each asks for single choices of all positions and is told accuracy and log cost. Strings of one
class are one query: what was told before is told again and does not count; a string without a path
is told the floor of accuracy at the largest cost.

Shapes: T tokens.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from greennas_jax.search import tabular
from greennas_jax.search.table_problem import TableProblem

POPULATION = 20
# Asked strings per counted query before a search ends short of its budget.
PATIENCE = 50
Search = Callable[[TableProblem, int, int], np.ndarray]


class _Told:
    """Remembers what was queried, in order."""

    def __init__(self, problem: TableProblem, budget: int):
        self.problem, self.budget, self.asked = problem, budget, 0
        self.rows: dict[int, None] = {}

    def answer(self, tokens: np.ndarray) -> tuple[float, float]:
        """Return accuracy and log cost of a string [T]."""
        self.asked += 1
        problem = self.problem
        row = int(problem.rows(problem.space.canonical(tokens[None]))[0])
        if row < 0:
            return problem.floor, float(np.log(problem.costs.max()))
        self.rows.setdefault(row)
        return float(problem.accuracy[row]), float(np.log(problem.costs[row]))

    def done(self) -> bool:
        """Return whether the budget or the patience is spent."""
        return len(self.rows) >= self.budget or self.asked >= PATIENCE * self.budget

    def tokens(self) -> np.ndarray:
        """Return what was queried, int32 [n, T]."""
        return self.problem.tokens[list(self.rows)[: self.budget]]


def _optuna(problem: TableProblem, seed: int, budget: int, kind: str) -> np.ndarray:
    optuna = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if kind == "nsga2":
        sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    else:
        sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    told = _Told(problem, budget)
    choices = [list(range(size)) for size in problem.space.sizes.tolist()]
    while not told.done():
        trial = study.ask()
        tokens = [trial.suggest_categorical(f"p{i}", own) for i, own in enumerate(choices)]
        study.tell(trial, told.answer(np.asarray(tokens, np.int32)))
    return told.tokens()


def optuna_nsga2(problem: TableProblem, seed: int, budget: int) -> np.ndarray:
    """Return the queries int32 [n, T] of Optuna's NSGA-II."""
    return _optuna(problem, seed, budget, "nsga2")


def optuna_tpe(problem: TableProblem, seed: int, budget: int) -> np.ndarray:
    """Return the queries int32 [n, T] of Optuna's tree of Parzen estimators."""
    return _optuna(problem, seed, budget, "tpe")


def pymoo_nsga2(problem: TableProblem, seed: int, budget: int) -> np.ndarray:
    """Return the queries int32 [n, T] of pymoo's NSGA-II on whole numbers."""

    def part(place: str) -> Any:
        return importlib.import_module(f"pymoo.{place}")

    rounded = part("operators.repair.rounding").RoundingRepair
    sizes = problem.space.sizes
    whole = part("core.problem").Problem(n_var=len(sizes), n_obj=2, xl=0, xu=sizes - 1, vtype=int)
    algorithm = part("algorithms.moo.nsga2").NSGA2(
        pop_size=POPULATION,
        sampling=part("operators.sampling.rnd").IntegerRandomSampling(),
        crossover=part("operators.crossover.sbx").SBX(
            prob=0.9, eta=3.0, vtype=float, repair=rounded()
        ),
        mutation=part("operators.mutation.pm").PM(prob=1.0, eta=3.0, vtype=float, repair=rounded()),
        eliminate_duplicates=True,
    )
    endless = part("core.termination").NoTermination()
    algorithm.setup(whole, termination=endless, seed=seed, verbose=False)
    told = _Told(problem, budget)
    while not told.done():
        asked = algorithm.ask()
        if len(asked) == 0:
            break
        answers = [told.answer(np.asarray(row, np.int32)) for row in asked.get("X")]
        asked.set("F", np.asarray([(-accuracy, cost) for accuracy, cost in answers]))
        algorithm.tell(infills=asked)
    return told.tokens()


# Name -> the package it needs, and the search.
RIVALS: dict[str, tuple[str, Search]] = {
    "Optuna NSGA-II": ("optuna", optuna_nsga2),
    "Optuna TPE": ("optuna", optuna_tpe),
    "pymoo NSGA-II": ("pymoo", pymoo_nsga2),
}


def installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def whole(problem: TableProblem, search: Search, seed: int, budget: int) -> np.ndarray:
    """Return `budget` queries [budget, T]: a tool's, and others at random where it ended short."""
    tokens = search(problem, seed, budget)
    known = tabular.nothing(problem)
    rng = np.random.default_rng([seed, budget])
    return tabular.topped_up(problem, known, tokens, budget, rng)
