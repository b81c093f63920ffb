"""Architectures costed per second from a space's tables, exactly and relaxed.

The references cost the same strings one after the other in Python: by the cost formulas on each
decoded network, and by looking up the same tables entry by entry.
"""

import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from greennas_jax.costs import devices, layer_table, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, factors
from greennas_jax.spec import paleo_json

from . import suites

SPEC = pathlib.Path(__file__).resolve().parents[2] / "configs" / "specs" / "alexnet.json"
DEVICE = "titan_x"
TERM = "energy"
REPEATS = 5
# Calls in a repeat: one alone takes milliseconds.
CALLS = 20


def run(options: suites.Options) -> dict[str, Any]:
    """Return the rates of exact and relaxed costs, and of the references."""
    given = paleo_json.load(options.spec or os.fspath(SPEC))
    device, term, settings = devices.load(DEVICE), terms.get(TERM), CostSettings()
    space = edits.build(given)
    tables = space.factors(device, [term], settings)
    batch, spread_out, walked = (64, 4, 2) if options.small else (100_000, 256, 50)
    rng = np.random.default_rng(options.seed)
    sampled = space.sample(rng, min(batch, 4096))
    strings = sampled[rng.integers(0, len(sampled), batch)]

    exact = jax.jit(lambda tokens: factors.exact(tables, tokens))
    tokens = np.ascontiguousarray(strings.T.astype(np.uint8))
    rates = _rates(lambda: exact(tokens), batch)
    relaxed = jax.jit(lambda shares: factors.relaxed_batch(tables, shares))
    shares = np.where(space.valid_mask, rng.random((spread_out, *space.valid_mask.shape)), 0)
    shares = (shares / shares.sum(-1, keepdims=True)).astype(np.float32)
    relaxed_rates = _rates(lambda: relaxed(shares), spread_out)

    def by_formulas(row: np.ndarray) -> float:
        table = layer_table.from_network(space.decode(row))
        return float(np.sum(term.function(table, device, settings)))

    def by_tables(row: np.ndarray) -> float:
        return float(factors.exact(tables, row[:, None])[0, 0])

    some = strings[:walked]
    walk, formulas = _walk(by_formulas, some)
    lookup, _ = _walk(by_tables, some)
    found = np.asarray(exact(tokens))[0, :walked]
    return {
        "network": given.name,
        "device": DEVICE,
        "term": TERM,
        "positions": len(space.sizes),
        "strings": float(np.prod(space.sizes.astype(float))),
        "batch": batch,
        "architectures_per_s": suites.spread(rates)["median"],
        "exact_per_s": suites.spread(rates),
        "relaxed_batch": spread_out,
        "relaxed_per_s": suites.spread(relaxed_rates),
        "reference": "each string decoded and costed by the same formulas, one after the other",
        "python_walk_per_s": walk,
        "ratio_to_python_walk": suites.spread(rates)["median"] / walk,
        "table_walk": "the same tables, one string after the other",
        "table_walk_per_s": lookup,
        "ratio_to_table_walk": suites.spread(rates)["median"] / lookup,
        "largest_relative_difference": float(np.max(np.abs(found / formulas - 1))),
    }


def _rates(work: Callable[[], jax.Array], batch: int) -> list[float]:
    """Return architectures per second of some repeats, each of several calls."""
    jax.block_until_ready(work())
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(CALLS):
            jax.block_until_ready(work())
        found.append(batch * CALLS / (time.perf_counter() - start))
    return found


def _walk(cost: Callable[[np.ndarray], float], rows: np.ndarray) -> tuple[float, np.ndarray]:
    """Return rows per second and their costs; the first row is not timed."""
    cost(rows[0])
    start = time.perf_counter()
    found = [cost(row) for row in rows]
    return len(rows) / (time.perf_counter() - start), np.asarray(found)
