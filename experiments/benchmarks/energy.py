"""Energies measured on a device against what is fitted to a hundred of them.

The table is that of NAS-Bench-201's cells with measured energy and latency. From 100 random cells
each model learns; all others judge it: the device file of whole networks (`measure.whole`: time of
each kind of layer, then power), sparse polynomials of the layers' sizes (Cai et al. 2017) summed
over the network, and beside them a line through operation counts and gradient boosting.

Shapes: n cells, K kinds of layers, P monomials.
"""

import json
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from greennas_jax.accuracy import table as tables
from greennas_jax.costs import devices, kinds, layer_table, neuralpower_features, terms
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.measure import device_file, fitting, whole
from greennas_jax.measure.calibration import Peaks
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spaces import nasbench201, nasbench201_strings
from greennas_jax.spaces import nasbench201_network as networks

from . import ranks, suites

LEARNT = 100
DRAWS = 10
BASE = "raspberry_pi_5"
DEGREE = 2
CONFIG = networks.CellConfig()
FOLDS = 10
# Of standardised columns and a target of mean 1.
PENALTIES = np.geomspace(1e-5, 0.3, 40)
Model = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Cells:
    """The measured cells and what the models see of them.

    Attributes:
      tokens: int32 [n, 6].
      energy: Measured [J], [n].
      latency: Measured [ms], [n].
      work: What their networks do.
      sizes: Monomials of the layers' sizes, summed over the network, float64 [n, P].
      counts: How often each operation stands on an edge, float64 [n, 5].
      edges: One-hot operations, float64 [n, 30].
    """

    def __init__(self, found: tables.Table):
        """Read what is there of cells whose figures are their own and that have a path."""
        space = nasbench201.CellSpace(config=CONFIG)
        every = np.stack([space.parse(text) for text in found.architectures])
        kept = space.connected(every) & found.measured
        self.tokens = every[kept]
        self.energy = found.cost[kept] / 1000
        if found.latency is None:
            raise ValueError("--latency_column needed: the column of latencies [ms]")
        self.latency = found.latency[kept]
        one_hot = np.eye(len(nasbench201_strings.OPERATIONS))[self.tokens]
        self.edges = one_hot.reshape(len(one_hot), -1)
        self.counts = one_hot.sum(axis=1)
        self.work, self.sizes = _amounts(self.tokens)


def _amounts(tokens: np.ndarray) -> tuple[whole.Work, np.ndarray]:
    """Return what cells' networks do, and monomials of their layers' sizes.

    Cells of the same parts are one network; the cells of a stage are alike, so that five of them
    add four times what one adds to none.
    """
    owner: dict[tuple[int, ...], int] = {}
    rows = np.asarray([owner.setdefault(networks.parts(row), len(owner)) for row in tokens])
    first = [int(np.argmax(rows == number)) for number in range(len(owner))]
    once = networks.CellConfig(cells=1)
    empty = np.full(6, nasbench201_strings.NONE)
    parts = [
        layer_table.from_network(networks.surrounded(row, once))
        for row in (empty, *(tokens[i] for i in first))
    ]

    def scaled(values: np.ndarray) -> np.ndarray:
        return (values[:1] + CONFIG.cells * (values[1:] - values[:1]))[rows]

    done = whole.work(parts, CostSettings())
    return whole.Work(*(scaled(amount) for amount in done)), scaled(_monomials(parts))


def _monomials(parts: Sequence[LayerTable]) -> np.ndarray:
    """Return the sums over layers of every monomial of sizes, by kind, float64 [n, P]."""
    columns = []
    seen = [neuralpower_features.values(part) for part in parts]
    codes = [np.asarray(kinds.kind_codes(part)) for part in parts]
    for kind, names in neuralpower_features.HYPER_PARAMETERS.items():
        own = [code == kinds.CODES[kind] for code in codes]
        if not any(mask.any() for mask in own):
            continue
        chosen = neuralpower_features.monomials(names, DEGREE)
        chosen += tuple((name,) for name in neuralpower_features.PRODUCTS[kind])
        for factors in ((), *chosen):
            columns.append(
                [
                    np.prod([np.ones(len(mask)), *(np.asarray(of[f]) for f in factors)], axis=0)[
                        mask
                    ].sum()
                    for of, mask in zip(seen, own, strict=True)
                ]
            )
    values = np.unique(np.asarray(columns), axis=0)
    return values[values.any(axis=1)].T


