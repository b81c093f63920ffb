"""How training-free scores rank cells of NAS-Bench-201 beside their trained accuracy.

The table is a CSV file (gzipped or not) with the columns arch_str, connected and an accuracy. All
cells are children of one masked supernet; images are random and labels mean nothing.
"""

import csv
import gzip
import pathlib
import time
from typing import Any

import numpy as np

from greennas_jax.accuracy import cell_template, execution, scores
from greennas_jax.spaces import nasbench201_network as networks
from greennas_jax.spaces import nasbench201_strings as strings

from . import ranks, suites

CELLS = 200
IMAGES = 16
# Smaller than the networks that were trained: 5 cells a stage, 16 channels, 32 x 32.
CONFIG = networks.CellConfig(cells=1, channels=8, image=16)
CHOICES: dict[str, cell_template.Choice] = {
    "nor_conv_3x3": 3,
    "nor_conv_1x1": 1,
    "avg_pool_3x3": "pool",
    "skip_connect": "identity",
    "none": None,
}


def run(options: suites.Options) -> dict[str, Any]:
    """Return the rank correlation of every score with the table's accuracy.

    Raises:
      ValueError: If no table is given, or it has not the columns.
    """
    count, config = CELLS, CONFIG
    if options.small:
        count = 4
        config = networks.CellConfig(cells=1, stages=1, channels=4, image=8)
    texts, accuracy = _read(options, count)
    supernet = cell_template.make(networks.expand(np.zeros(6, np.int32), config), _edges(config))
    children = [cell_template.describe(supernet, choices(text, config)) for text in texts]
    batch = scores.random_batch(supernet.template, IMAGES, options.seed, config.classes)
    # Without derivatives, whose compilation takes the longest.
    wanted = ("naswot", "parameters", "flops") if options.small else None
    run_small = execution.Execution(per_device=1) if options.small else None
    scorer = scores.make(supernet.template, wanted, run_small)
    start = time.perf_counter()
    found = scorer(children[: scorer.size], [options.seed] * scorer.size, batch)
    first = time.perf_counter() - start
    start = time.perf_counter()
    found = scorer(children, [options.seed] * len(children), batch)
    seconds = time.perf_counter() - start
    correlations = {name: ranks.spearman(values, accuracy) for name, values in found.items()}
    known = {name: value for name, value in correlations.items() if value is not None}
    return {
        "table": pathlib.Path(options.table or "").name,
        "accuracy_column": options.accuracy_column,
        "cells": len(texts),
        "networks": (
            f"{config.stages} stages of {config.cells} cell from {config.channels} channels, "
            f"{config.image} x {config.image} images"
        ),
        "inputs": f"{IMAGES} images of standard normal numbers, random labels: no data is read",
        "weights": "one draw for all cells",
        "spearman": correlations,
        "spearman_95_percent": {
            name: ranks.interval(value, len(texts)) for name, value in correlations.items()
        },
        "best": max(known, key=lambda name: known[name]) if known else None,
        "compile_and_first_call_s": first,
        "cells_per_s": len(texts) / seconds,
    }


def _edges(config: networks.CellConfig) -> list[str]:
    return [
        f"stage{stage}_{cell}/{a}to{b}"
        for stage in range(1, config.stages + 1)
        for cell in range(1, config.cells + 1)
        for a, b in strings.EDGES
    ]


def choices(text: str, config: networks.CellConfig) -> dict[str, cell_template.Choice]:
    """Return what each edge of a cell's network is; None on no path to the output."""
    tokens = strings.parse(text)
    of_edge = {
        f"{a}to{b}": CHOICES[strings.OPERATIONS[int(token)]] if used else None
        for (a, b), token, used in zip(
            strings.EDGES, tokens, strings.live_edges(tokens), strict=True
        )
    }
    return {edge: of_edge[edge.rpartition("/")[2]] for edge in _edges(config)}


def _read(options: suites.Options, count: int) -> tuple[list[str], np.ndarray]:
    """Return random connected cells of the table and their accuracies."""
    if options.table is None:
        raise ValueError("--suite=proxies needs --table=FILE, a CSV file of cells and accuracies")
    opened = gzip.open if options.table.endswith(".gz") else open
    with opened(options.table, "rt", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        wanted = ("arch_str", "connected", options.accuracy_column)
        missing = [name for name in wanted if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{options.table}: no column '{missing[0]}'")
        known = [
            (row["arch_str"], float(row[options.accuracy_column]))
            for row in rows
            if row["connected"] == "1"
        ]
    if len(known) < count:
        raise ValueError(f"{options.table}: {len(known)} connected cells; {count} needed")
    chosen = np.random.default_rng(options.seed).choice(len(known), count, replace=False)
    return [known[i][0] for i in chosen], np.asarray([known[i][1] for i in chosen])
