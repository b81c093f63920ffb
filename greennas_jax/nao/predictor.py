"""What is predicted from the embedding: structure labels and costs by heads, and accuracy."""

import jax
import jax.numpy as jnp
from flax import nnx


class Heads(nnx.Module):
    """A two-layer perceptron on the embedding of all steps; outputs are standardised values."""

    def __init__(self, steps: int, width: int, hidden: int, outputs: int, *, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(steps * width, rngs=rngs)
        self.hidden = nnx.Linear(steps * width, hidden, rngs=rngs)
        self.outputs = nnx.Linear(hidden, outputs, rngs=rngs)
        self.straight = nnx.Linear(steps * width, outputs, use_bias=False, rngs=rngs)

    def __call__(self, embedding: jax.Array) -> jax.Array:
        """Return float [B, outputs] from the embedding [B, S, D]."""
        flat = self.norm(embedding.reshape(embedding.shape[0], -1))
        return self.outputs(jax.nn.gelu(self.hidden(flat))) + self.straight(flat)


class AccuracyPredictor(nnx.Module):
    """NAO's predictor: the mean of the embedding over its steps through a small perceptron."""

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(width, hidden, rngs=rngs)
        self.output = nnx.Linear(hidden, 1, rngs=rngs)

    @classmethod
    def create(cls, width: int, hidden: int, key: jax.Array) -> "AccuracyPredictor":
        """Return a freshly initialised perceptron."""
        return cls(width, hidden, rngs=nnx.Rngs(key))

    def __call__(self, mean: jax.Array) -> jax.Array:
        """Return the standardised accuracy [B] from the mean of the embedding [B, D]."""
        return self.output(jnp.tanh(self.hidden(mean)))[:, 0]
