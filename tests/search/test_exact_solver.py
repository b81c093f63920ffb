import dataclasses

import numpy as np
import pytest

from greennas_jax.search import exact_solver, loop
from greennas_jax.search import problem as problems
from greennas_jax.search.exact_solver import ExactSolver, UnsolvableError
from greennas_jax.search.limits import Target
from greennas_jax.search.loop import SearchConfig
from tests.search import limited, synthetic

ENERGIES = synthetic.problem().cost(limited.STRINGS)


def test_the_cheapest_of_all_is_found():
    found = exact_solver.cheapest(limited.costs(), "energy", None)
    assert synthetic.problem().cost(found[None])[0] == pytest.approx(ENERGIES.min(), rel=1e-12)
    fewest = exact_solver.cheapest(limited.costs(), "parameters", None)
    counts = limited.parameters(limited.STRINGS)
    assert limited.parameters(fewest[None])[0] == counts.min()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.7, 1.0])
def test_the_cheapest_within_a_limit_is_the_one_enumeration_finds(share):
    counts = limited.parameters(limited.STRINGS)
    most = int(counts.min() + share * (counts.max() - counts.min()))
    found = exact_solver.cheapest(limited.costs(), "energy", limited.limits(count=most))
    assert limited.parameters(found[None])[0] <= most
    expected = ENERGIES[limited.enumerated(count=most)].min()
    assert synthetic.problem().cost(found[None])[0] == pytest.approx(expected, rel=1e-12)


def test_a_limit_on_the_objective_itself_changes_nothing():
    found = exact_solver.cheapest(limited.costs(), "energy", limited.limits(energy=ENERGIES.max()))
    assert synthetic.problem().cost(found[None])[0] == pytest.approx(ENERGIES.min(), rel=1e-12)


def test_what_cannot_be_solved_exactly_is_refused():
    found = limited.limits(count=int(limited.parameters(limited.STRINGS).max()))
    peak = Target("target_memory", "memory", "bytes", "peak_memory_bytes", 1e9)
    with pytest.raises(UnsolvableError, match="target_memory: the peak memory of inference is no"):
        exact_solver.cheapest(limited.costs(), "energy", dataclasses.replace(found, peak=peak))
    # The tables' sum meets the limit to its last digit, the profile's figure does not.
    least = limited.limits(energy=ENERGIES.min())
    beyond = {"energy_j": ENERGIES.min() * (1 + 1e-12)}
    with pytest.raises(UnsolvableError, match="a limit that is a little above"):
        exact_solver.cheapest(
            limited.costs(), "energy", dataclasses.replace(least, totals=lambda _: beyond)
        )
    many = tuple(Target(f"target_{name}", name, "", name, 1.0) for name in "abc")
    with pytest.raises(UnsolvableError, match="takes 3 terms at most.*4 are asked for: energy, a"):
        exact_solver.cheapest(limited.costs(), "energy", dataclasses.replace(found, summed=many))


def test_it_asks_once_and_the_winner_is_its_answer_whatever_the_accuracy():
    problem = dataclasses.replace(
        synthetic.problem(), threshold=-np.inf, deterministic=True, baseline=np.array([1.0])
    )
    solver = ExactSolver(problem, problem.costs, "energy")
    archive = loop.search(
        problem,
        solver,
        problems.start(problem, [0]),
        np.random.default_rng(0),
        SearchConfig(algorithm=loop.EXACT, queries=5),
    )
    assert [query.kind for query in archive.queries] == ["baseline", "search"]
    chosen = loop.winner(problem, archive, SearchConfig())
    assert problem.cost(chosen[None])[0] == pytest.approx(ENERGIES.min(), rel=1e-12)
    mean, error = solver.believe(archive)
    assert len(mean) == len(error) == 2
