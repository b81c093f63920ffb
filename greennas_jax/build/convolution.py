"""Convolutions in two forms: XLA's own, and as shifted slices and one matrix product.

Inside a compiled loop on a CPU the gradient of XLA's convolution is several times slower than
outside; the same sum written as a matrix product (im2col; Chellapilla et al. 2006) has no such
penalty, and runs best with the batch as the last axis. On an accelerator XLA's own form is the
faster one.

Shapes: N images, H height, W width, C input channels, O output channels, G groups. "Images" are
[N, H, W, C] under "lax" and [C, H, W, N] under "im2col".
"""

import functools
import math
from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from greennas_jax.build.layout import Layout

Method = Literal["lax", "im2col"]
Pads = tuple[tuple[int, int], tuple[int, int]]
METHODS: tuple[Method, ...] = ("lax", "im2col")


def layout_of(method: Method) -> Layout:
    """Return the order of axes that a method works in.

    Raises:
      ValueError: If the method is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"convolution is {method!r}; allowed: {', '.join(METHODS)}")
    return "NHWC" if method == "lax" else "CHWN"


def taps(
    images: jax.Array,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: Pads,
    fill: float = 0.0,
) -> Iterator[jax.Array]:
    """Yield what each kernel position sees, row by row.

    Args:
      images: float, rows and columns on axes 1 and 2.
      kernel: Kernel height and width.
      strides: Strides.
      pads: ((top, bottom), (left, right)) padding.
      fill: Value of the padding.

    Yields:
      Images of the output's height and width, kernel height x kernel width of them.
    """
    padded = images
    if pads != ((0, 0), (0, 0)):
        padded = jnp.pad(images, ((0, 0), *pads, (0, 0)), constant_values=fill)
    rows, columns = (
        (padded.shape[1 + axis] - kernel[axis]) // strides[axis] + 1 for axis in (0, 1)
    )
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            yield padded[
                :,
                row : row + (rows - 1) * strides[0] + 1 : strides[0],
                column : column + (columns - 1) * strides[1] + 1 : strides[1],
                :,
            ]


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    *,
    strides: tuple[int, int],
    pads: Pads,
    groups: int = 1,
    method: Method = "lax",
) -> jax.Array:
    """Convolve images with a kernel (cross-correlation, as in all deep learning).

    Args:
      images: float, in the method's layout.
      kernel: float [kh, kw, C / G, O].
      strides: Strides.
      pads: ((top, bottom), (left, right)) zero padding.
      groups: G; it divides C and O.
      method: "lax" or "im2col".

    Returns:
      float images of O channels, in the method's layout.
    """
    if layout_of(method) == "NHWC":
        return lax.conv_general_dilated(
            images,
            kernel,
            strides,
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
    padded = images
    if pads != ((0, 0), (0, 0)):
        padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    if groups == images.shape[0] == kernel.shape[3]:
        return _depthwise(padded, kernel, strides)
    if groups == 1:
        return _as_product(padded, kernel, strides)
    inputs, outputs = images.shape[0] // groups, kernel.shape[3] // groups
    parts = []
    for group in range(groups):
        own = padded[group * inputs : (group + 1) * inputs]
        weights = kernel[..., group * outputs : (group + 1) * outputs]
        parts.append(_as_product(own, weights, strides))
    return jnp.concatenate(parts, axis=0)


def _depthwise(images: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> jax.Array:
    size = (kernel.shape[0], kernel.shape[1])
    weights = kernel.reshape(size[0] * size[1], -1, 1, 1, 1)
    seen = taps(images, size, strides, ((0, 0), (0, 0)))
    total = sum((tap * w for tap, w in zip(seen, weights, strict=True)), start=jnp.float32(0))
    return lax.optimization_barrier(total)


def _stacked(images: jax.Array, axis: int, size: int, stride: int) -> jax.Array:
    """Return the slices that kernel positions along one axis see, in front: [size, ..]."""
    count = (images.shape[axis] - size) // stride + 1
    limit = (count - 1) * stride + 1
    slices = [lax.slice_in_dim(images, i, i + limit, stride, axis) for i in range(size)]
    # Fused into what follows, the slices would be cut several times.
    return lax.optimization_barrier(jnp.stack(slices))


def _unstacked(slices: jax.Array, axis: int, length: int, stride: int) -> jax.Array:
    """Return the transpose of `_stacked`: the sum of slices where they were cut."""
    total = None
    for index in range(slices.shape[0]):
        part = slices[index]
        around = [(0, 0, 0)] * part.ndim
        behind = length - index - (part.shape[axis] - 1) * stride - 1
        around[axis] = (index, behind, stride - 1)
        part = lax.pad(part, jnp.zeros((), part.dtype), around)
        total = part if total is None else total + part
    return lax.optimization_barrier(total)


def _patches(images: jax.Array, size: tuple[int, int], strides: tuple[int, int]) -> jax.Array:
    """Return [kh, kw, C, oh, ow, N]: first all columns, then all rows, half the copies."""
    if size == (1, 1) and strides == (1, 1):
        return images[None, None]
    columns = _stacked(images, 2, size[1], strides[1])
    return _stacked(columns, 2, size[0], strides[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _as_product(images: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> jax.Array:
    """Convolve padded images [C, H, W, N] with a kernel [kh, kw, C, O] as one product."""
    return _as_product_forward(images, kernel, strides)[0]


def _as_product_forward(images: jax.Array, kernel: jax.Array, strides: tuple[int, int]):
    patches = _patches(images, (kernel.shape[0], kernel.shape[1]), strides)
    outputs = kernel.shape[3]
    flat = patches.reshape(-1, math.prod(patches.shape[3:]))
    out = lax.optimization_barrier(kernel.reshape(-1, outputs).T @ flat)
    return out.reshape(outputs, *patches.shape[3:]), (patches, kernel, images.shape)


def _as_product_backward(strides: tuple[int, int], kept, gradient: jax.Array):
    patches, kernel, shape = kept
    outputs = kernel.shape[3]
    flat = lax.optimization_barrier(gradient).reshape(outputs, -1)
    for_kernel = patches.reshape(-1, flat.shape[1]) @ flat.T
    for_patches = lax.optimization_barrier(kernel.reshape(-1, outputs) @ flat)
    for_patches = for_patches.reshape(patches.shape)
    if kernel.shape[:2] == (1, 1) and strides == (1, 1):
        for_images = for_patches[0, 0]
    else:
        columns = _unstacked(for_patches, 2, shape[1], strides[0])
        for_images = _unstacked(columns, 2, shape[2], strides[1])
    return for_images, for_kernel.reshape(kernel.shape)


_as_product.defvjp(_as_product_forward, _as_product_backward)


def convolve_transposed(
    images: jax.Array,
    kernel: jax.Array,
    *,
    strides: tuple[int, int],
    pads: Pads,
    output_size: tuple[int, int],
    method: Method = "lax",
) -> jax.Array:
    """Apply the transpose of a convolution (the gradient with respect to its images).

    Args:
      images: float, as large as the convolution's output, in the method's layout.
      kernel: float [kh, kw, O, C]: that of the convolution from O to C channels.
      strides: Strides of the convolution.
      pads: Padding of the convolution.
      output_size: Height and width of the convolution's input.
      method: "lax" or "im2col".

    Returns:
      float images of O channels and the output's size, in the method's layout.
    """
    around = []
    for axis in (0, 1):
        spread = (images.shape[1 + axis] - 1) * strides[axis] + 1
        before = kernel.shape[axis] - 1 - pads[axis][0]
        after = output_size[axis] + kernel.shape[axis] - 1 - spread - before
        # A negative amount crops: padding beyond the kernel's reach.
        around.append((before, after, strides[axis] - 1))
    widened = lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), *around, (0, 0, 0)))
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    return convolve(widened, flipped, strides=(1, 1), pads=((0, 0), (0, 0)), method=method)
