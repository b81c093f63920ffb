"""Pooling in two forms: XLA's own window reduction, and as shifted slices.

The gradient of a maximum of slices, left to automatic differentiation, is fused into everything
around it and several times slower than written out.

Shapes: images have rows and columns on axes 1 and 2, whatever the order of the others.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from greennas_jax.build import convolution
from greennas_jax.build.convolution import Method, Pads

Pair = tuple[int, int]
NO_PADS: Pads = ((0, 0), (0, 0))


def max_pool(
    images: jax.Array, kernel: Pair, strides: Pair, pads: Pads, method: Method = "lax"
) -> jax.Array:
    """Return the largest value of each window; padding counts as minus infinity.

    The gradient goes to the first of several largest values (of a whole image, to all alike).
    """
    if kernel == images.shape[1:3] and pads == NO_PADS:
        return images.max((1, 2), keepdims=True)
    if method == "lax":
        return lax.reduce_window(
            images, -jnp.inf, lax.max, (1, *kernel, 1), (1, *strides, 1), ((0, 0), *pads, (0, 0))
        )
    if pads != NO_PADS:
        images = jnp.pad(images, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf)
    return _max_pool(images, kernel, strides)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(images: jax.Array, kernel: Pair, strides: Pair) -> jax.Array:
    return functools.reduce(jnp.maximum, convolution.taps(images, kernel, strides, NO_PADS))


def _max_pool_forward(images: jax.Array, kernel: Pair, strides: Pair):
    largest = _max_pool(images, kernel, strides)
    return largest, (images, largest)


def _max_pool_backward(kernel: Pair, strides: Pair, kept, gradient: jax.Array):
    images, largest = kept
    taken = jnp.zeros(largest.shape, bool)
    shares = []
    for tap in convolution.taps(images, kernel, strides, NO_PADS):
        here = (tap == largest) & ~taken
        taken = taken | here
        shares.append(jnp.where(here, gradient, 0.0))
    return (_scatter(shares, images.shape, kernel, strides),)


def _scatter(
    shares: list[jax.Array], shape: tuple[int, ...], kernel: Pair, strides: Pair
) -> jax.Array:
    """Return the sum of each kernel position's share at the inputs that it saw."""
    rows, columns = shares[0].shape[1:3]
    if kernel == strides:
        lines = [
            jnp.stack(shares[row * kernel[1] : (row + 1) * kernel[1]], axis=3)
            for row in range(kernel[0])
        ]
        dense = jnp.stack(lines, axis=2).reshape(
            shape[0], rows * kernel[0], columns * kernel[1], shape[3]
        )
        rest = (shape[1] - dense.shape[1], shape[2] - dense.shape[2])
        return jnp.pad(dense, ((0, 0), (0, rest[0]), (0, rest[1]), (0, 0)))
    total = jnp.zeros(shape, shares[0].dtype)
    for index, share in enumerate(shares):
        place = divmod(index, kernel[1])
        around = tuple(
            (
                place[axis],
                shape[1 + axis] - place[axis] - (share.shape[1 + axis] - 1) * strides[axis] - 1,
                strides[axis] - 1,
            )
            for axis in (0, 1)
        )
        total += lax.pad(share, jnp.zeros((), share.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    return total


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def sum_pool(
    images: jax.Array, kernel: Pair, strides: Pair, pads: Pads, method: Method = "lax"
) -> jax.Array:
    """Return the sum of each window; padding counts as zero."""
    if kernel == images.shape[1:3] and pads == NO_PADS:
        return images.sum((1, 2), keepdims=True)
    if method == "lax":
        return lax.reduce_window(
            images, 0.0, lax.add, (1, *kernel, 1), (1, *strides, 1), ((0, 0), *pads, (0, 0))
        )
    total = functools.reduce(jnp.add, convolution.taps(images, kernel, strides, pads))
    return lax.optimization_barrier(total)


def live_counts(size: int, kernel: int, stride: int, pads: Pair) -> jax.Array:
    """Return how many inputs each window along one dimension sees, padding aside: float [o]."""
    starts = jnp.arange((size + sum(pads) - kernel) // stride + 1) * stride - pads[0]
    ends = jnp.minimum(starts + kernel, size)
    return (ends - jnp.maximum(starts, 0)).astype(jnp.float32)


def average_pool(
    images: jax.Array, kernel: Pair, strides: Pair, pads: Pads, method: Method = "lax"
) -> jax.Array:
    """Return the mean of each window over the inputs it sees, padding not counted."""
    total = sum_pool(images, kernel, strides, pads, method)
    rows = live_counts(images.shape[1], kernel[0], strides[0], pads[0])
    columns = live_counts(images.shape[2], kernel[1], strides[1], pads[1])
    # A window of padding alone has sum zero; a count of one keeps its mean finite.
    counts = jnp.maximum(rows[:, None] * columns, 1.0)
    return total / counts[:, :, None]
