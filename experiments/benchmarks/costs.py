"""Architectures costed per second: forward, backward and update, from tables and by formulas.

The references cost the same strings one after the other in Python: by the cost formulas on each
decoded network, by the formulas on rows that are looked up without building a network, and by
looking up the same tables entry by entry. Sampling, costing and filtering are timed apart.

The floor is what this machine needs for the least that any program of this kind must do: reading
the same bytes and writing the same results; and as many gathers from tables as large, the index of
each one multiplication away.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from greennas_jax.costs import devices, layer_table, terms
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.mesh import arrays
from greennas_jax.spaces import batches, edits, factors, symbols, values
from greennas_jax.spaces.edits import EditSpace
from greennas_jax.spaces.symbols import Layout, SymbolCosts
from greennas_jax.spec import paleo_json

from . import chains, suites

SPECS = pathlib.Path(__file__).resolve().parents[2] / "configs" / "specs" / "paleo"
SPEC = SPECS / "alex_v2.json"
# The network of many layers and branches that is costed beside it.
DEEP = SPECS / "inception_v3.json"
DEVICE = "titan_x"
TERM = "energy"
# Costed at once with the first term: what a search for all objectives needs.
ALL = ("energy", "time", "parameters")
MODE = "training"
REPEATS = 5
# Strings in a repeat, at least: one call alone may take a millisecond.
STRINGS = 2_000_000
# Strings that a filter keeps of a batch.
KEPT = 64
ALL_ENTRIES = 2**18
_FIELDS = tuple(field.name for field in dataclasses.fields(LayerTable))


def run(options: suites.Options) -> dict[str, Any]:
    """Return the rates of exact and relaxed costs, and of the references."""
    found = _network(options.spec or os.fspath(SPEC), options)
    if options.spec is None:
        found["deep"] = _network(os.fspath(DEEP), options)
    return found


def _network(spec: str, options: suites.Options) -> dict[str, Any]:
    """Return the figures of one network's space."""
    given = paleo_json.load(spec)
    device, term = devices.load(DEVICE), terms.get(TERM)
    settings = CostSettings(mode=MODE)
    space = edits.build(given)
    rng = np.random.default_rng(options.seed)
    batch = 64 if options.small else 100_000
    tokens = np.stack([rng.integers(0, size, batch) for size in space.sizes]).astype(np.uint8)
    tables = space.factors(device, [term], settings)
    several = space.factors(device, [terms.get(name) for name in ALL], settings)
    walked = tokens[:, : 2 if options.small else 50]
    walks = _walks(space, tables, term, device, settings, walked)
    engine = _engine(space, tables, several, tokens, options)
    rate = engine["exact_per_s"]["median"]
    found = engine.pop("found")[: walked.shape[1]]
    formulas = walks.pop("costs")
    return {
        "network": given.name,
        "layers": len(given.layers),
        "device": DEVICE,
        "term": TERM,
        "mode": MODE,
        "positions": len(space.sizes),
        "strings": float(np.prod(space.sizes.astype(float))),
        "architectures_per_s": rate,
        **engine,
        **_relaxed(space, tables, rng, 4 if options.small else 256),
        **_formula(space, term, device, settings, tokens),
        **walks,
        "ratio_to_python_walk": rate / walks["python_walk_per_s"],
        "ratio_to_decoding_walk": rate / walks["decoding_walk_per_s"],
        "ratio_to_table_walk": rate / walks["table_walk_per_s"],
        "largest_relative_difference": float(np.max(np.abs(found / formulas - 1))),
    }


