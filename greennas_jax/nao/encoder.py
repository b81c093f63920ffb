"""Encoder: token probabilities to an embedding of unit vectors, one per step.

The positions of one layer form one step (Luo et al. 2018, section 3.1, group pairs of tokens); the
outputs, L2-normalised, are the embedding. A one-hot row stands for a token, any other row for the
expected token, so that a relaxed architecture embeds as well as a real one.

Shapes: B batch, T tokens, V vocabulary, S steps, E token width, D embedding width.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from greennas_jax.nao import recurrent
from greennas_jax.nao.grammar import Grammar


def normalise(embedding: jax.Array) -> jax.Array:
    """Return the embedding with every step's vector of unit length."""
    square = jnp.sum(embedding**2, axis=-1, keepdims=True)
    # The floor keeps the gradient finite at zero.
    return embedding * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


class TokenTable(nnx.Module):
    """A vector for every choice of every position, summed over the positions of a step."""

    def __init__(self, grammar: Grammar, width: int, *, rngs: nnx.Rngs):
        shape = (grammar.tokens, grammar.vocabulary, width)
        self.vectors = nnx.Param(0.5 * jax.random.normal(rngs.params(), shape))
        self.step_of = tuple(int(step) for step in grammar.step_of)
        self.steps = grammar.steps

    def __call__(self, probabilities: jax.Array) -> jax.Array:
        """Return float [B, S, E] from probabilities [B, T, V]."""
        expected = jnp.einsum("btv,tve->tbe", probabilities, self.vectors[...])
        summed = jax.ops.segment_sum(expected, np.asarray(self.step_of), self.steps)
        return jnp.swapaxes(summed, 0, 1)


class LongShortTermEncoder(nnx.Module):
    """NAO's encoder: one recurrent layer over the steps."""

    def __init__(self, grammar: Grammar, width: int, *, rngs: nnx.Rngs):
        self.tokens = TokenTable(grammar, width, rngs=rngs)
        self.cell = recurrent.Cell(width, width, rngs=rngs)
        self.width = width

    def __call__(self, probabilities: jax.Array) -> jax.Array:
        """Return the embedding [B, S, D] of token probabilities [B, T, V]."""
        inputs = self.tokens(probabilities)
        carry = recurrent.zeros(inputs.shape[0], self.width)
        return normalise(recurrent.run(self.cell, carry, inputs))


class AttentionEncoder(nnx.Module):
    """A pre-norm self-attention block over the steps (Vaswani et al. 2017)."""

    def __init__(self, grammar: Grammar, width: int, *, rngs: nnx.Rngs):
        self.tokens = TokenTable(grammar, width, rngs=rngs)
        self.places = nnx.Param(0.1 * jax.random.normal(rngs.params(), (grammar.steps, width)))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.queries = nnx.Linear(width, 3 * width, rngs=rngs)
        self.mixed = nnx.Linear(width, width, rngs=rngs)
        self.inner_norm = nnx.LayerNorm(width, rngs=rngs)
        self.widen = nnx.Linear(width, 2 * width, rngs=rngs)
        self.narrow = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, probabilities: jax.Array) -> jax.Array:
        """Return the embedding [B, S, D] of token probabilities [B, T, V]."""
        hidden = self.tokens(probabilities) + self.places[...]
        query, key, value = jnp.split(self.queries(self.norm(hidden)), 3, axis=-1)
        scores = jnp.einsum("bsd,brd->bsr", query, key) * query.shape[-1] ** -0.5
        hidden = hidden + self.mixed(jnp.einsum("bsr,brd->bsd", jax.nn.softmax(scores), value))
        return normalise(hidden + self.narrow(jax.nn.gelu(self.widen(self.inner_norm(hidden)))))


ENCODERS = {"lstm": LongShortTermEncoder, "attention": AttentionEncoder}
