"""The final test: given and found network, rebuilt and trained alike on fresh seeds.

The test split is touched here and nowhere else. The verdict is one-sided: with the standard error
of the difference of means (Welch 1938), the loss is below what was allowed (holds), above it
(fails), or neither is sure (undecided).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.accuracy import children, training
from greennas_jax.accuracy.datasets import DataSet
from greennas_jax.accuracy.training import Images, Recipe
from greennas_jax.build import flax_network
from greennas_jax.spec.network import Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinalConfig:
    """How the verdict is reached.

    Attributes:
      seeds: Fresh trainings of each network.
      epochs: Epochs of each.
      confidence: Standard errors of the difference that a verdict needs; 1.645 is 95 %, one-sided.
    """

    seeds: int = 8
    epochs: int = 16
    confidence: float = 1.645

    def __post_init__(self):
        if self.seeds < 2:
            raise ValueError(f"seeds is {self.seeds}; allowed: from 2, or there is no spread")
        if self.epochs < 1 or self.confidence < 0:
            raise ValueError(f"epochs {self.epochs} from 1, confidence {self.confidence} from 0")


def accuracies(network: Network, data: DataSet, seeds: Sequence[int], recipe: Recipe) -> np.ndarray:
    """Return the test accuracy [seeds] of a network at its true shape, trained on each seed."""
    images = Images(
        jnp.asarray(data.train_images),
        jnp.asarray(data.train_labels),
        jnp.asarray(data.test_images),
        jnp.asarray(data.test_labels),
    )
    method = children.convolution_method()
    # Only the end is evaluated: the test split is looked at once.
    recipe = dataclasses.replace(recipe, checks=(), margins=())

    def one(images: Images, seed: jax.Array, active: jax.Array) -> jax.Array:
        draw_key, train_key = jax.random.split(jax.random.key(seed))
        module = flax_network.build(network, draw_key, convolution=method)

        def apply(module, statistics, batch, training_now, key):
            return flax_network.apply(module, statistics, batch, training=training_now, key=key)

        outcome, _, _ = training.train(
            apply,
            module,
            flax_network.initial_statistics(module),
            recipe,
            images,
            train_key,
            jnp.zeros(0),
            active,
        )
        return outcome.accuracy

    count = len(jax.devices())
    padded = -(-len(seeds) // count) * count
    rows = np.zeros(padded, np.uint32)
    rows[: len(seeds)] = np.asarray(seeds, np.uint32)
    found = children.over_devices(one, shared=1)(images, rows, np.arange(padded) < len(seeds))
    return np.asarray(found, np.float64)[: len(seeds)]


def verdict(difference: float, error: float, allowed: float, confidence: float) -> str:
    """Return "holds", "fails" or "undecided".

    Args:
      difference: Mean accuracy after minus before, a fraction of 1.
      error: Standard error of that difference.
      allowed: Accuracy that may be lost.
      confidence: Standard errors a verdict needs.
    """
    if difference - confidence * error >= -allowed:
        return "holds"
    if difference + confidence * error < -allowed:
        return "fails"
    return "undecided"


def _side(found: np.ndarray, seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "mean": float(found.mean()),
        "std": float(found.std(ddof=1)),
        "seeds": list(seeds),
        "accuracies": found.tolist(),
    }


def run(
    given: Network,
    found: Network,
    data: DataSet,
    seeds: Sequence[int],
    allowed: float,
    config: FinalConfig,
    recipe: Recipe | None = None,
) -> dict[str, Any]:
    """Train both networks alike and compare them on the test split.

    Args:
      given: The given network.
      found: The network found for it.
      data: The data set.
      seeds: Fresh seeds, the same for both.
      allowed: Accuracy that may be lost, a fraction of 1.
      config: How the verdict is reached.
      recipe: How networks are trained; the epochs are the configuration's.

    Returns:
      The accuracy part of a report.
    """
    recipe = dataclasses.replace(recipe or Recipe(), epochs=config.epochs)
    before, after = (accuracies(network, data, seeds, recipe) for network in (given, found))
    difference = float(after.mean() - before.mean())
    error = math.sqrt(before.var(ddof=1) / len(seeds) + after.var(ddof=1) / len(seeds))
    return {
        "kind": "measured",
        "dataset": data.name,
        "split": "test",
        "guard": f"test accuracy may fall by {100 * allowed:g} points at most",
        "epochs": config.epochs,
        "before": _side(before, seeds),
        "after": _side(after, seeds),
        "difference": {"mean": difference, "standard_error": error},
        "confidence": config.confidence,
        "verdict": verdict(difference, error, allowed, config.confidence),
    }
