"""NAO's predictor as the accuracy model where labels are many, with uncertainty by bagging.

Every member is the perceptron of Luo et al. (2018) on the mean of the embedding, trained on its own
four fifths of the labels. Labels a member did not see tell how far members and truth are apart:
their residuals set the noise and the factor that makes the members' spread a standard deviation.

Shapes: N labels (padded), F features, W embedding width, M queries, K members.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from greennas_jax.nao.labels import Labels
from greennas_jax.nao.predictor import AccuracyPredictor

MEMBERS = 8
STEPS = 400
SEEN = 0.8
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ensemble:
    """A fitted ensemble.

    Attributes:
      members: K perceptrons, stacked.
      mean: Mean of the targets.
      spread: Standard deviation of the targets.
      stretch: Factor on the members' standard deviation.
      deviation: Standard deviation of one training, in units of `spread`.
    """

    members: AccuracyPredictor
    mean: jax.Array
    spread: jax.Array
    stretch: jax.Array
    deviation: jax.Array

    def predict(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and standard deviation [M] of the noise-free value at features [M, F]."""
        found = _answers(self.members, _own(self.members, features))
        spread = jnp.sqrt(jnp.var(found, axis=0) + 1e-6)
        return self.mean + self.spread * found.mean(0), self.spread * self.stretch * spread

    def joint(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean [M] and covariance [M, M] of the noise-free values at features [M, F]."""
        found = _answers(self.members, _own(self.members, features))
        centred = found - found.mean(0)
        covariance = centred.T @ centred / MEMBERS + 1e-6 * jnp.eye(features.shape[0])
        scale = (self.spread * self.stretch) ** 2
        return self.mean + self.spread * found.mean(0), scale * covariance

    def noise(self) -> jax.Array:
        """Return the standard deviation of one training, on the modelled scale."""
        return self.spread * self.deviation


def _own(members: AccuracyPredictor, features: jax.Array) -> jax.Array:
    """Return the mean of the embedding [M, W], the last of the features."""
    return features[:, -members.hidden.in_features :]


def _answers(members: AccuracyPredictor, rows: jax.Array) -> jax.Array:
    """Return what each member says of rows [M, W]: [K, M]."""
    return jax.vmap(lambda member: member(rows))(members)


@functools.partial(jax.jit, static_argnames=("width", "hidden", "steps"))
def fit(
    labels: Labels, key: jax.Array, *, width: int, hidden: int = 64, steps: int = STEPS
) -> Ensemble:
    """Train the members and return them with their calibration.

    Args:
      labels: Padded labels, the last W features the mean of the embedding.
      key: Typed random key of initial weights and shares.
      width: Embedding width W.
      hidden: Hidden width of a member.
      steps: Steps of Adam on all labels a member sees.
    """
    present = labels.repeats > 0
    count = jnp.maximum(present.sum(), 1)
    mean = jnp.sum(jnp.where(present, labels.targets, 0)) / count
    centred = jnp.where(present, labels.targets - mean, 0)
    spread = jnp.maximum(jnp.sqrt(jnp.sum(centred**2) / count), 1e-3)
    targets = centred / spread
    rows = labels.features[:, -width:]
    create_key, share_key = jax.random.split(key)
    members: Any = jax.vmap(lambda one: AccuracyPredictor.create(width, hidden, one))(
        jax.random.split(create_key, MEMBERS)
    )
    seen = jax.random.uniform(share_key, (MEMBERS, len(targets))) < SEEN
    transform = optax.adamw(
        optax.cosine_decay_schedule(LEARNING_RATE, steps), weight_decay=WEIGHT_DECAY
    )

    def loss(members: Any) -> jax.Array:
        errors = (_answers(members, rows) - targets) ** 2
        weights = jnp.where(seen & present, labels.repeats, 0.0)
        return jnp.sum((weights * errors).sum(1) / jnp.maximum(weights.sum(1), 1))

    def step(carry, _):
        members, state = carry
        updates, state = transform.update(jax.grad(loss)(members), state, members)
        return (optax.apply_updates(members, updates), state), None

    (members, _), _ = jax.lax.scan(step, (members, transform.init(members)), None, length=steps)
    stretch, deviation = _calibrate(_answers(members, rows), targets, labels.repeats, ~seen)
    return Ensemble(members, mean, spread, stretch, deviation)


def _calibrate(
    found: jax.Array, targets: jax.Array, repeats: jax.Array, unseen: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the stretch of the spread, and the noise, that explain residuals of unseen labels.

    What the members' variance leaves unexplained is shared out equally between the members' own
    error and the noise of one training: residuals alone cannot tell them apart, and so neither is
    taken for nothing.
    """
    usable = (unseen.sum(0) > 0) & (repeats > 0)
    count = jnp.maximum(usable.sum(), 1)
    weights = unseen / jnp.maximum(unseen.sum(0), 1)
    squares = ((weights * found).sum(0) - targets) ** 2
    variance = jnp.where(usable, jnp.var(found, axis=0), 0.0).sum() / count
    half = jnp.maximum(jnp.where(usable, squares, 0.0).sum() / count - variance, 1e-4) / 2
    once = jnp.where(usable, 1 / jnp.maximum(repeats, 1), 0.0).sum() / count
    return jnp.sqrt(1 + half / jnp.maximum(variance, 1e-6)), jnp.sqrt(half / once)
