"""Encoder, decoder and heads together: one pytree that is passed to pure functions.

Shapes: B batch, T tokens, V vocabulary, S steps, D embedding width.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from greennas_jax.nao import encoder, predictor
from greennas_jax.nao.decoder import Decoder
from greennas_jax.nao.grammar import Grammar


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes of the three networks.

    Attributes:
      encoder: One of `encoder.ENCODERS`.
      width: Embedding width D.
      hidden: Hidden width of the heads.
    """

    encoder: str = "lstm"
    width: int = 64
    hidden: int = 128

    def __post_init__(self):
        if self.encoder not in encoder.ENCODERS:
            raise ValueError(f"encoder is {self.encoder!r}; allowed: {', '.join(encoder.ENCODERS)}")
        if min(self.width, self.hidden) < 1:
            raise ValueError(f"width {self.width} and hidden {self.hidden} must be positive")


class Model(nnx.Module):
    """The embedding of a space: `encoder`, `decoder` and `heads` hang on it."""

    def __init__(self, grammar: Grammar, config: ModelConfig, *, rngs: nnx.Rngs):
        self.encoder = encoder.ENCODERS[config.encoder](grammar, config.width, rngs=rngs)
        self.decoder = Decoder(grammar, config.width, rngs=rngs)
        self.heads = predictor.Heads(
            grammar.steps, config.width, config.hidden, grammar.outputs, rngs=rngs
        )
        self.vocabulary = grammar.vocabulary


def create(grammar: Grammar, config: ModelConfig, key: jax.Array) -> Model:
    """Return a freshly initialised model."""
    return Model(grammar, config, rngs=nnx.Rngs(key))


def one_hot(tokens: jax.Array, vocabulary: int) -> jax.Array:
    """Return float32 [B, T, V] from tokens [B, T]."""
    return jax.nn.one_hot(tokens, vocabulary, dtype=jnp.float32)


def embed(model: Model, tokens: jax.Array) -> jax.Array:
    """Return the embedding [B, S, D] of tokens [B, T]."""
    return model.encoder(one_hot(tokens, model.vocabulary))


def features(outputs: jax.Array, embedding: jax.Array) -> jax.Array:
    """Return what accuracy models see [B, O + D]: head outputs and the mean of the embedding."""
    return jnp.concatenate([outputs, embedding.mean(axis=1)], axis=1)


def decode_greedily(model: Model, embedding: jax.Array) -> jax.Array:
    """Return the most probable tokens int32 [B, T] of an embedding [B, S, D]."""
    # At this temperature the probabilities are one-hot, so every step reads decided tokens.
    return jnp.argmax(model.decoder.generate(embedding, 1e-3), axis=-1).astype(jnp.int32)
