"""What layers without weights compute, and the shared parts of those with weights.

Shapes: images have rows and columns on axes 1 and 2; the layout says where the channels are.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from greennas_jax.build.layout import Layout, channel_axis

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}
# Rectifiers halve the second moment, which the initial weights make up for (He et al. 2015).
RECTIFIERS = ("relu", "relu6", "gelu", "silu")

# Ioffe and Szegedy 2015; the momentum suits runs of a few hundred steps.
BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5

# Krizhevsky et al. 2012, section 3.3, with Caffe's alpha / size and offset.
RESPONSE_SIZE = 5
RESPONSE_ALPHA = 1e-4
RESPONSE_BETA = 0.75
RESPONSE_OFFSET = 1.0


def activate(name: str | None, values: jax.Array) -> jax.Array:
    """Apply an activation by name; None is the identity."""
    return values if name is None else ACTIVATIONS[name](values)


def gain(activation: str | None) -> float:
    """Return the variance gain of initial weights in front of an activation."""
    return 2.0 if activation in RECTIFIERS else 1.0


def initial_scale(fan_in: float, variance_gain: float = 1.0) -> float:
    """Return the standard deviation of initial weights: sqrt(gain / fan in) (He et al. 2015)."""
    return math.sqrt(variance_gain / fan_in)


def local_response(images: jax.Array, layout: Layout) -> jax.Array:
    """Divide by the local energy across channels (Krizhevsky et al. 2012, section 3.3)."""
    window, around = [1] * images.ndim, [(0, 0)] * images.ndim
    window[channel_axis(layout)] = RESPONSE_SIZE
    around[channel_axis(layout)] = (RESPONSE_SIZE // 2, RESPONSE_SIZE // 2)
    energy = lax.reduce_window(
        images * images, 0.0, lax.add, tuple(window), (1,) * images.ndim, tuple(around)
    )
    return divide_by_energy(images, energy)


def divide_by_energy(values: jax.Array, energy: jax.Array) -> jax.Array:
    """Divide by the given sum of squares as local response normalisation does."""
    return values / (RESPONSE_OFFSET + RESPONSE_ALPHA / RESPONSE_SIZE * energy) ** RESPONSE_BETA


def upsample(images: jax.Array, factors: tuple[int, int]) -> jax.Array:
    """Repeat rows and columns (nearest neighbour)."""
    return jnp.repeat(jnp.repeat(images, factors[0], axis=1), factors[1], axis=2)


def drop(values: jax.Array, keep: float, key: jax.Array) -> jax.Array:
    """Keep each value with probability `keep`, divided by it; zero the others."""
    if keep >= 1.0:
        return values
    return jnp.where(jax.random.bernoulli(key, keep, values.shape), values / keep, 0.0)
