"""Attention between the tokens of one sequence or of two, as pure functions.

Shapes: N sequences, S places that ask, T places that are read, D width, M the width of what is
read, H heads, K heads of keys and values (K divides H), E width of a head, B buckets of distances.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.spec import sequence_layers

Roles = Mapping[str, jax.Array]

# Su et al. 2021, equation 15: the frequencies fall from 1 to 1 / 10000.
ROTARY_BASE = 10_000.0
# Raffel et al. 2020, section 2.1: distances from 128 on share a bucket.
FARTHEST = 128


def rotate(values: jax.Array) -> jax.Array:
    """Turn each pair of a head's numbers by an angle that grows with the place.

    Pair i of place m turns by m / 10000^(2 i / E) (Su et al. 2021, equation 34), so that the
    product of two turned heads knows of the places their distance alone.

    Args:
      values: float32 [N, S, H, E], E even.
    """
    length, width = values.shape[1], values.shape[3]
    rates = ROTARY_BASE ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * rates
    cosine, sine = (part(angles).astype(np.float32)[:, None] for part in (np.cos, np.sin))
    first, second = values[..., 0::2], values[..., 1::2]
    turned = (first * cosine - second * sine, first * sine + second * cosine)
    return jnp.stack(turned, axis=-1).reshape(values.shape)


def distance_buckets(asking: int, read: int, buckets: int, *, causal: bool) -> np.ndarray:
    """Return the bucket of each pair of places: int [S, T] (Raffel et al. 2020, section 2.1).

    Half of the buckets hold one distance each, the others ranges that grow logarithmically up to a
    distance of 128. Unless attention is causal, one half of all is for places ahead.

    Args:
      asking: S.
      read: T.
      buckets: B.
      causal: Whether places ahead are never read.
    """
    ahead = np.arange(read) - np.arange(asking)[:, None]
    sides = buckets if causal else max(buckets // 2, 1)
    first = np.zeros_like(ahead) if causal else np.where(ahead > 0, buckets - sides, 0)
    distance = np.maximum(-ahead, 0) if causal else np.abs(ahead)
    single = max(sides // 2, 1)
    ranges = sides - single
    # Places that no range holds are clipped below, whatever their logarithm.
    share = np.log(np.maximum(distance, single) / single) / math.log(max(FARTHEST / single, 2.0))
    far = np.minimum(single + (share * ranges).astype(int), sides - 1)
    return first + np.where(distance < single, distance, far)


def _projected(values: jax.Array, roles: Roles, role: str) -> jax.Array:
    """Return [N, S, H, E]: values [N, S, D] seen by every head."""
    out = jnp.einsum("nsd,dhe->nshe", values, roles[role])
    bias = roles.get(f"{role}_bias")
    return out if bias is None else out + bias


def scores(
    view: sequence_layers.Attention, roles: Roles, queries: jax.Array, keys: jax.Array
) -> jax.Array:
    """Return how much each place asks for each: float32 [N, K, H / K, S, T], before the softmax.

    Scaled by 1 / sqrt(E) (Vaswani et al. 2017, equation 1), relative distances or not.

    Args:
      view: The layer's hyper-parameters.
      roles: Its parameters.
      queries: float32 [N, S, H, E].
      keys: float32 [N, T, K, E].
    """
    count, asking, heads, width = queries.shape
    read, shared = keys.shape[1:3]
    if view.rotary:
        queries, keys = rotate(queries), rotate(keys)
    # Head h reads the keys of head h // (H / K) (Ainslie et al. 2023, figure 2).
    grouped = queries.reshape(count, asking, shared, heads // shared, width)
    found = jnp.einsum("nskge,ntke->nkgst", grouped, keys) / math.sqrt(width)
    if view.relative_buckets:
        places = distance_buckets(asking, read, view.relative_buckets, causal=view.causal)
        bias = jnp.moveaxis(roles["relative"][places], -1, 0)
        found = found + bias.reshape(shared, heads // shared, asking, read)
    if view.causal:
        found = jnp.where(np.tri(asking, read, dtype=bool), found, -jnp.inf)
    return found


def attend(
    view: sequence_layers.Attention, roles: Roles, values: jax.Array, memory: jax.Array
) -> jax.Array:
    """Return what every place reads of the memory: float32 [N, S, D].

    Args:
      view: The layer's hyper-parameters; how many heads there are, the parameters say.
      roles: `query` [D, H, E], `key` and `value` [M, K, E], `output` [H, E, D], with biases
        `query_bias` [H, E], `key_bias` and `value_bias` [K, E], `bias` [D], and `relative` [B, H].
      values: float32 [N, S, D].
      memory: float32 [N, T, M]; the values themselves where a sequence reads itself.
    """
    queries = _projected(values, roles, "query")
    keys, contents = (_projected(memory, roles, role) for role in ("key", "value"))
    shares = jax.nn.softmax(scores(view, roles, queries, keys), axis=-1)
    mixed = jnp.einsum("nkgst,ntke->nskge", shares, contents).reshape(queries.shape)
    out = jnp.einsum("nshe,hed->nsd", mixed, roles["output"])
    return out + roles["bias"] if "bias" in roles else out
