"""What layers without weights compute, and the shared parts of those with weights.

Shapes: N images, H height, W width, C channels.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from greennas_jax.build import convolution

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


def live_counts(size: int, kernel: int, stride: int, pads: tuple[int, int]) -> jax.Array:
    """Return how many inputs each window along one dimension sees, padding aside: float [o]."""
    starts = jnp.arange((size + sum(pads) - kernel) // stride + 1) * stride - pads[0]
    ends = jnp.minimum(starts + kernel, size)
    return (ends - jnp.maximum(starts, 0)).astype(jnp.float32)


def max_pool(
    images: jax.Array,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: convolution.Pads,
    method: convolution.Method = "lax",
) -> jax.Array:
    """Return the largest value of each window; padding counts as minus infinity."""
    if method == "lax":
        return lax.reduce_window(
            images,
            -jnp.inf,
            lax.max,
            (1, *kernel, 1),
            (1, *strides, 1),
            ((0, 0), *pads, (0, 0)),
        )
    seen = convolution.taps(images, kernel, strides, pads, fill=-jnp.inf)
    largest = next(seen)
    for tap in seen:
        largest = jnp.maximum(largest, tap)
    return largest


def average_pool(
    images: jax.Array,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: convolution.Pads,
    method: convolution.Method = "lax",
) -> jax.Array:
    """Return the mean of each window over the inputs it sees, padding not counted."""
    if method == "lax":
        total = lax.reduce_window(
            images, 0.0, lax.add, (1, *kernel, 1), (1, *strides, 1), ((0, 0), *pads, (0, 0))
        )
    else:
        total = sum(convolution.taps(images, kernel, strides, pads), start=jnp.float32(0))
    rows = live_counts(images.shape[1], kernel[0], strides[0], pads[0])
    columns = live_counts(images.shape[2], kernel[1], strides[1], pads[1])
    # A window of padding alone has sum zero; a count of one keeps its mean finite.
    counts = jnp.maximum(rows[:, None] * columns, 1.0)
    return total / counts[:, :, None]


def local_response(images: jax.Array) -> jax.Array:
    """Divide by the local energy across channels (Krizhevsky et al. 2012, section 3.3)."""
    reach = RESPONSE_SIZE // 2
    lowest = (0,) * (images.ndim - 1) + (reach,)
    window = (1,) * (images.ndim - 1) + (RESPONSE_SIZE,)
    energy = lax.reduce_window(
        images * images,
        0.0,
        lax.add,
        window,
        (1,) * images.ndim,
        tuple((low, low) for low in lowest),
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


def average_positions(values: jax.Array) -> jax.Array:
    """Return [N, C]: the mean over all positions between batch and channels."""
    return values.mean(axis=tuple(range(1, values.ndim - 1))) if values.ndim > 2 else values
