"""Parts that stand whole in generated Flax files: what Flax has no layer for.

They import nothing but JAX and Flax, and are no longer than a person would write them.

Shapes: N sequences, S places that ask, T places that are read, D width, M the width of what is
read, H heads, K heads of keys and values, E width of a head, F hidden units, B buckets.
"""

import jax
import jax.numpy as jnp
from flax import nnx


def local_response(x: jax.Array) -> jax.Array:
    """Divide by the energy of five channels (Krizhevsky et al. 2012, section 3.3)."""
    window = (1,) * (x.ndim - 1) + (5,)
    strides = (1,) * x.ndim
    energy = jax.lax.reduce_window(x * x, 0.0, jax.lax.add, window, strides, "SAME")
    return x / (1.0 + 1e-4 / 5 * energy) ** 0.75


class Embedding(nnx.Module):
    """Vectors [N, S, D] of tokens [N, S], or vectors as they are, and their places."""

    def __init__(
        self,
        width: int,
        *,
        vocabulary: int = 0,
        positions: int = 0,
        segments: int = 0,
        class_token: bool = False,
        rngs: nnx.Rngs,
    ):
        """Draw small tables of the rows given; those with no row are left out."""

        def rows(count: int) -> nnx.Param | None:
            if count == 0:
                return None
            return nnx.Param(0.02 * rngs.params.normal((count, width)))

        self.table = rows(vocabulary)
        self.positions = rows(positions)
        self.segments = rows(segments)
        self.class_token = nnx.Param(jnp.zeros(width)) if class_token else None

    def __call__(self, x: jax.Array, table: nnx.Param | None = None) -> jax.Array:
        """Look tokens up in the own table or another one, and add their places."""
        table = self.table if table is None else table
        if table is not None:
            x = table[...][x]
        if self.class_token is not None:
            first = jnp.broadcast_to(self.class_token[...], (len(x), 1, x.shape[-1]))
            x = jnp.concatenate([first, x], axis=1)
        if self.positions is not None:
            x = x + self.positions[...][: x.shape[1]]
        return x if self.segments is None else x + self.segments[...][0]


