"""Pre-training on sampled architectures, whose structure labels and costs are exact and free.

Loss (Luo et al. 2018, equation 3): w x prediction error + (1 - w) x token negative log-likelihood.
The prediction error is that of the heads; noise on the embedding (then normalised again) makes
neighbours of a point decode like it, so that a gradient step lands on an architecture.

Shapes: N pool, B batch, T tokens, V vocabulary, S steps, D embedding width, O outputs.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from greennas_jax.mesh import arrays
from greennas_jax.nao import encoder
from greennas_jax.nao import model as models
from greennas_jax.nao.model import Model

Progress = Callable[[int, float, float], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the embedding is trained.

    Attributes:
      pool: Sampled architectures N.
      steps: Optimiser steps.
      batch: Architectures in a step.
      learning_rate: Peak of a cosine schedule with warm-up.
      prediction_weight: w of the loss.
      smoothing: Standard deviation of the noise on a unit vector, over all its components.
      fidelity: Share of unseen strings that the decoder must reproduce; short of it the schedule
        is run again (warm restarts, Loshchilov and Hutter 2017).
      runs: Most runs of the schedule.
      parts: Parts of a batch whose gradients are added up one after the other. Devices share them
        out, and how many devices do changes nothing; how many parts there are changes last bits,
        and what becomes of them over many steps.
    """

    pool: int = 16384
    steps: int = 500
    batch: int = 128
    learning_rate: float = 4e-3
    prediction_weight: float = 0.8
    smoothing: float = 0.3
    fidelity: float = 0.997
    runs: int = 3
    parts: int = 1

    def __post_init__(self):
        if not 0 <= self.prediction_weight <= 1:
            raise ValueError(f"prediction_weight is {self.prediction_weight}; allowed: 0 to 1")
        if not 0 <= self.fidelity <= 1:
            raise ValueError(f"fidelity is {self.fidelity}; allowed: 0 to 1")
        if min(self.pool, self.steps, self.batch, self.runs, self.parts) < 1:
            raise ValueError("pool, steps, batch, runs and parts must be positive")
        if self.batch % self.parts:
            raise ValueError(f"batch is {self.batch}; a multiple of parts, {self.parts}, needed")


class Pool(NamedTuple):
    """Architectures with their free labels.

    Attributes:
      tokens: int32 [N, T].
      targets: float32 [N, O], standardised labels and log costs.
      count: How many of them there are, the first ones; None for all N.
    """

    tokens: jax.Array
    targets: jax.Array
    count: jax.Array | None = None


def roomy(pool: Pool) -> Pool:
    """Return a pool with as many rows as the next power of two; those behind are never drawn.

    So pools of most sizes share one compiled program.
    """
    count = len(pool.tokens)
    behind = ((0, (1 << (count - 1).bit_length()) - count), (0, 0))
    tokens, targets = jnp.pad(pool.tokens, behind), jnp.pad(pool.targets, behind)
    return Pool(tokens, targets, jnp.asarray(count, jnp.int32))


class Scale(NamedTuple):
    """Mean and spread [O] of the targets before standardising."""

    mean: np.ndarray
    spread: np.ndarray


def standardise(values: np.ndarray) -> tuple[np.ndarray, Scale]:
    """Return values [N, O] with zero mean and unit spread, and the scale; constants become 0."""
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, np.inf)
    return ((values - mean) / spread).astype(np.float32), Scale(mean, spread)