def _engine(
    space: EditSpace,
    tables: factors.Factors,
    several: factors.Factors,
    tokens: np.ndarray,
    options: suites.Options,
) -> dict[str, Any]:
    """Return the rates of the engine for large batches, stage by stage."""
    layout = symbols.layout(space.sizes.tolist(), space.steps)
    entries = symbols.entries_for(tables)
    costs = symbols.prepare(tables, layout, entries=entries, all_entries=ALL_ENTRIES)
    every = symbols.prepare(several, layout, entries=entries, all_entries=ALL_ENTRIES)
    exact = jax.jit(lambda strings: symbols.exact(costs, layout, strings))
    packed = jnp.asarray(symbols.pack(layout, tokens))
    batch = tokens.shape[1]
    large = 10 * batch
    over = arrays.everywhere()
    key = jax.random.key(options.seed, impl="rbg")
    draw = jax.jit(lambda key: symbols.sample(key, layout, batch))
    filtered = jax.jit(lambda found: jax.lax.top_k(-found, min(KEPT, batch)))
    energies = exact(packed)[0]
    wide = jnp.tile(packed, (1, 10))
    compile_s = _compile_s(lambda: symbols.exact(costs, layout, packed))
    pack = jax.jit(lambda rows: symbols.pack(layout, rows))
    plain = jax.jit(lambda rows: factors.exact(tables, rows))
    all_terms = jax.jit(lambda strings: symbols.exact(every, layout, strings))
    on_device = jnp.asarray(tokens)
    return {
        "symbols": len(layout.groups),
        "tables": len(costs.tables),
        "gathers": len(costs.tables) + len(costs.maps),
        "batch": batch,
        "compile_s": compile_s,
        "exact_per_s": suites.spread(_rates(lambda: exact(packed), batch)),
        "large_batch": large,
        "devices": over.size,
        "exact_per_s_of_large_batch": suites.spread(_shared(costs, layout, wide, over)),
        **_floor(costs, wide),
        "terms_at_once": list(ALL),
        "exact_per_s_of_all_terms": suites.spread(_rates(lambda: all_terms(packed), batch)),
        "sampled_per_s": suites.spread(_rates(lambda: draw(key), batch)),
        "packed_per_s": suites.spread(_rates(lambda: pack(on_device), batch)),
        "filtered_per_s": suites.spread(_rates(lambda: filtered(energies), batch)),
        "kept": min(KEPT, batch),
        "exact_per_s_of_tokens": suites.spread(_rates(lambda: plain(on_device), batch)),
        "found": np.asarray(energies),
    }


def _shared(costs: SymbolCosts, layout: Layout, strings: jax.Array, over: Mesh) -> list[float]:
    """Return the rates of all devices together, each writing where it wrote the time before."""
    over = over if strings.shape[1] % over.size == 0 else arrays.of(over.devices[:1])
    there = arrays.placed(np.asarray(strings), over, arrays.dealt(1))
    work = batches.exact(costs, layout, over)
    kept = [batches.room(len(costs.terms), strings.shape[1], over)]

    def call() -> jax.Array:
        kept[0] = work(there, kept[0])
        return kept[0]

    return _rates(call, strings.shape[1])


def _floor(costs: SymbolCosts, symbols_there: jax.Array) -> dict[str, Any]:
    """Return the rates of the least that costing strings uint8 [S, B] must do."""
    rows, batch = symbols_there.shape
    tables = [np.asarray(table)[0] for table in costs.tables]
    tables += [np.asarray(table, np.float32) for table in costs.maps]

    def streamed(strings: jax.Array) -> jax.Array:
        found = strings[0].astype(jnp.float32)
        for row in strings[1:]:
            found = found + row.astype(jnp.float32)
        return found

    def gathered(strings: jax.Array) -> jax.Array:
        found = jnp.zeros(batch)
        for number, table in enumerate(tables):
            index = strings[number % rows].astype(jnp.int32) * (len(table) // symbols.MOST)
            found = found + jnp.asarray(table).at[index].get(mode="promise_in_bounds")
        return found

    stream, gather = jax.jit(streamed), jax.jit(gathered)
    found = {
        "bytes_per_architecture": rows + 4 * len(costs.constant),
        "floor_of_streaming_per_s": suites.spread(_rates(lambda: stream(symbols_there), batch)),
    }
    # Of many tables the floor would be fused into one loop, which is slower than the engine's.
    if len(tables) <= symbols.FUSED:
        rates = _rates(lambda: gather(symbols_there), batch)
        found["floor_of_gathers_per_s"] = suites.spread(rates)
    return found


def _relaxed(
    space: EditSpace, tables: factors.Factors, rng: np.random.Generator, batch: int
) -> dict[str, Any]:
    """Return the rates of relaxed costs, and of these with gradients for every probability."""
    shares = np.where(space.valid_mask, rng.random((batch, *space.valid_mask.shape)), 0)
    shares = (shares / shares.sum(-1, keepdims=True)).astype(np.float32)
    relaxed = jax.jit(lambda shares: factors.relaxed_batch(tables, shares))
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda row: factors.relaxed(tables, row)[0])))
    return {
        "relaxed_batch": batch,
        "relaxed_per_s": suites.spread(_rates(lambda: relaxed(shares), batch)),
        "relaxed_with_gradient_per_s": suites.spread(_rates(lambda: both(shares), batch)),
    }


