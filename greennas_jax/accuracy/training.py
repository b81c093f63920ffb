"""One child's training as a pure function: batches, early stopping, evaluation.

Shapes: K images, N of them trained on, V held out, B batch, S checks (the last at the end).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from greennas_jax.accuracy import forward, initial, live, recipes
from greennas_jax.accuracy import template as templates
from greennas_jax.accuracy.recipes import Recipe

Array = Any  # numpy.ndarray on the host, jax.Array on devices


class Images(NamedTuple):
    """Images or sequences, and which of them are trained on and which held out.

    Attributes:
      images: float32 [K, ...], or int32 token numbers [K, S].
      labels: int32 [K].
      train: int32 [N], indices.
      held: int32 [V], indices.
    """

    images: Array
    labels: Array
    train: Array
    held: Array


def joined(train: tuple[Array, Array], held: tuple[Array, Array]) -> Images:
    """Return two splits, each (images, labels), as one set of images."""
    count, others = len(train[1]), len(held[1])
    return Images(
        np.concatenate([train[0], held[0]]),
        np.concatenate([train[1], held[1]]),
        np.arange(count, dtype=np.int32),
        np.arange(count, count + others, dtype=np.int32),
    )


def folds(images: Images) -> int:
    """Return into how many parts of V the images fall; a remainder is always trained on."""
    return max(len(images.labels) // len(images.held), 1)


def folded(images: Images, fold: Array) -> Images:
    """Return the images with another part held out, as large as the first.

    Args:
      images: Their split is fold 0.
      fold: From 0 to `folds`; each image is held out in one fold at most.
    """
    start = fold * images.held.shape[0]
    count = images.labels.shape[0]
    return images._replace(train=(images.train - start) % count, held=(images.held - start) % count)


class Outcome(NamedTuple):
    """What one training gave.

    Attributes:
      curve: float32 [S], accuracy at each check and at the end; NaN after a stop.
      accuracy: float32, at the end or where it was stopped.
      stopped: Whether it was stopped early.
      steps: Steps taken.
      finite: Whether all its numbers were finite at each check; it ends where they are not.
    """

    curve: jax.Array
    accuracy: jax.Array
    stopped: jax.Array
    steps: jax.Array
    finite: jax.Array


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """Return the full batches of one epoch; a remainder is left out, another one each epoch."""
    return max(images // recipe.batch_size, 1)


def check_steps(recipe: Recipe, images: int) -> tuple[int, ...]:
    """Return the steps after which a child is evaluated, ascending; the last is the end."""
    total = recipes.stated(recipe.epochs, "epochs") * steps_per_epoch(recipe, images)
    return (*(max(1, round(share * total)) for share in recipe.checks), total)


def optimizer(recipe: Recipe, images: int) -> optax.GradientTransformation:
    """Return clipping and the recipe's optimizer and schedule for a number of training images."""
    total = check_steps(recipe, images)[-1]
    rising = max(1, round(recipe.warmup * total))
    highest = recipes.stated(recipe.learning_rate, "learning_rate")
    falling = {
        "linear": lambda steps: optax.linear_schedule(highest, 0.0, steps),
        "cosine": lambda steps: optax.cosine_decay_schedule(highest, steps),
    }[recipe.schedule]
    schedule = optax.join_schedules(
        [
            optax.linear_schedule(highest / rising, highest, max(rising - 1, 1)),
            falling(max(total - rising, 1)),
        ],
        [rising],
    )
    moments = {
        "adam": lambda: optax.scale_by_adam(b1=recipe.beta1, b2=recipe.beta2),
        "sgd": lambda: optax.trace(decay=recipe.beta1, nesterov=True),
    }[recipe.optimizer]
    decay = [optax.add_decayed_weights(recipe.weight_decay)] if recipe.weight_decay else []
    return optax.chain(
        optax.clip_by_global_norm(recipe.clipping),
        moments(),
        *decay,
        optax.scale_by_learning_rate(schedule),
    )


def batches(recipe: Recipe, images: int, key: jax.Array) -> jax.Array:
    """Return the image indices of every step: int32 [steps, B], each epoch in its own order."""
    size = min(recipe.batch_size, images)
    steps = steps_per_epoch(recipe, images)

    def epoch(index: jax.Array) -> jax.Array:
        order = jax.random.permutation(jax.random.fold_in(key, index), images)
        return order[: steps * size].reshape(steps, size)

    epochs = jnp.arange(recipes.stated(recipe.epochs, "epochs"))
    return jax.vmap(epoch)(epochs).reshape(-1, size)


