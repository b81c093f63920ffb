"""Exact answers about cost alone: cheapest strings, fronts, and all strings streamed.

The answers of variable elimination are compared with those of streaming through the first strings
of the space: none of these may be cheaper.

Costs of one space fall together, so that a front of them alone has few points. The front that is
timed beside it has a score for its third objective: every edit loses some, as in an additive model
of accuracy, and time, parameters and score part as much as in a search.
"""

import os
import pathlib
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, elimination, exact, streaming, symbols
from greennas_jax.spaces import factors as space_factors
from greennas_jax.spaces.edits import EditSpace
from greennas_jax.spec import paleo_json

from . import suites

SPECS = pathlib.Path(__file__).resolve().parents[2] / "configs" / "specs" / "paleo"
SPEC = SPECS / "alex_v2.json"
# The network of many layers and branches whose cheapest strings are found beside it.
DEEP = SPECS / "inception_v3.json"
DEVICE = "titan_x"
TERMS = ("time", "parameters", "memory")
# Beside the score.
PARTING = ("time", "parameters")
MODE = "training"
REPEATS = 5
STREAMED = 10**9


def run(options: suites.Options) -> dict[str, Any]:
    """Return seconds of optima, of the fronts and of streaming, and how they agree."""
    space, costs, weights, best, figures = _optima(options.spec or os.fspath(SPEC))
    layout = symbols.layout(space.sizes.tolist(), space.steps)
    most = min(streaming.count(layout), 1000 if options.small else STREAMED)
    took, seen = _timed(lambda: streaming.cheapest(costs, layout, weights, most=most))
    least = np.sum(weights * seen.costs, axis=1)
    repeats = 1 if options.small else REPEATS
    found = {
        **figures,
        **_front(costs, (), repeats, ""),
        "terms_beside_a_score": list(PARTING),
        **_front(_costs(space, PARTING), _score(space, options.seed), repeats, "_with_score"),
        "reference": "all of the first strings in the order of their numbers",
        "streamed": seen.strings,
        "streamed_s": took,
        "streamed_per_s": seen.strings / took,
        "largest_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "least_streamed_over_optimum": (least / best).tolist(),
        "no_streamed_string_is_cheaper": bool((least >= best * (1 - 1e-9)).all()),
    }
    if options.spec is None:
        found["deep"] = _optima(os.fspath(DEEP)).figures
    return found


def _costs(space: EditSpace, names: Sequence[str]) -> space_factors.Factors:
    """Return a space's costs of some terms."""
    found = [terms.get(name) for name in names]
    return space.factors(devices.load(DEVICE), found, CostSettings(mode=MODE))


class _Optima(NamedTuple):
    """The cheapest strings of a network's space.

    Attributes:
      space: The space.
      costs: Its costs.
      weights: One row per question, [W, K].
      best: The least weighted costs, [W].
      figures: What is reported.
    """

    space: EditSpace
    costs: space_factors.Factors
    weights: np.ndarray
    best: np.ndarray
    figures: dict[str, Any]


def _optima(spec: str) -> _Optima:
    """Find the cheapest strings of a network's space, for each term and for all together."""
    given = paleo_json.load(spec)
    space = edits.build(given)
    costs = _costs(space, TERMS)
    unit = 1 / space_factors.exact(costs, np.zeros((len(space.sizes), 1), np.uint8))[:, 0]
    weights = np.concatenate([np.eye(len(TERMS)), np.full((1, len(TERMS)), 1 / 3)]) * unit
    first = _timed(lambda: exact.cheapest(costs, weights[0]))[0]
    optima = [_timed(lambda row=row: exact.cheapest(costs, row)) for row in weights]
    figures = {
        "network": given.name,
        "layers": len(given.layers),
        "device": DEVICE,
        "mode": MODE,
        "terms": list(TERMS),
        "positions": len(space.sizes),
        "strings": float(np.prod(space.sizes.astype(float))),
        "first_optimum_s": first,
        "optimum_s_per_weight": suites.spread([seconds for seconds, _ in optima]),
    }
    best = np.array([value for _, (_, value) in optima])
    return _Optima(space, costs, weights, best, figures)


def _score(space: EditSpace, seed: int) -> list[exact.Extra]:
    """Return a random score that every edit loses, the more the smaller what it leaves."""
    rng = np.random.default_rng(seed)
    found = []
    for position, size in enumerate(space.sizes):
        table = np.zeros((len(PARTING) + 1, size))
        table[-1] = np.arange(size) * rng.uniform(0.5, 1.5)
        found.append(exact.Extra((position,), table))
    return found


def _front(
    costs: space_factors.Factors, extra: Sequence[exact.Extra], repeats: int, name: str
) -> dict[str, Any]:
    """Return the seconds of a front; null where the graph is too entangled."""
    try:
        runs = [_timed(lambda: exact.front(costs, extra=extra)) for _ in range(repeats)]
    except elimination.TooEntangledError as error:
        return {f"front{name}_s": None, f"front{name}_reason": str(error)}
    front = runs[0][1]
    return {
        f"front{name}_s": suites.spread([took for took, _ in runs]),
        f"front{name}_points": len(front.costs),
        f"front{name}_is_whole": front.exact,
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found
