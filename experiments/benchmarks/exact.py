"""Exact answers about cost alone: cheapest strings, fronts, and all strings streamed.

The answers of variable elimination are compared with those of streaming through the first strings
of the space: none of these may be cheaper, and none may dominate a point of the front.
"""

import os
import pathlib
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, elimination, exact, streaming, symbols
from greennas_jax.spaces import factors as space_factors
from greennas_jax.spec import paleo_json

from . import suites

SPEC = pathlib.Path(__file__).resolve().parents[2] / "configs" / "specs" / "alexnet.json"
DEVICE = "titan_x"
TERMS = ("time", "parameters", "memory")
MODE = "training"
REPEATS = 5
STREAMED = 10**9


def run(options: suites.Options) -> dict[str, Any]:
    """Return seconds of optima, of the front and of streaming, and how they agree."""
    given = paleo_json.load(options.spec or os.fspath(SPEC))
    space = edits.build(given)
    found = [terms.get(name) for name in TERMS]
    costs = space.factors(devices.load(DEVICE), found, CostSettings(mode=MODE))
    unit = 1 / space_factors.exact(costs, np.zeros((len(space.sizes), 1), np.uint8))[:, 0]
    weights = np.concatenate([np.eye(len(TERMS)), np.full((1, len(TERMS)), 1 / 3)]) * unit
    first = _timed(lambda: exact.cheapest(costs, weights[0]))[0]
    optima = [_timed(lambda row=row: exact.cheapest(costs, row)) for row in weights]
    seconds = [took for took, _ in optima]
    best = np.array([value for _, (_, value) in optima])
    layout = symbols.layout(space.sizes.tolist(), space.steps)
    most = min(streaming.count(layout), 1000 if options.small else STREAMED)
    took, seen = _timed(lambda: streaming.cheapest(costs, layout, weights, most=most))
    least = np.sum(weights * seen.costs, axis=1)
    return {
        "network": given.name,
        "layers": len(given.layers),
        "device": DEVICE,
        "mode": MODE,
        "terms": list(TERMS),
        "positions": len(space.sizes),
        "strings": float(np.prod(space.sizes.astype(float))),
        "first_optimum_s": first,
        "optimum_s_per_weight": suites.spread(seconds),
        **_front(costs, 1 if options.small else REPEATS),
        "reference": "all of the first strings in the order of their numbers",
        "streamed": seen.strings,
        "streamed_s": took,
        "streamed_per_s": seen.strings / took,
        "largest_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "least_streamed_over_optimum": (least / best).tolist(),
        "no_streamed_string_is_cheaper": bool((least >= best * (1 - 1e-9)).all()),
    }


def _front(costs: space_factors.Factors, repeats: int) -> dict[str, Any]:
    """Return the seconds of the front of all terms; null where the graph is too entangled."""
    try:
        runs = [_timed(lambda: exact.front(costs)) for _ in range(repeats)]
    except elimination.TooEntangledError as error:
        return {"front_s": None, "front_reason": str(error)}
    front = runs[0][1]
    return {
        "front_s": suites.spread([took for took, _ in runs]),
        "front_points": len(front.costs),
        "front_is_whole": front.exact,
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found
