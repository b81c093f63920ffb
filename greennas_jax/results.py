"""What a finished search is told as: history, Pareto set, bounds and gains, as plain values."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from greennas_jax.accuracy import final_test
from greennas_jax.accuracy.data import summary
from greennas_jax.accuracy.data.record import DataSet
from greennas_jax.measure.spending import Spent
from greennas_jax.nao import training
from greennas_jax.nao.embedding import Embedding
from greennas_jax.pipeline import PipelineConfig, Prepared, Solution
from greennas_jax.report import evidence
from greennas_jax.search import archive as archives
from greennas_jax.search import claims, loop
from greennas_jax.search.archive import Archive
from greennas_jax.search.problem import Problem
from greennas_jax.spaces import exact
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network

FRONT_TERMS = ("energy", "time", "parameters")
PARETO_TOTALS = ("energy_j", "time_ms", "parameters", "peak_memory_bytes")
MOST_FRONT_POINTS = 50_000


def shown(tokens: np.ndarray) -> str:
    """Return tokens [T] as a text, parted by points."""
    return ".".join(str(int(token)) for token in tokens)


def history(archive: Archive) -> list[dict[str, Any]]:
    """Return one row per training, in order; unknown values are nan."""
    return [
        {
            "step": step,
            "kind": query.kind,
            "seed": query.seed,
            "tokens": shown(query.tokens),
            "accuracy": query.accuracy,
            "cost": query.cost,
            "stopped": int(query.stopped),
            "expected_accuracy": query.expected,
            "expected_spread": query.spread,
            "predicted_cost": query.predicted_cost,
            "restarts": query.restarts,
            "diverged": int(query.diverged),
        }
        for step, query in enumerate(archive.queries)
    ]


def pareto(problem: Problem, archive: Archive) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Return the architectures that no other queried one beats in cost and mean accuracy.

    All of them keep to the problem's limits.

    Returns:
      (tokens [T], figures) of each, cheapest first; how many trainings an accuracy rests on is
      said, because one training is little.
    """
    summary = archives.summarise(archive, problem.noise)
    order = np.lexsort((-summary.mean, summary.cost))
    order = order[problem.within(summary.tokens[order])]
    found, best = [], -np.inf
    for index in order:
        if summary.stopped[index] or summary.mean[index] <= best:
            continue
        best = summary.mean[index]
        figures = {
            "cost": float(summary.cost[index]),
            "accuracy": {
                "mean": float(summary.mean[index]),
                "standard_error": float(summary.error[index]),
                "trainings": int(summary.repeats[index]),
                "split": None if problem.deterministic else "validation",
                "provenance": "proxy" if problem.deterministic else "measured",
            },
        }
        found.append((summary.tokens[index], figures))
    return found


