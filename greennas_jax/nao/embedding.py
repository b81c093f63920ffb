"""Teach the embedding of one space: sample, label for free, train, and hold some back to check.

Shapes: n samples, T tokens, F structure labels, K cost terms, O = F + K outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.mesh import arrays
from greennas_jax.nao import grammar, latent_search, training
from greennas_jax.nao import model as models
from greennas_jax.nao.latent_search import CostHead
from greennas_jax.nao.model import Model, ModelConfig
from greennas_jax.nao.training import Pool, TrainingConfig
from greennas_jax.spaces import factors as cost_factors

HELD_OUT = 1024
CHECKED = 1024


class Embedding(NamedTuple):
    """A trained embedding of one space.

    Attributes:
      model: Encoder, decoder and heads.
      heads: Where each cost term is predicted.
      distance: One edit's distance in the embedding.
      quality: Figures on strings the training did not see: `exact_match` (share of strings the
        decoder reproduces exactly) and `cost_spearman` (worst cost head).
      scale: Mean and spread [F + K] of labels and log costs, which the heads standardise.
    """

    model: Model
    heads: dict[str, CostHead]
    distance: jax.Array
    quality: dict[str, float]
    scale: training.Scale


def targets(space: Any, costs: cost_factors.Factors, tokens: np.ndarray) -> np.ndarray:
    """Return the structure labels and log costs float64 [n, F + K] of tokens [n, T]."""
    labels = np.asarray(space.labels(tokens), np.float64)
    log_costs = np.log(np.maximum(np.asarray(cost_factors.exact(costs, tokens.T)), 1e-30))
    return np.concatenate([labels, log_costs.T], axis=1)


def _edits(space: Any, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one random single edit of each string."""
    found = []
    for row in tokens:
        edits = space.neighbours(row)
        found.append(edits[rng.integers(len(edits))])
    return np.stack(found)


def teach(
    space: Any,
    costs: cost_factors.Factors,
    terms: Sequence[str],
    seed: int,
    model_config: ModelConfig,
    config: TrainingConfig,
    progress: training.Progress | None = None,
    restore: Callable[[Model], Model] | None = None,
) -> Embedding:
    """Train the embedding of a space.

    Args:
      space: A space of the space contract.
      costs: Factors of the terms, in order.
      terms: Names of the terms.
      seed: Of the samples, the initial weights and the training.
      model_config: Sizes of the networks.
      config: How to train.
      progress: As in `training.pretrain`.
      restore: Returns the weights of an earlier training in a model like the one it is given;
        nothing is then trained.
    """
    rng = np.random.default_rng([seed, 1])
    tokens = np.asarray(space.sample(rng, config.pool + HELD_OUT + CHECKED), np.int32)
    values, scale = training.standardise(targets(space, costs, tokens))
    create_key, train_key = jax.random.split(jax.random.key(seed))
    rules = grammar.from_space(space, values.shape[1])
    held, checked, pool = (
        Pool(jnp.asarray(tokens[rows]), jnp.asarray(values[rows]))
        for rows in np.split(np.arange(len(tokens)), (HELD_OUT, HELD_OUT + CHECKED))
    )
    model = models.create(rules, model_config, create_key)
    if restore is None:
        model = training.pretrain(model, pool, checked.tokens, train_key, config, progress)
        model = arrays.as_first(model)
    else:
        model = restore(model)
    first = values.shape[1] - len(terms)
    heads = {
        term: CostHead(
            jnp.asarray(first + i),
            jnp.asarray(scale.mean[first + i], jnp.float32),
            jnp.asarray(scale.spread[first + i], jnp.float32),
        )
        for i, term in enumerate(terms)
    }
    some = tokens[:64]
    distance = latent_search.edit_distance(
        model, jnp.asarray(some), jnp.asarray(_edits(space, some, rng))
    )
    quality = training.held_out(model, held, len(terms))
    return Embedding(model, heads, distance, quality, scale)