def shifted(images: jax.Array, share: float, key: jax.Array) -> jax.Array:
    """Return images [B, H, W, C], each moved by a random whole number of pixels each way.

    Pixels at the edge are repeated. Inputs that are not images stay as they are: a token or a
    feature in another place means something else.

    Args:
      images: float32 [B, H, W, C], or anything of another rank.
      share: Largest shift as a share of height and width, rounded down to pixels.
      key: Typed random key.
    """
    if images.ndim != 4:
        return images
    most = [int(share * size) for size in images.shape[1:3]]
    if not any(most):
        return images
    wide = jnp.pad(images, ((0, 0), *((n, n) for n in most), (0, 0)), mode="edge")
    starts = jax.random.randint(key, (len(images), 2), 0, 2 * jnp.asarray(most) + 1)

    def one(image: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (start[0], start[1], 0), images.shape[1:])

    return jax.vmap(one)(wide, starts)


def flipped(images: jax.Array, key: jax.Array) -> jax.Array:
    """Return images [B, H, W, C], each mirrored left for right with probability 1/2.

    Args:
      images: float32 [B, H, W, C], or anything of another rank, which stays as it is.
      key: Typed random key.
    """
    if images.ndim != 4:
        return images
    mirrored = jax.random.bernoulli(key, 0.5, (len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def augmented(images: jax.Array, recipe: Recipe, shift_key: jax.Array, flip_key: jax.Array):
    """Return training images [B, ...] shifted and mirrored as a recipe says (static)."""
    moved = shifted(images, recipe.shift, shift_key)
    return flipped(moved, flip_key) if recipe.flip else moved


def class_logits(logits: jax.Array) -> jax.Array:
    """Return logits [N, classes]; a single one stands against zero."""
    if logits.shape[-1] > 1:
        return logits
    return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)


def loss(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """Return the mean cross-entropy of logits [N, classes] with labels [N], smoothed."""
    both = class_logits(logits)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, both.shape[-1]), smoothing)
    return optax.softmax_cross_entropy(both, targets).mean()


def correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return float32 [N]: 1 where the largest logit is the label's."""
    return (class_logits(logits).argmax(-1) == labels).astype(jnp.float32)


# Small enough for a core's cache where convolutions are matrix products of unfolded images.
EVALUATION_BATCH = {"im2col": 32, "lax": 256}


