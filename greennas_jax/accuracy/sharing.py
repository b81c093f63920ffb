"""Weight sharing: one set of template weights, trained by sampled architectures in turn.

As in NAO-WS and ENAS (Luo et al. 2018, section 4.3; Pham et al. 2018): every step draws one
architecture of a pool and moves the weights that it uses. An architecture is then judged with the
shared weights as they are, or after a short training of its own that starts from them.

Shapes: P architectures of the pool, K judged ones.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from greennas_jax.accuracy import (
    children,
    execution,
    forward,
    initial,
    live,
    masks,
    recipes,
    training,
)
from greennas_jax.accuracy import template as templates
from greennas_jax.accuracy.recipes import Recipe
from greennas_jax.mesh import arrays
from greennas_jax.spec.network import Network

# Batches whose moments a child's normalisations take; those of other children mean nothing to it
# (Guo et al. 2020, section 3.3).
CALIBRATION = 32


def describe(measured: children.Children, networks: Sequence[Network]) -> Any:
    """Return the arrays of variants, stacked: a leading axis [P]."""
    found = [masks.describe(measured.given, measured.template, network) for network in networks]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


def first_weights(template: templates.Template, pool: Any, key: jax.Array) -> initial.Parameters:
    """Return the first shared weights.

    Args:
      template: The plan.
      pool: Stacked arrays of P variants; a role starts at the median of the deviations that those
        of them give it which use it.
      key: Typed random key.
    """
    scales = {}
    for name, own in pool.items():
        if "scales" in own:
            used = np.where(own["scales"] > 0, own["scales"], np.nan)
            empty = np.isnan(used).all(0)
            used[:, empty] = 0.0
            scales[name] = {"scales": np.nanmedian(used, axis=0).astype(np.float32)}
    scales = {name: scales.get(name, {}) for name in pool}
    return initial.scaled(initial.draw(template, key), scales)


def _apply(template: templates.Template, method: Any, child: Any):
    def apply(parameters, statistics, batch, train, key):
        mode = live.Mode(train, method)
        return forward.run(template, child, parameters, statistics, batch, mode, key)

    return apply


def learn(
    measured: children.Children, networks: Sequence[Network], *, epochs: int, seed: int = 0
) -> initial.Parameters:
    """Return weights that the networks share, trained by each of them in turn, at random.

    Args:
      measured: Its template, recipe and images; the first fold is held out.
      networks: P variants of the given network.
      epochs: Passes over the training images, all variants together.
      seed: Decides first weights, batches and which variant a step trains.

    Raises:
      SpecError: If a network is not a variant.
    """
    recipe = dataclasses.replace(measured.recipe, epochs=epochs)
    pool = describe(measured, networks)
    weights_key, train_key = jax.random.split(jax.random.key(np.uint32(seed)))
    weights = first_weights(measured.template, pool, weights_key)
    images = jax.device_put(arrays.fetched(measured.images), jax.local_devices()[0])
    run = jax.jit(_learn, static_argnums=(0, 1, 2))
    return run(measured.template, recipe, measured.run.method, images, pool, weights, train_key)


def _learn(
    template: templates.Template,
    recipe: Recipe,
    method: Any,
    images: training.Images,
    pool: Any,
    weights: initial.Parameters,
    key: jax.Array,
) -> initial.Parameters:
    count = images.train.shape[0]
    order_key, drop_key, shift_key, flip_key, child_key = jax.random.split(key, 5)
    order = training.batches(recipe, count, order_key)
    size = jax.tree.leaves(pool)[0].shape[0]
    chosen = jax.random.randint(child_key, (order.shape[0],), 0, size)
    update = training.optimizer(recipe, count)

    def step(index: jax.Array, state: tuple) -> tuple:
        weights, momenta = state
        child = jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen[index]], pool)
        rows = images.train[order[index]]
        inputs = training.augmented(
            images.images[rows],
            recipe,
            jax.random.fold_in(shift_key, index),
            jax.random.fold_in(flip_key, index),
        )

        def objective(weights: initial.Parameters) -> jax.Array:
            logits, _ = _apply(template, method, child)(
                weights,
                initial.statistics(template),
                inputs,
                True,
                jax.random.fold_in(drop_key, index),
            )
            return training.loss(logits, images.labels[rows], recipe.label_smoothing)

        changes, momenta = update.update(jax.grad(objective)(weights), momenta)
        return optax.apply_updates(weights, changes), momenta

    return jax.lax.fori_loop(0, order.shape[0], step, (weights, update.init(weights)))[0]


def judge(
    measured: children.Children,
    networks: Sequence[Network],
    weights: initial.Parameters,
    *,
    fine_tuning: int = 0,
    seed: int = 0,
) -> list[float]:
    """Return the validation accuracy of variants with shared weights.

    Args:
      measured: Its template, recipe and images; the first fold is held out.
      networks: K variants of the given network.
      weights: From `learn`.
      fine_tuning: Epochs that each first trains alone, from the shared weights.
      seed: Decides the batches.
    """
    template, method = measured.template, measured.run.method
    recipe = dataclasses.replace(measured.recipe, epochs=max(fine_tuning, 1), checks=(), margins=())
    evaluation = training.EVALUATION_BATCH[method]

    def one(shared: Any, single: Any) -> jax.Array:
        images, weights = shared
        child, key_seed = single
        apply = _apply(template, method, child)
        key = jax.random.key(key_seed)
        statistics = initial.statistics(template)
        if fine_tuning:
            bars, active = np.zeros(0, np.float32), jnp.bool_(True)
            return training.train(
                apply, weights, statistics, recipe, images, key, bars, active, evaluation
            )[0].accuracy
        statistics = _calibrated(apply, weights, statistics, recipe, images, key)
        return training.accuracy(
            lambda part: apply(weights, statistics, part, False, None)[0], images, evaluation
        )

    over = arrays.everywhere()
    program = execution.spread(one, measured.run, over)
    size = over.size * measured.run.per_device
    shared = (measured.images, arrays.placed(weights, over))
    found: list[float] = []
    for start in range(0, len(networks), size):
        some = list(networks[start : start + size])
        filled = [*some, *some[:1] * (size - len(some))]
        seeds = np.full(size, seed, np.uint32)
        many = arrays.placed((describe(measured, filled), seeds), over, arrays.dealt())
        values = arrays.fetched(program(shared, many))
        found += [float(value) for value in values[: len(some)]]
    return found


def _calibrated(apply, weights, statistics, recipe: Recipe, images, key: jax.Array):
    """Return the moments of some training batches, by the network's own running means."""
    if not statistics:
        return statistics
    count = images.train.shape[0]
    size = min(recipes.stated(recipe.batch_size, "batch_size"), count)
    rows = jax.random.randint(key, (CALIBRATION, size), 0, count)

    def step(statistics, chosen):
        batch = images.images[images.train[chosen]]
        return apply(weights, statistics, batch, True, None)[1], None

    return jax.lax.scan(step, statistics, rows)[0]