class FeedForward(nnx.Module):
    """Two products with an activation between them."""

    def __init__(
        self,
        width: int,
        hidden: int,
        activation,
        *,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        """Draw the kernels [D, F] and [F, D]."""
        self.activation = activation
        self.inner = nnx.Linear(width, hidden, use_bias=use_bias, rngs=rngs)
        self.outer = nnx.Linear(hidden, width, use_bias=use_bias, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [N, S, D] of [N, S, D]."""
        return self.outer(self.activation(self.inner(x)))


class GatedFeedForward(FeedForward):
    """A feed-forward layer whose hidden units are gated (Shazeer 2020)."""

    def __init__(
        self,
        width: int,
        hidden: int,
        activation,
        *,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        """Draw the kernels [D, F], [D, F] and [F, D]."""
        super().__init__(width, hidden, activation, use_bias=use_bias, rngs=rngs)
        self.gate = nnx.Linear(width, hidden, use_bias=use_bias, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [N, S, D] of [N, S, D]."""
        return self.outer(self.activation(self.inner(x)) * self.gate(x))


class Attention(nnx.Module):
    """Attention of every place to every place of the same or another sequence.

    Groups of heads may share keys and values (Ainslie et al. 2023).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        key_value_heads: int | None = None,
        memory_width: int | None = None,
        causal: bool = False,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        """Draw the kernels [D, H, E], twice [M, K, E], and [H, E, D]."""
        own, read = (heads, head_width), (key_value_heads or heads, head_width)
        memory_width = memory_width or width
        self.causal = causal
        self.query = nnx.LinearGeneral(width, own, use_bias=use_bias, rngs=rngs)
        self.key = nnx.LinearGeneral(memory_width, read, use_bias=use_bias, rngs=rngs)
        self.value = nnx.LinearGeneral(memory_width, read, use_bias=use_bias, rngs=rngs)
        self.output = nnx.LinearGeneral(
            own,
            width,
            axis=(-2, -1),
            use_bias=use_bias,
            rngs=rngs,
        )

    def scores(self, query: jax.Array, key: jax.Array) -> jax.Array:
        """Return [N, H, S, T]: how much each place asks for each."""
        return jnp.einsum("nshe,nthe->nhst", query, key) / query.shape[-1] ** 0.5

    def __call__(self, x: jax.Array, memory: jax.Array | None = None) -> jax.Array:
        """Return what every place of x [N, S, D] reads of the memory [N, T, M]."""
        memory = x if memory is None else memory
        query, key, value = self.query(x), self.key(memory), self.value(memory)
        repeats = query.shape[2] // key.shape[2]
        key = jnp.repeat(key, repeats, axis=2)
        value = jnp.repeat(value, repeats, axis=2)
        scores = self.scores(query, key)
        if self.causal:
            scores = jnp.where(jnp.tri(*scores.shape[2:], dtype=bool), scores, -jnp.inf)
        mixed = jnp.einsum("nhst,nthe->nshe", nnx.softmax(scores, axis=-1), value)
        return self.output(mixed)


class RotaryAttention(Attention):
    """Attention whose queries and keys are turned by their places (Su et al. 2021)."""

    def scores(self, query: jax.Array, key: jax.Array) -> jax.Array:
        """Return [N, H, S, T]; pair i of place m turns by m / 10000^(2 i / E)."""
        return super().scores(self.turned(query), self.turned(key))

    def turned(self, x: jax.Array) -> jax.Array:
        """Return heads [N, S, H, E] turned."""
        rates = 10000.0 ** (-jnp.arange(0, x.shape[3], 2) / x.shape[3])
        angles = (jnp.arange(x.shape[1])[:, None] * rates)[:, None]
        cosine, sine = jnp.cos(angles), jnp.sin(angles)
        first, second = x[..., 0::2], x[..., 1::2]
        pairs = (first * cosine - second * sine, first * sine + second * cosine)
        return jnp.stack(pairs, axis=-1).reshape(x.shape)


class RelativeAttention(Attention):
    """Attention with a bias for each bucket of distances (Raffel et al. 2020)."""

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        buckets: int,
        starts: list[int],
        ahead: int,
        rngs: nnx.Rngs,
        **options,
    ):
        """Draw the biases [B, H] too.

        Args:
          width: D.
          heads: H.
          head_width: E.
          buckets: B.
          starts: The smallest distance of each bucket.
          ahead: How many buckets come before those of places ahead.
          rngs: Random numbers.
          **options: As of Attention.
        """
        super().__init__(width, heads, head_width, rngs=rngs, **options)
        self.starts, self.ahead = tuple(starts), ahead
        self.relative = nnx.Param(0.02 * rngs.params.normal((buckets, heads)))

    def scores(self, query: jax.Array, key: jax.Array) -> jax.Array:
        """Return [N, H, S, T], the biases added."""
        ahead = jnp.arange(key.shape[1]) - jnp.arange(query.shape[1])[:, None]
        distance = jnp.maximum(-ahead, 0) if self.causal else jnp.abs(ahead)
        bucket = jnp.searchsorted(jnp.array(self.starts), distance, side="right") - 1
        bucket = jnp.where(ahead > 0, bucket + self.ahead, bucket)
        bias = jnp.moveaxis(self.relative[...][bucket], -1, 0)
        return super().scores(query, key) + bias


class RotaryRelativeAttention(RotaryAttention, RelativeAttention):
    """Attention that knows of places by turning and by biases."""


def fill(network: nnx.Module, path: str) -> None:
    """Set all weights of a network to those of a safetensors file.

    Raises:
      ValueError: If weights are missing, superfluous or of another shape.
    """
    from safetensors.numpy import load_file

    weights = load_file(path)
    state = nnx.state(network)
    wanted = {".".join(map(str, key)): part for key, part in nnx.to_flat_state(state)}
    for name in sorted(wanted.keys() | weights.keys()):
        own, other = wanted.get(name), weights.get(name)
        if own is None or other is None:
            what = "superfluous" if own is None else "missing"
            raise ValueError(f"{path}: weight '{name}' is {what}")
        if own.shape != other.shape:
            raise ValueError(f"{path}: '{name}' is {other.shape}, not {own.shape}")
        own.set_value(jnp.asarray(other))
    nnx.update(network, state)