def accuracy(predict: Any, images: Images, batch_size: int) -> jax.Array:
    """Return the share of the held-out images that are classified right.

    Args:
      predict: Images [n, ...] -> logits [n, classes].
      images: All images.
      batch_size: Images at a time.
    """
    total = images.held.shape[0]
    size = min(batch_size, total)
    count = -(-total // size)
    chosen = jnp.pad(images.held, (0, count * size - total)).reshape(count, size)
    counted = (jnp.arange(count * size) < total).reshape(count, size)

    def hits(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        rows, counted = part
        right = correct(predict(images.images[rows]), images.labels[rows])
        return jnp.where(counted, right, 0.0).sum()

    return jax.lax.map(hits, (chosen, counted)).sum() / total


# How often a training that came to infinities or NaN begins anew under another key.
MOST_RESTARTS = 2
# Far from any seed that is asked for, and a whole number of any folds.
_RESTART = 2**31


def restarted(seed: int, restart: int, folds: int) -> int:
    """Return the seed under which a training begins anew; it holds out the same fold.

    Args:
      seed: What was asked for.
      restart: From 1.
      folds: Folds of the images.
    """
    step = _RESTART // (MOST_RESTARTS + 1) // folds * folds
    return seed + restart * step if seed < _RESTART else seed - restart * step


def all_finite(tree: Any) -> jax.Array:
    """Return whether every number of a pytree is finite, bool."""
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack(leaves).all() if leaves else jnp.bool_(True)


class _State(NamedTuple):
    trainable: Any
    statistics: Any
    momenta: Any


def train(
    apply: Any,
    trainable: Any,
    statistics: Any,
    recipe: Recipe,
    images: Images,
    key: jax.Array,
    thresholds: Array,
    active: jax.Array,
    evaluation_batch: int,
) -> tuple[Outcome, Any, Any]:
    """Train one network, evaluating it at the recipe's checks.

    Args:
      apply: (trainable, statistics, images, training, key) -> (logits, statistics).
      trainable: Pytree of parameters.
      statistics: Pytree of batch statistics.
      recipe: The recipe (static).
      images: All images and their split.
      key: Typed random key of batches, dropout, shifts and flips.
      thresholds: float32 [S - 1]; a child below is stopped at that check.
      active: Whether to train at all; an inactive child takes no step.
      evaluation_batch: Held-out images at a time (static).

    Returns:
      The outcome, the trained parameters and their statistics.
    """
    images = jax.tree.map(jnp.asarray, images)
    count = images.train.shape[0]
    order_key, dropout_key, shift_key, flip_key = jax.random.split(key, 4)
    order = batches(recipe, count, order_key)
    ends = jnp.asarray(check_steps(recipe, count))
    update = optimizer(recipe, count)

    def step(index: jax.Array, state: _State) -> _State:
        chosen = images.train[order[index]]
        inputs = augmented(
            images.images[chosen],
            recipe,
            jax.random.fold_in(shift_key, index),
            jax.random.fold_in(flip_key, index),
        )

        def objective(trainable: Any) -> tuple[jax.Array, Any]:
            logits, statistics = apply(
                trainable,
                state.statistics,
                inputs,
                True,
                jax.random.fold_in(dropout_key, index),
            )
            return loss(logits, images.labels[chosen], recipe.label_smoothing), statistics

        gradients, statistics = jax.grad(objective, has_aux=True)(state.trainable)
        changes, momenta = update.update(gradients, state.momenta)
        return _State(optax.apply_updates(state.trainable, changes), statistics, momenta)

    def segment(carry: tuple) -> tuple:
        check, _, _, curve, steps, state = carry
        state = jax.lax.fori_loop(steps, ends[check], step, state)

        def predict(part: jax.Array) -> jax.Array:
            return apply(state.trainable, state.statistics, part, False, None)[0]

        found = accuracy(predict, images, evaluation_batch)
        bar = jnp.append(thresholds, -jnp.inf)[check]
        finite = all_finite((state.trainable, state.statistics))
        return check + 1, found < bar, finite, curve.at[check].set(found), ends[check], state

    def going(carry: tuple) -> jax.Array:
        check, stopped, finite, *_ = carry
        return active & (check < ends.shape[0]) & ~stopped & finite

    curve = jnp.full(ends.shape, jnp.nan)
    state = _State(trainable, statistics, update.init(trainable))
    start = (jnp.int32(0), jnp.bool_(False), jnp.bool_(True), curve, jnp.int32(0), state)
    check, stopped, finite, curve, steps, state = jax.lax.while_loop(going, segment, start)
    outcome = Outcome(curve, curve[jnp.maximum(check - 1, 0)], stopped, steps, finite)
    return outcome, state.trainable, state.statistics


def train_child(
    template: templates.Template,
    recipe: Recipe,
    method: Any,
    images: Images,
    child: dict[str, initial.Arrays],
    seed: jax.Array,
    thresholds: jax.Array,
    active: jax.Array,
) -> Outcome:
    """Train one child of the template from its own initial weights, on its own fold.

    Consecutive seeds hold out different images (k-fold cross-validation), so that the mean over
    them knows every image and no few of them decide.

    Args:
      template: The plan (static).
      recipe: The recipe (static).
      method: How convolutions are computed (static).
      images: All images; their split is fold 0.
      child: Arrays of the variant.
      seed: uint32; decides the fold, initial weights, batches, dropout, shifts and flips; nothing
        else.
      thresholds: float32 [S - 1].
      active: Whether to train at all.
    """
    draw_key, train_key = jax.random.split(jax.random.key(seed))
    parameters = initial.scaled(initial.draw(template, draw_key), child)

    def apply(parameters, statistics, batch, training, key):
        mode = live.Mode(training, method, precision=recipe.precision)
        return forward.run(template, child, parameters, statistics, batch, mode, key)

    outcome, _, _ = train(
        apply,
        parameters,
        initial.statistics(template),
        recipe,
        folded(images, (seed % folds(images)).astype(jnp.int32)),
        train_key,
        thresholds,
        active,
        EVALUATION_BATCH[method],
    )
    return outcome