def _formula(
    space: EditSpace, term: Term, device: Device, settings: CostSettings, tokens: np.ndarray
) -> dict[str, Any]:
    """Return the rate of the formulas on arrays; null where the network is no chain."""
    if not chains.is_chain(space.given):
        return {"formula_per_s": None, "formula_reason": "the network is no chain of known layers"}
    strings = tokens.copy()
    strings[[position.kind == "operation" for position in space.positions]] = 0
    there = jnp.asarray(strings)
    by_formula = jax.jit(lambda rows: chains.cost(space, term, device, settings, rows))
    tables = space.factors(device, [term], settings)
    difference = np.abs(np.asarray(by_formula(there)) / factors.exact(tables, strings)[0] - 1)
    return {
        "formula_strings": "widths and kernels as drawn, operations as given",
        "formula_per_s": suites.spread(_rates(lambda: by_formula(there), strings.shape[1])),
        "formula_largest_relative_difference": float(difference.max()),
    }


def _walks(
    space: EditSpace,
    tables: factors.Factors,
    term: Term,
    device: Device,
    settings: CostSettings,
    tokens: np.ndarray,
) -> dict[str, Any]:
    """Return strings per second of the references, and what the strings cost by the formulas."""

    def decoding(row: np.ndarray) -> float:
        table = layer_table.from_network(space.decode(row))
        return float(np.sum(term.function(table, device, settings)))

    def by_tables(row: np.ndarray) -> float:
        return float(factors.exact(tables, row[:, None])[0, 0])

    looked_up = _looked_up(space)

    def by_formulas(row: np.ndarray) -> float:
        return float(np.sum(term.function(looked_up(row), device, settings)))

    rows = tokens.T.astype(np.int32)
    decoded, costs = _walk(decoding, rows)
    walked, same = _walk(by_formulas, rows)
    table_walk, _ = _walk(by_tables, rows)
    return {
        "reference": "the same formulas on one string's layers after the other's, in Python",
        "python_walk_per_s": walked,
        "python_walk_largest_relative_difference": float(np.max(np.abs(same / costs - 1))),
        "decoding_walk": "each string decoded to a network and costed by the same formulas",
        "decoding_walk_per_s": decoded,
        "table_walk": "the same tables, one string after the other",
        "table_walk_per_s": table_walk,
        "costs": costs,
    }


def _looked_up(space: EditSpace) -> Callable[[np.ndarray], LayerTable]:
    """Return the function from a string to its layers' rows, without building a network."""
    columns = [
        np.stack([getattr(slot.rows, name) for name in _FIELDS]).astype(np.float64)
        for slot in space.slots
    ]
    rows = [
        [np.flatnonzero(slot.owner == number) for number in range(len(slot.node.values))]
        for slot in space.slots
    ]
    nodes = space.space_values.nodes
    integral = {name: getattr(space.slots[0].rows, name).dtype for name in _FIELDS}

    def table(row: np.ndarray) -> LayerTable:
        found = values.evaluate(nodes, row[None])
        parts = []
        for slot, column, each in zip(space.slots, columns, rows, strict=True):
            number = slot.node.index[tuple(found[parent][0] for parent in slot.node.parents)]
            parts.append(column[:, each[int(number)]])
        joined = np.concatenate(parts, axis=1)
        return LayerTable(
            **{
                name: line.astype(integral[name])
                for name, line in zip(_FIELDS, joined, strict=True)
            }
        )

    return table


def _compile_s(work: Callable[[], jax.Array]) -> float:
    start = time.perf_counter()
    jax.jit(work).lower().compile()
    return time.perf_counter() - start


def _rates(work: Callable[[], Any], batch: int) -> list[float]:
    """Return architectures per second of some repeats, each of several calls."""
    jax.block_until_ready(work())
    calls = max(1, min(20, STRINGS // batch))
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(work())
        found.append(batch * calls / (time.perf_counter() - start))
    return found


def _walk(cost: Callable[[np.ndarray], float], rows: np.ndarray) -> tuple[float, np.ndarray]:
    """Return rows per second and their costs; the first row is not timed."""
    cost(rows[0])
    start = time.perf_counter()
    found = [cost(row) for row in rows]
    return len(rows) / (time.perf_counter() - start), np.asarray(found)
