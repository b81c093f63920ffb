"""The made-up problem with a second cost and hard limits; what keeps to them is enumerated."""

import dataclasses
import itertools

import numpy as np

from greennas_jax.search import feasibility
from greennas_jax.search.limits import Limits, Target
from greennas_jax.spaces import factors as cost_factors
from tests.search import synthetic

STRINGS = np.array(list(itertools.product(*map(range, synthetic.SIZES))), np.int32)


def parameters(tokens):
    """What narrows on one side only: a layer's parameters are 10 less its operation and token."""
    tokens = np.atleast_2d(tokens)
    return (10 - 3 * tokens[:, ::2] - 2 * tokens[:, 1::2] * (tokens[:, ::2] == 0)).sum(axis=1)


def costs():
    """Return factors of energy and parameters."""
    energy, tables = synthetic.costs(), []
    for scope, table in zip(energy.scopes, energy.tables, strict=True):
        width = np.arange(4)
        own = 10 - 3 * np.arange(2)[:, None] - 2 * width * (np.arange(2)[:, None] == 0)
        own = np.broadcast_to(own, [synthetic.SIZES[p] for p in scope]).reshape(1, -1)
        tables.append(np.concatenate([table, own]))
    return dataclasses.replace(
        energy,
        tables=tuple(tables),
        constant=np.array([0.1, 0.0]),
        terms=("energy", "parameters"),
        units=("J", ""),
        packed=None,
    )


def limits(energy=None, count=None):
    """Return limits with their anchor.

    Raises:
      InfeasibleError: If no string keeps to them.
    """
    asked = {"target_energy": energy, "max_parameters": count}
    rows = {"target_energy": ("energy", "J", "energy_j")}
    rows["max_parameters"] = ("parameters", "", "parameters")
    both = costs()

    def totals(tokens):
        found = cost_factors.exact(both, np.array(tokens)[:, None])[:, 0]
        return {"energy_j": found[0], "parameters": found[1]}

    found = Limits(
        space=synthetic.ChainSpace(),
        costs=both,
        summed=tuple(Target(n, *rows[n], most) for n, most in asked.items() if most is not None),
        peak=None,
        peaks=None,
        totals=totals,
        anchor=np.zeros(len(synthetic.SIZES), np.int32),
    )
    return found.anchored_at(feasibility.anchored(found))


def enumerated(energy=np.inf, count=np.inf):
    """Return which of STRINGS keep to limits, without the code under test's tables of limits."""
    return (synthetic.problem().cost(STRINGS) <= energy) & (parameters(STRINGS) <= count)


def problem(energy=None, count=None, **changes):
    """Return the problem under limits."""
    return dataclasses.replace(synthetic.problem(), limits=limits(energy, count), **changes)