def run(options: suites.Options) -> dict[str, Any]:
    """Return the errors of every model on the cells that it did not learn from.

    Raises:
      ValueError: If no table is given, or it has not the columns.
    """
    if options.table is None:
        raise ValueError("--suite=energy needs --table=FILE, a table of cells and their energies")
    columns = tables.Columns(
        accuracy=options.accuracy_column, cost=options.cost_column, latency=options.latency_column
    )
    cells = Cells(tables.load(options.table, columns))
    learnt = min(LEARNT, len(cells.energy) // 2)
    models: dict[str, Model] = {
        "physical device": lambda own, other: physical(cells, own, other),
        "polynomials of sizes": lambda own, other: sparse(cells, own, other),
        "operation counts": lambda own, other: line(cells, own, other),
        "gradient boosting": lambda own, other: boosted(cells, own, other, options.seed),
    }
    found: dict[str, dict[str, list[float]]] = {name: {} for name in models}
    for draw in range(2 if options.small else DRAWS):
        order = np.random.default_rng([options.seed, draw]).permutation(len(cells.energy))
        own, other = order[:learnt], order[learnt:]
        for name, model in models.items():
            predicted, true = model(own, other), cells.energy[other]
            scores = found[name]
            scores.setdefault("rmspe_percent", []).append(fitting.rmspe(predicted, true))
            scores.setdefault("spearman", []).append(ranks.spearman(predicted, true) or 0.0)
    return {
        "table": pathlib.Path(options.table).name,
        "cost_column": options.cost_column,
        "latency_column": options.latency_column,
        "learnt_from": learnt,
        "judged_on": len(cells.energy) - learnt,
        "networks": "live graphs: branches on no path to the output are left out",
        "models": {
            name: {score: suites.spread(values) for score, values in scores.items()}
            for name, scores in found.items()
        },
    }


def fitted_device(cells: Cells, own: np.ndarray) -> devices.Device:
    """Return the device that some cells' times and energies make."""
    base = devices.load(BASE)
    done = whole.Work(*(amount[own] for amount in cells.work))
    peaks, settings = Peaks(base.peak_gflops, base.bandwidth_gbs), CostSettings()
    fits = whole.times(done, cells.latency[own], peaks, settings, seed=0)
    watts = whole.power(done, cells.latency[own], cells.energy[own], "the table", seed=0)
    sources = dict(base.sources)
    ground = device_file.Ground(
        (base.clock_mhz, sources["clock_mhz"]),
        {"fp32": (base.peak_gflops, sources["peak_gflops"])},
        (base.bandwidth_gbs, sources["bandwidth_gbs"]),
    )
    errors = {"networks_rmspe_percent": fits[0].crossed}
    record = device_file.record(None, watts, errors)
    value = device_file.compose("fitted", ground, fits, watts, None, record, "fitted: the table")
    return devices.read(json.dumps(value))


def physical(cells: Cells, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the energies [J] that a device file fitted to some cells gives others."""
    space = nasbench201.CellSpace(config=CONFIG)
    found = space.factors(fitted_device(cells, own), [terms.get("energy")], CostSettings())
    return np.asarray(cost_factors.exact(found, cells.tokens[other].T))[0]


def sparse(cells: Cells, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the energies [J] of the lasso of least relative error over monomials of sizes."""
    from sklearn import linear_model

    true = cells.energy[own]
    scale = np.abs(cells.sizes[own]).max(axis=0)
    used = scale > 0
    columns = cells.sizes[:, used] / scale[used]
    middle, width = columns[own].mean(axis=0), columns[own].std(axis=0)
    columns = (columns - middle) / np.where(width > 0, width, 1.0)
    weights = 1 / true**2
    with warnings.catch_warnings():
        # Where the penalty is least, descent stops before it has converged: a poorer candidate.
        warnings.simplefilter("ignore")
        model = linear_model.LassoCV(
            cv=FOLDS,
            alphas=PENALTIES,  # pyright: ignore[reportArgumentType] -- a grid serves old and new releases
            max_iter=3000,
        ).fit(columns[own], true / true.mean(), sample_weight=weights / weights.mean())
    return model.predict(columns[other]) * true.mean()


def line(cells: Cells, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the energies [J] of the least-squares line through operation counts."""
    coefficients, *_ = np.linalg.lstsq(cells.counts[own], cells.energy[own], rcond=None)
    return cells.counts[other] @ coefficients


def boosted(cells: Cells, own: np.ndarray, other: np.ndarray, seed: int) -> np.ndarray:
    """Return the energies [J] of boosted trees on counts and edges, fitted to their logarithm."""
    from sklearn import ensemble

    seen = np.concatenate([cells.counts, cells.edges], axis=1)
    model = ensemble.GradientBoostingRegressor(random_state=seed)
    return np.exp(model.fit(seen[own], np.log(cells.energy[own])).predict(seen[other]))
