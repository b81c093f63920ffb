"""How cheap judgements of architectures rank them beside full trainings.

Shared weights (as they are, and fine-tuned) stand beside one epoch of real training and beside
children stopped early; the truth is the mean of full trainings from seeds that nothing else uses.
"""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from greennas_jax.accuracy import children, datasets, oracle, sharing, training
from greennas_jax.spaces import edits
from greennas_jax.spec import paleo_json

from . import ranks, suites

SPEC = pathlib.Path(__file__).resolve().parents[2] / "configs" / "specs" / "lenet5.json"
DATASET = "digits"
NETWORKS = 24
TRUTH_SEEDS = 3
# Of shared training, all architectures together: what five full trainings of 8 epochs take.
SHARED_EPOCHS = 40
FINE_TUNING = 1


def run(options: suites.Options) -> dict[str, Any]:
    """Return the rank correlation of each judgement with full training, and what each takes."""
    given = paleo_json.load(options.spec or os.fspath(SPEC))
    data = datasets.load(DATASET, children.input_shape(given), children.classes(given))
    count, seeds, epochs = NETWORKS, TRUTH_SEEDS, SHARED_EPOCHS
    recipe = training.Recipe()
    if options.small:
        count, seeds, epochs = 4, 1, 1
        recipe = dataclasses.replace(recipe, epochs=1, batch_size=128)
    space = edits.build(given)
    rng = np.random.default_rng(options.seed)
    networks = [space.decode(tokens) for tokens in _distinct(space, rng, count)]
    measured = children.make(given, data, recipe=recipe)
    trials = _full(measured, networks, seeds + 1)
    truth = [float(np.mean([t.accuracy for t in own[1:]])) for own in trials]
    bars = measured.after_baseline(measured.baseline([100, 101, 102])).thresholds
    stopped = [_stopped(own[0], bars, measured.recipe) for own in trials]
    weights = sharing.learn(measured, networks, epochs=epochs, seed=options.seed)
    single = measured
    if measured.recipe.epochs != 1:
        single = children.make(given, data, recipe=dataclasses.replace(recipe, epochs=1))
    judged = {
        "shared weights": (sharing.judge(measured, networks, weights), epochs),
        "shared weights, fine-tuned": (
            sharing.judge(measured, networks, weights, fine_tuning=FINE_TUNING),
            epochs + FINE_TUNING * count,
        ),
        "one epoch of real training": (
            [t.accuracy for t in single.evaluate(networks, [0] * count)],
            count,
        ),
        "children stopped early": (
            [accuracy for accuracy, _ in stopped],
            sum(taken for _, taken in stopped),
        ),
        "one full training": (
            [own[0].accuracy for own in trials],
            sum(own[0].epochs for own in trials),
        ),
    }
    return {
        "network": given.name,
        "dataset": DATASET,
        "architectures": count,
        "truth": f"mean of {seeds} full trainings of {measured.recipe.epochs} epochs each",
        "truth_accuracy": suites.spread(truth),
        "shared_epochs": epochs,
        "fine_tuning_epochs": FINE_TUNING,
        "judgements": {
            name: _row(values, truth, taken) for name, (values, taken) in judged.items()
        },
    }


def _distinct(space: edits.EditSpace, rng: np.random.Generator, count: int) -> np.ndarray:
    """Return different random strings: equal ones would be ranked right by any judgement.

    Raises:
      ValueError: If the space is too small.
    """
    _, first = np.unique(drawn := space.sample(rng, 20 * count), axis=0, return_index=True)
    if len(first) < count:
        raise ValueError(f"{space.name}: {len(first)} different architectures; {count} needed")
    return drawn[np.sort(first)[:count]]


def _full(
    measured: children.Children, networks: list, seeds: int
) -> list[tuple[oracle.Trial, ...]]:
    """Return the full trainings of each network from each seed."""
    found = measured.evaluate(networks * seeds, [s for s in range(seeds) for _ in networks])
    size = len(networks)
    return [tuple(found[size * s + index] for s in range(seeds)) for index in range(size)]


def _stopped(
    trial: oracle.Trial, bars: tuple[float, ...], recipe: training.Recipe
) -> tuple[float, float]:
    """Return where early stopping would have left a full training: accuracy and epochs."""
    for accuracy, bar, share in zip(trial.curve, bars, recipe.checks, strict=False):
        if accuracy < bar:
            return accuracy, share * trial.epochs
    return trial.accuracy, trial.epochs


def _row(values: list[float], truth: list[float], epochs: float) -> dict[str, Any]:
    correlation = ranks.spearman(values, truth)
    upper = np.argsort(truth)[len(truth) // 2 :]
    return {
        "spearman": correlation,
        "spearman_95_percent": ranks.interval(correlation, len(truth)),
        "spearman_of_the_upper_half": ranks.spearman(
            np.asarray(values)[upper], np.asarray(truth)[upper]
        ),
        "epochs": epochs,
        "mean_accuracy": float(np.mean(values)),
    }