def loss(
    model: Model, batch: Pool, key: jax.Array, *, config: TrainingConfig
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return the joint loss and its two parts (prediction error, negative log-likelihood)."""
    return _loss(model, batch, _noise(model, len(batch.tokens), key), config)


def _noise(model: Model, count: int, key: jax.Array) -> jax.Array:
    """Return standard normal noise on the embedding of a batch [B, S, D], its length 1 or so."""
    steps, width = model.decoder.places.shape
    return jax.random.normal(key, (count, steps, width)) * width**-0.5


def _loss(
    model: Model, batch: Pool, noise: jax.Array, config: TrainingConfig
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    targets = models.one_hot(batch.tokens, model.vocabulary)
    embedding = model.encoder(targets)
    noisy = encoder.normalise(embedding + config.smoothing * noise)
    prediction = jnp.mean((model.heads(embedding) - batch.targets) ** 2)
    logits = jax.nn.log_softmax(model.decoder.forced(noisy, targets))
    likelihood = jnp.sum(jnp.where(targets > 0, logits, 0.0), axis=-1)
    negative = -jnp.mean(likelihood)
    weight = config.prediction_weight
    return weight * prediction + (1 - weight) * negative, (prediction, negative)


def _gradients(model: Any, batch: Pool, key: jax.Array, config: TrainingConfig, devices: int):
    """Return both parts of the loss of a batch, and its gradients, on one of the devices.

    Each device computes its share of the batch's parts; all then add up all of them alike. What
    depends on the number of devices is kept from being compiled into what does not: sums that are
    fused differently round differently.
    """
    of_loss = jax.value_and_grad(_loss, has_aux=True)
    noise = _noise(model, config.batch, key)
    if config.parts == 1:
        (_, losses), grads = of_loss(model, batch, noise, config)
        return losses, grads
    own = config.parts // devices
    first = own * jax.lax.axis_index(arrays.AXIS) if devices > 1 else 0

    def share(values: jax.Array) -> jax.Array:
        parted = values.reshape(config.parts, -1, *values.shape[1:])
        return jax.lax.dynamic_slice_in_dim(parted, first, own)

    def one(part: tuple[Pool, jax.Array]):
        weights, own_batch, own_noise = _apart((model, *part))
        (_, losses), grads = of_loss(weights, own_batch, own_noise, config)
        return _apart((losses, grads))

    found = jax.lax.map(one, jax.tree.map(share, _apart((batch, noise))))
    if devices > 1:
        found = jax.lax.all_gather(found, arrays.AXIS, tiled=True)
    return _apart(jax.tree.map(lambda parts: parts.sum(axis=0) / config.parts, _apart(found)))


_apart = jax.lax.optimization_barrier


def optimiser(config: TrainingConfig) -> optax.GradientTransformation:
    """Return Adam with clipping, warm-up and a cosine to zero."""
    warm = max(config.steps // 20, 1)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warm, max(config.steps, warm + 1)
    )
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))


@functools.partial(
    jax.jit, static_argnames=("config", "steps", "over"), donate_argnames=("model", "state")
)
def train_steps(
    model: Any,
    state: Any,
    pool: Pool,
    key: jax.Array,
    first: jax.Array,
    *,
    config: TrainingConfig,
    steps: int,
    over: Mesh | None = None,
) -> tuple[Any, Any, tuple[jax.Array, jax.Array]]:
    """Take some optimiser steps in one call; model and state are used up.

    Args:
      model: A `Model`.
      state: State of the `optimiser`.
      pool: Architectures with standardised targets.
      key: Random key, or its data; step i draws from `fold_in(key, i)`.
      first: Number of the first step.
      config: How to train.
      steps: How many steps.
      over: Devices that share out the batch's parts; one by default.

    Returns:
      Model, state, and both parts of the loss, means over the second half of the steps.
    """
    transform = optimiser(config)
    devices = 1 if over is None else over.size

    def run(model: Any, state: Any, pool: Pool, key: jax.Array, first: jax.Array):
        def step(carry, index):
            model, state = carry
            chosen, noise = jax.random.split(jax.random.fold_in(typed(key), index))
            count = pool.tokens.shape[0] if pool.count is None else pool.count
            rows = jax.random.randint(chosen, (config.batch,), 0, count)
            batch = Pool(pool.tokens[rows], pool.targets[rows])
            parts, grads = _gradients(model, batch, noise, config, devices)
            updates, state = transform.update(grads, state, model)
            return (optax.apply_updates(model, updates), state), parts

        return jax.lax.scan(step, (model, state), first + jnp.arange(steps))

    if over is not None and devices > 1:
        run = arrays.spread(run, over, (arrays.COPIED,) * 5, arrays.COPIED)
    (model, state), parts = run(model, state, pool, key, first)
    return model, state, jax.tree.map(lambda x: x[-steps // 2 :].mean(), parts)


def typed(key: jax.Array) -> jax.Array:
    """Return a typed key, of one already or of the data of one."""
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)


def pretrain(
    model: Any,
    pool: Pool,
    checked: jax.Array,
    key: jax.Array,
    config: TrainingConfig,
    progress: Progress | None = None,
    *,
    over: Mesh | None = None,
) -> Any:
    """Train the model on a pool until the decoder reproduces strings outside it.

    Args:
      model: A fresh `Model`.
      pool: Architectures with standardised targets.
      checked: int32 [n, T], strings that decide whether the schedule is run again.
      key: Random key; step i of run r draws from `fold_in(fold_in(key, r), i)`.
      config: How to train.
      progress: Called with (steps done, prediction error, negative log-likelihood) where given.
      over: Devices that share out the parts of a batch, evenly; by default `arrays.among` them.

    Returns:
      The trained model.
    """
    chunk = max(config.steps // 10, 1)
    over = over or arrays.among(config.parts)
    pool = _there(roomy(pool), over)
    # What is compiled does not depend on the pool's size.
    config = dataclasses.replace(config, pool=len(pool.tokens))
    for run in range(config.runs):
        state = _there(optimiser(config).init(model), over)
        own = _there(jax.random.key_data(jax.random.fold_in(key, run)), over)
        model = _there(model, over)
        for first in range(0, config.steps, chunk):
            steps = min(chunk, config.steps - first)
            number = _there(jnp.asarray(first), over)
            model, state, parts = train_steps(
                model, state, pool, own, number, config=config, steps=steps, over=over
            )
            if progress is not None:
                told = arrays.fetched(parts)
                progress(run * config.steps + first + steps, float(told[0]), float(told[1]))
        model = _back(model, over)
        if exact_match(model, checked) >= config.fidelity:
            break
    return model


def _there(values: Any, over: Mesh) -> Any:
    """Return arrays as copies on a mesh of several devices; on one they stay where they are."""
    return values if over.size == 1 else arrays.placed(values, over)


def _back(values: Any, over: Mesh) -> Any:
    """Return arrays of a mesh as this process's own."""
    return values if over.size == 1 else jax.tree.map(jnp.asarray, arrays.fetched(values))


@jax.jit
def predict(model: Model, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return head outputs [B, O] and greedily decoded tokens [B, T] of tokens [B, T]."""
    embedding = models.embed(model, tokens)
    return model.heads(embedding), models.decode_greedily(model, embedding)


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Return the rank correlation of two vectors [N] without many ties."""
    first, second = (np.argsort(np.argsort(values)).astype(float) for values in (first, second))
    return float(np.corrcoef(first, second)[0, 1])


def exact_match(model: Model, tokens: jax.Array) -> float:
    """Return the share of tokens [n, T] that the decoder reproduces exactly."""
    _, decoded = predict(model, tokens)
    return float(np.mean(np.all(np.asarray(decoded) == np.asarray(tokens), axis=1)))


def held_out(model: Model, pool: Pool, costs: int) -> dict[str, float]:
    """Return decoder exact match and the worst cost head's rank correlation on unseen strings.

    Args:
      model: A trained model.
      pool: Architectures the training did not see.
      costs: How many of the last targets are costs.
    """
    outputs, targets = np.asarray(predict(model, pool.tokens)[0]), np.asarray(pool.targets)
    ranks = [spearman(outputs[:, -i], targets[:, -i]) for i in range(1, costs + 1)]
    return {"exact_match": exact_match(model, pool.tokens), "cost_spearman": min(ranks)}
