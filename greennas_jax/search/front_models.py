"""What models accuracy in the search for a front, and what such a model sees of an architecture.

The search itself uses a Gaussian process on structure labels; the other views and the ensemble
are what it is compared with.

Shapes: n strings, T tokens, V choices, F features, W embedding width.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.nao import ensemble, evidence, latent_search
from greennas_jax.nao.acquisition import AccuracyModel
from greennas_jax.nao.embedding import Embedding
from greennas_jax.nao.labels import Labels

VIEWS = ("labels", "embedding", "pairs")
MODELS = ("process", "ensemble")
PADDINGS = (64, 256, 512, 1024)
CHUNK = 1024


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Part:
    """An accuracy model that is shown some columns of a point's features alone.

    Attributes:
      model: Fitted to those columns.
      first: The first of them.
      last: The one after the last.
    """

    model: Any
    first: int = dataclasses.field(metadata={"static": True})
    last: int = dataclasses.field(metadata={"static": True})

    def predict(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and standard deviation [M] at features [M, F]."""
        return self.model.predict(features[:, self.first : self.last])

    def joint(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean [M] and covariance [M, M] at features [M, F]."""
        return self.model.joint(features[:, self.first : self.last])

    def noise(self) -> jax.Array:
        """Return the standard deviation of one training."""
        return self.model.noise()


class Unlabelled:
    """A space without structure labels, for an embedding that is taught strings and cost alone."""

    def __init__(self, space: Any):
        self._space = space

    def __getattr__(self, name: str) -> Any:
        """Return what the space has."""
        return getattr(self._space, name)

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """Return no labels, float64 [n, 0], of strings [n, T]."""
        return np.zeros((len(tokens), 0))


def columns(view: str, embedding: Embedding, labels: int, width: int) -> tuple[int, int]:
    """Return where a view stands among the features of a point of the embedding.

    Args:
      view: `labels` or `embedding`.
      embedding: The taught embedding.
      labels: Number of labels, its first heads.
      width: Embedding width.
    """
    outputs = len(embedding.scale.mean)
    return (0, labels) if view == "labels" else (outputs, outputs + width)


def labels(space: Any, embedding: Embedding, tokens: np.ndarray) -> np.ndarray:
    """Return the standardised structure labels float32 [n, F] of strings [n, T]."""
    found = np.asarray(space.labels(tokens))
    mean, spread = (part[: found.shape[1]] for part in embedding.scale)
    return ((found - mean) / spread).astype(np.float32)


def embedded(embedding: Embedding, tokens: np.ndarray) -> np.ndarray:
    """Return the mean over steps of the embedding, float32 [n, W], of strings [n, T]."""
    found = []
    for first in range(0, len(tokens), CHUNK):
        some = np.asarray(tokens[first : first + CHUNK], np.int32)
        padded = np.concatenate([some, np.zeros((CHUNK - len(some), some.shape[1]), np.int32)])
        features = latent_search.features(embedding.model, jnp.asarray(padded))
        found.append(np.asarray(features)[: len(some), len(embedding.scale.mean) :])
    return np.concatenate(found)


def pairs(space: Any, tokens: np.ndarray) -> np.ndarray:
    """Return the indicators float32 [n, F] of single choices and of pairs of them.

    Pairs are of positions of one step or of neighbouring ones; those of a pair weigh half as much
    as a single one, the constant as much.
    """
    sizes = np.asarray(space.sizes)
    marks = [(tokens[:, p, None] == np.arange(1, sizes[p])) for p in range(len(sizes))]
    step_of = {p: number for number, step in enumerate(space.steps) for p in step}
    near = [
        (marks[a][:, :, None] & marks[b][:, None]).reshape(len(tokens), -1)
        for a in range(len(sizes))
        for b in range(a + 1, len(sizes))
        if abs(step_of[a] - step_of[b]) <= 1
    ]
    single = np.concatenate([np.ones((len(tokens), 1), bool), *marks], axis=1)
    return np.concatenate([single, *(0.5 * each for each in near)], axis=1, dtype=np.float32)


def fit(
    kind: str, view: str, rows: np.ndarray, targets: np.ndarray, rng: np.random.Generator
) -> AccuracyModel:
    """Fit an accuracy model.

    Args:
      kind: One of MODELS.
      view: One of VIEWS; on `pairs` the process is linear.
      rows: What the model sees [n, F].
      targets: Values on the modelled scale [n].
      rng: Of the ensemble's initial weights.
    """
    size = next((size for size in PADDINGS if size >= len(rows)), -(-len(rows) // 1024) * 1024)
    if kind == "process":
        return evidence.fit(rows, targets, size, linear=view == "pairs")
    given = Labels(
        evidence.padded(rows, size),
        evidence.padded(targets, size),
        evidence.padded(np.ones(len(rows)), size),
    )
    key = jax.random.key(int(rng.integers(2**31)))
    return ensemble.fit(given, key, width=rows.shape[1])
