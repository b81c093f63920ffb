"""The files of a finished run: network, report, tables and pictures."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax import results
from greennas_jax.costs import terms
from greennas_jax.export import delivery
from greennas_jax.pipeline import Solution
from greennas_jax.report import comparison, evidence, files, tables
from greennas_jax.report.comparison import LayerChange
from greennas_jax.report.page import source
from greennas_jax.search import archive as archives
from greennas_jax.search import loop
from greennas_jax.search.problem import Problem
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network


class Unit(NamedTuple):
    """How a cost term is shown: factor, axis label, and its key in the report's bounds."""

    factor: float
    label: str
    bound: str


def unit_of(objective: str) -> Unit:
    """Return how a cost term is shown in pictures."""
    known = {
        "energy": Unit(1e3, "predicted energy per batch [mJ]", "energy_j"),
        "time": Unit(1.0, "predicted time per batch [ms]", "time_ms"),
        "memory": Unit(1e-6, "weights and activations [MB]", "memory_bytes"),
        "parameters": Unit(1.0, "parameters", "parameters"),
    }
    if objective in known:
        return known[objective]
    return Unit(1.0, f"predicted {objective} per batch [{terms.get(objective).unit}]", objective)


def publish(
    given: Network,
    problem: Problem,
    solution: Solution,
    objective: str,
    report: Mapping[str, Any],
    front: list[dict[str, Any]],
    folder: pathlib.Path,
) -> None:
    """Write every file of a finished run; `optimized.json` and `report.json` come last.

    Args:
      given: The given network.
      problem: What was searched.
      solution: What was found.
      objective: The cost term that was lowered.
      report: The report.
      front: Rows of the exact front.
      folder: The workdir.

    Raises:
      OSError: If the folder cannot be written.
    """
    # Imported where pages are made: a refused input need not wait for it.
    from greennas_jax.report.page import run_page

    changes = comparison.compare(given, solution.network, report["before"], report["after"])
    history = evidence.history_csv(results.history(solution.archive))
    found_text = paleo_json.write(solution.network)
    files.write_text(folder / "history.csv", history)
    files.write_text(folder / "exact_front.csv", evidence.history_csv(front))
    (folder / "pareto").mkdir(exist_ok=True)
    for number, (tokens, _) in enumerate(results.pareto(problem, solution.archive)):
        text = paleo_json.write(problem.space.decode(tokens))
        files.write_text(folder / results.pareto_file(number), text)
    _draw(problem, solution, unit_of(objective), report, changes, folder)
    text = [*tables.headline(report), "", tables.totals_table(report["before"], report["after"])]
    text += ["", tables.comparison_table(changes), *delivery.write(solution.network, folder)]
    files.write_text(folder / "summary.txt", "\n".join(text) + "\n")
    run = source.evidence(report, history, paleo_json.write(given), found_text)
    run_page.write(run, folder)
    files.write_text(folder / "optimized.json", found_text)
    files.write_json(folder / "report.json", report)


def _draw(
    problem: Problem,
    solution: Solution,
    unit: Unit,
    report: Mapping[str, Any],
    changes: Sequence[LayerChange],
    folder: pathlib.Path,
) -> None:
    """Draw the Pareto picture, the energy per layer and the progress of the search."""
    # Imported where pictures are drawn: a refused input need not wait for it.
    from greennas_jax.report import plots

    archive = solution.archive
    measured = not problem.deterministic
    share = 100.0 if measured else 1.0
    label = "validation accuracy [%]" if measured else "proxy score [1]"
    points = [
        plots.Point(query.cost * unit.factor, query.accuracy * share, query.stopped)
        for query in archive.queries
        if query.kind != "baseline"
    ]
    judged = archive if problem.deterministic else loop.confirmed(archive)
    if not any((query.tokens == solution.tokens).all() for query in judged.queries):
        judged = archive
    summary = archives.summarise(judged, problem.noise)
    means = [
        plots.Point(float(cost) * unit.factor, float(mean) * share)
        for cost, mean in zip(summary.cost, summary.mean, strict=True)
    ]
    chosen = next(
        point
        for point, row in zip(means, summary.tokens, strict=True)
        if (row == solution.tokens).all()
    )
    bound = report["bounds"][unit.bound] * unit.factor
    guard = problem.threshold * share if np.isfinite(problem.threshold) else None
    plots.pareto(
        folder / "pareto.png",
        points,
        means[0],
        chosen,
        bound,
        guard,
        cost_label=unit.label,
        accuracy_label=label,
    )
    plots.search_progress(
        folder / "progress.png", points, means[0], guard, bound, cost_label=unit.label
    )
    plots.layer_energy(folder / "layer_energy.png", changes)
