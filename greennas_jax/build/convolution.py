"""Convolutions in two forms: XLA's own, and as shifted slices and one matrix product.

Inside a compiled loop on a CPU the gradient of XLA's convolution is several times slower than
outside; the same sum written as a matrix product (im2col; Chellapilla et al. 2006) has no such
penalty. On an accelerator XLA's own form is the faster one.

Shapes: N images, H height, W width, C input channels, O output channels, G groups.
"""

from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

Method = Literal["lax", "im2col"]
Pads = tuple[tuple[int, int], tuple[int, int]]
METHODS: tuple[Method, ...] = ("lax", "im2col")


def check_method(method: str) -> None:
    """Raise ValueError unless a convolution method is known."""
    if method not in METHODS:
        raise ValueError(f"convolution is {method!r}; allowed: {', '.join(METHODS)}")


def taps(
    images: jax.Array,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: Pads,
    fill: float = 0.0,
) -> Iterator[jax.Array]:
    """Yield what each kernel position sees, row by row.

    Args:
      images: float [N, H, W, C].
      kernel: Kernel height and width.
      strides: Strides.
      pads: ((top, bottom), (left, right)) padding.
      fill: Value of the padding.

    Yields:
      float [N, oh, ow, C], kernel height x kernel width of them.
    """
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
      images: float [N, H, W, C].
      kernel: float [kh, kw, C / G, O].
      strides: Strides.
      pads: ((top, bottom), (left, right)) zero padding.
      groups: G; it divides C and O.
      method: "lax" or "im2col".

    Returns:
      float [N, oh, ow, O].
    """
    check_method(method)
    if method == "lax":
        return lax.conv_general_dilated(
            images,
            kernel,
            strides,
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
    height, width, channels, outputs = kernel.shape
    seen = taps(images, (height, width), strides, pads)
    if groups == images.shape[-1] == outputs:
        weights = kernel.reshape(height * width, outputs)
        return sum(
            (tap * weight for tap, weight in zip(seen, weights, strict=True)), start=jnp.float32(0)
        )
    if groups == 1:
        patches = jnp.concatenate(list(seen), axis=-1)
        return patches @ kernel.reshape(-1, outputs)
    patches = jnp.stack(list(seen), axis=3)
    patches = patches.reshape(*patches.shape[:-1], groups, channels)
    weights = kernel.reshape(height * width, channels, groups, outputs // groups)
    out = jnp.einsum("nhwtgc,tcgo->nhwgo", patches, weights)
    return out.reshape(*out.shape[:3], outputs)


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
      images: float [N, h, w, C], as large as the convolution's output.
      kernel: float [kh, kw, O, C]: that of the convolution from O to C channels.
      strides: Strides of the convolution.
      pads: Padding of the convolution.
      output_size: Height and width of the convolution's input.
      method: "lax" or "im2col".

    Returns:
      float [N, H, W, O].
    """
    spread = lax.pad(
        images,
        jnp.zeros((), images.dtype),
        ((0, 0, 0), (0, 0, strides[0] - 1), (0, 0, strides[1] - 1), (0, 0, 0)),
    )
    around = []
    for axis in (0, 1):
        before = kernel.shape[axis] - 1 - pads[axis][0]
        after = output_size[axis] + kernel.shape[axis] - 1 - spread.shape[1 + axis] - before
        around.append((before, after))
    # A padding beyond the kernel's reach asks for cropping, which lax.pad writes as negative.
    spread = lax.pad(
        spread,
        jnp.zeros((), images.dtype),
        ((0, 0, 0), (*around[0], 0), (*around[1], 0), (0, 0, 0)),
    )
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    return convolve(spread, flipped, strides=(1, 1), pads=((0, 0), (0, 0)), method=method)
