"""Decoder: an embedding to token probabilities, step by step, with attention.

A recurrent layer starts from the mean of the embedding and reads the tokens of the step before;
its output attends to the embedding (Luong et al. 2015, dot product) and both give the logits of the
step's positions (Luo et al. 2018, section 3.3). Invalid tokens have no probability.

Shapes: B batch, T tokens, V vocabulary, S steps, D embedding width.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from greennas_jax.nao import recurrent
from greennas_jax.nao.encoder import TokenTable
from greennas_jax.nao.grammar import Grammar

IMPOSSIBLE = -1e9


class Decoder(nnx.Module):
    """Embedding [B, S, D] to the logits [B, T, V] of every position."""

    def __init__(self, grammar: Grammar, width: int, *, rngs: nnx.Rngs):
        self.tokens = TokenTable(grammar, width, rngs=rngs)
        self.places = nnx.Param(0.1 * jax.random.normal(rngs.params(), (grammar.steps, width)))
        self.start = nnx.Linear(width, 2 * width, rngs=rngs)
        self.cell = recurrent.Cell(width, width, rngs=rngs)
        self.join = nnx.Linear(2 * width, width, rngs=rngs)
        shape = (grammar.tokens, width, grammar.vocabulary)
        self.weights = nnx.Param(width**-0.5 * jax.random.normal(rngs.params(), shape))
        self.biases = nnx.Param(jnp.zeros((grammar.tokens, grammar.vocabulary)))
        self.step_of = tuple(int(step) for step in grammar.step_of)
        self.impossible = tuple(map(tuple, np.where(grammar.valid, 0.0, IMPOSSIBLE).tolist()))
        self.positions = tuple(map(tuple, grammar.padded_steps().tolist()))

    def carry(self, embedding: jax.Array) -> recurrent.Carry:
        """Return the first carry, from the mean of the embedding."""
        output, memory = jnp.split(self.start(embedding.mean(axis=1)), 2, axis=-1)
        return jnp.tanh(output), memory

    def attend(self, outputs: jax.Array, embedding: jax.Array) -> jax.Array:
        """Return float [B, R, D]: R outputs joined with what they attend to."""
        scores = jnp.einsum("brd,bsd->brs", outputs, embedding) * outputs.shape[-1] ** 0.5
        context = jnp.einsum("brs,bsd->brd", jax.nn.softmax(scores), embedding)
        return jnp.tanh(self.join(jnp.concatenate([outputs, context], axis=-1)))

    def project(self, attended: jax.Array) -> jax.Array:
        """Return the logits [B, T, V] of all positions from their steps [B, S, D]."""
        rows = attended[:, np.asarray(self.step_of)]
        logits = jnp.einsum("btd,tdv->btv", rows, self.weights[...]) + self.biases[...]
        return logits + jnp.asarray(self.impossible, logits.dtype)

    def forced(self, embedding: jax.Array, probabilities: jax.Array) -> jax.Array:
        """Return the logits [B, T, V] when the steps before are the given tokens.

        Args:
          embedding: Float [B, S, D].
          probabilities: One-hot tokens, float [B, T, V].
        """
        read = self.tokens(probabilities)
        before = jnp.concatenate([jnp.zeros_like(read[:, :1]), read[:, :-1]], axis=1)
        outputs = recurrent.run(self.cell, self.carry(embedding), before + self.places[...])
        return self.project(self.attend(outputs, embedding))

    def generate(self, embedding: jax.Array, temperature: jax.Array | float) -> jax.Array:
        """Return token probabilities [B, T, V], each step reading the ones before.

        Args:
          embedding: Float [B, S, D].
          temperature: Divides the logits: towards 0 the greedy decoding, above 1 smoother
            gradients.
        """
        weights, biases = self._padded_head()
        vectors = jnp.pad(self.tokens.vectors[...], ((0, 1), (0, 0), (0, 0)))

        def step(state, inputs):
            carry, read, found = state
            place, positions = inputs
            carry = self.cell(carry, read + place)
            attended = self.attend(carry[0][:, None], embedding)[:, 0]
            logits = jnp.einsum("bd,gdv->bgv", attended, weights[positions]) + biases[positions]
            chosen = jax.nn.softmax(logits / temperature)
            read = jnp.einsum("bgv,gve->be", chosen, vectors[positions])
            return (carry, read, found.at[:, positions].set(chosen)), None

        batch, tokens, vocabulary = embedding.shape[0], len(self.step_of), vectors.shape[1]
        empty = jnp.zeros((batch, tokens + 1, vocabulary))
        read = jnp.zeros((batch, self.places.shape[1]))
        inputs = (self.places[...], jnp.asarray(self.positions))
        (_, _, found), _ = jax.lax.scan(step, (self.carry(embedding), read, empty), inputs)
        return found[:, :tokens]

    def _padded_head(self) -> tuple[jax.Array, jax.Array]:
        """Return the head's weights and biases with a row for the positions that pad a step."""
        biases = self.biases[...] + jnp.asarray(self.impossible)
        return (
            jnp.pad(self.weights[...], ((0, 1), (0, 0), (0, 0))),
            jnp.pad(biases, ((0, 1), (0, 0))),
        )
