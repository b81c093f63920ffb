"""Convolutions in two forms: XLA's own, and as shifted slices and one matrix product.

Inside a compiled loop on a CPU the gradient of XLA's convolution is several times slower than
outside; the same sum written as a matrix product (im2col; Chellapilla et al. 2006) has no such
penalty, and runs best with the batch as the last axis. On an accelerator XLA's own form is the
faster one.

Shapes: N images, H height, W width, C input channels, O output channels, G groups. "Images" are
[N, H, W, C] under "lax" and [C, H, W, N] under "im2col".
"""

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
    size = (kernel.shape[0], kernel.shape[1])
    seen = list(taps(images, size, strides, pads))
    if groups == images.shape[0] == kernel.shape[3]:
        weights = kernel.reshape(len(seen), -1, 1, 1, 1)
        return sum((tap * w for tap, w in zip(seen, weights, strict=True)), start=jnp.float32(0))
    if groups == 1:
        return _product(jnp.concatenate(seen, axis=0) if len(seen) > 1 else seen[0], kernel)
    inputs, outputs = images.shape[0] // groups, kernel.shape[3] // groups
    parts = []
    for group in range(groups):
        own = [tap[group * inputs : (group + 1) * inputs] for tap in seen]
        weights = kernel[..., group * outputs : (group + 1) * outputs]
        parts.append(_product(jnp.concatenate(own, axis=0), weights))
    return jnp.concatenate(parts, axis=0)


def _product(patches: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return kernel [.., O] times patches [kh * kw * C, oh, ow, N] as [O, oh, ow, N]."""
    outputs = kernel.shape[-1]
    flat = patches.reshape(patches.shape[0], -1)
    out = (kernel.reshape(-1, outputs).T @ flat).reshape(outputs, *patches.shape[1:])
    # Fused into what follows, the product and its operands would be computed several times.
    return lax.optimization_barrier(out)


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