def pareto_part(
    problem: Problem,
    archive: Archive,
    profile: Callable[[Network], Mapping[str, Any]],
    chosen: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the Pareto part of a report: every network of the set with its figures.

    Args:
      problem: What was searched.
      archive: Every query.
      profile: A network's profile.
      chosen: Tokens [T] of the network that was chosen.
    """
    found = []
    for number, (tokens, figures) in enumerate(pareto(problem, archive)):
        network = problem.space.decode(tokens)
        of_network = profile(network)
        found.append(
            {
                "file": pareto_file(number),
                "chosen": bool((tokens == chosen).all()),
                **figures,
                **{key: of_network["totals"][key] for key in PARETO_TOTALS},
                "provenance": of_network["provenance"],
                "spec": json.loads(paleo_json.write(network)),
            }
        )
    return found


def pareto_file(number: int) -> str:
    """Return where a network of the Pareto set is written, below the workdir."""
    return f"pareto/{number:03d}.json"


def bounds(prepared: Prepared) -> dict[str, Any]:
    """Return the least cost of every term over the whole space, accuracy left aside."""
    found: dict[str, Any] = {"provenance": "exact minimum over the space, accuracy left aside"}
    keys = {"energy": "energy_j", "time": "time_ms", "memory": "memory_bytes"}
    for term in prepared.costs.terms:
        _, cost = exact.cheapest(prepared.costs, {term: 1.0})
        found[keys.get(term, term)] = float(cost)
    return found


def exact_front(prepared: Prepared) -> tuple[list[dict[str, Any]], bool]:
    """Return the front of energy, time and parameters as rows, and whether it is the whole one."""
    found = exact.front(prepared.costs, FRONT_TERMS, most=MOST_FRONT_POINTS)
    rows = [
        {
            **dict(zip(("energy_j", "time_ms", "parameters"), map(float, costs), strict=True)),
            "tokens": shown(tokens),
        }
        for tokens, costs in zip(found.tokens, found.costs, strict=True)
    ]
    return rows, found.exact


def gains(
    prepared: Prepared, taught: Embedding | None, tokens: np.ndarray, config: PipelineConfig
) -> dict[str, float | None]:
    """Return the winner's relative saving as the embedding predicts it, and re-costed exactly."""
    costs = cost_factors.exact(prepared.objective, np.stack([np.zeros_like(tokens), tokens]).T)[0]
    found: dict[str, float | None] = {
        "predicted_gain": None,
        "recosted_gain": float(1 - costs[1] / costs[0]),
    }
    if taught is not None:
        head = taught.heads[config.objective]
        outputs, _ = training.predict(taught.model, tokens[None])
        predicted = np.exp(float(head.mean + head.spread * outputs[0, head.index]))
        found["predicted_gain"] = float(1 - predicted / costs[0])
    return found


def accuracy_measured(
    tested: final_test.FinalTest,
    config: PipelineConfig,
    data: DataSet,
    claim: claims.Claim | None = None,
) -> dict[str, Any]:
    """Return the accuracy part of a report from the final test, beside what the search claimed."""

    def side(sample: final_test.Sample) -> dict[str, Any]:
        return {
            "mean": sample.mean,
            "std": sample.std,
            "seeds": list(tested.seeds),
            "accuracies": list(sample.accuracies),
            "restarted": sample.restarted,
            "diverged": sample.diverged,
        }

    return {
        "kind": "measured",
        "dataset": data.name,
        "data": summary.summarise(data),
        "split": f"test, {tested.images} images, used once",
        "epochs": config.final_epochs,
        "guard": f"test accuracy may fall by {100 * tested.max_drop:g} points at most, sure by "
        f"{config.verdict_confidence:g} standard errors",
        "before": side(tested.before),
        "after": side(tested.after),
        "difference": {
            "mean": tested.difference,
            "standard_error": tested.standard_error,
            "interval_95": list(tested.interval),
        },
        "confidence": config.verdict_confidence,
        "verdict": tested.verdict,
        "claim": None if claim is None else _claim(claim, tested),
    }


def _claim(claim: claims.Claim, tested: final_test.FinalTest) -> dict[str, Any]:
    """Return the search's own estimate of its winner, and whether fresh seeds bear it out."""
    fresh = tested.difference, tested.standard_error
    return {
        "split": "validation",
        "difference": {"mean": claim.difference, "standard_error": claim.standard_error},
        "trainings": claim.trainings,
        "standard_errors_apart": claim.apart(*fresh),
        "agrees": claim.agrees(*fresh),
    }


def accuracy_of_proxies(
    problem: Problem, archive: Archive, tokens: np.ndarray, names: Sequence[str], tolerance: float
) -> dict[str, Any]:
    """Return the accuracy part of a report whose accuracy was not measured."""
    key = archives.key_of(tokens)
    after = [q.accuracy for q in archive.queries if archives.key_of(q.tokens) == key]
    return {
        "kind": "proxy",
        "proxies": list(names),
        "tolerance": tolerance if np.isfinite(problem.threshold) else None,
        "guard": _guard_of_proxies(problem, names),
        "before": {"mean": float(problem.baseline.mean()), "std": None, "seeds": 1},
        "after": {"mean": float(np.mean(after)), "std": None, "seeds": 1},
        "difference": {
            "mean": float(np.mean(after) - problem.baseline.mean()),
            "standard_error": None,
        },
        "verdict": None,
        "reason": "no data set: accuracy was not measured",
    }


def _guard_of_proxies(problem: Problem, names: Sequence[str]) -> str:
    if not np.isfinite(problem.threshold):
        return "none: the least cost was asked for, accuracy and its proxies left aside"
    return (
        f"score {problem.threshold:.4g} or more of the given network's "
        f"{problem.baseline.mean():.4g} (1 - worst relative drop of {', '.join(names)})"
    )


def search_part(
    problem: Problem,
    solution: Solution,
    config: PipelineConfig,
    spent: Spent,
    parts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the search part of a report; its tokens are the winner's."""
    archive = solution.archive
    counts = {
        kind: sum(query.kind == kind for query in archive.queries)
        for kind in ("baseline", "search", "confirm")
    }
    judged = archive if problem.deterministic else loop.confirmed(archive)
    summary = archives.summarise(judged, problem.noise)
    return {
        "algorithm": config.search.algorithm,
        "tokens": shown(solution.tokens),
        "queries": counts["search"],
        "trainings": counts,
        "confirmed_architectures": len(summary.cost) - 1,
        "threshold": evidence.number(problem.threshold),
        "searched_for": evidence.number(problem.target),
        "wall_s": spent.seconds,
        "energy_j": spent.joules,
        "energy_provenance": spent.provenance,
        "energy_source": spent.source if spent.provenance else None,
        "energy_reason": None if spent.provenance else spent.source,
        **parts,
    }
