"""Convolutions at one of several kernel sizes, each as small as it can be.

In a loop over children a branch is taken or not: a child with a smaller kernel then costs less, and
one with a larger kernel is not charged for the larger outputs that a smaller one would have.

Shapes: images are [N, H, W, C] or [C, H, W, N], kernels [kh, kw, C / groups, O].
"""

import functools

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import kernel_windows
from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution


def convolve(
    slot: templates.Slot,
    images: jax.Array,
    kernel: jax.Array,
    level: jax.Array,
    groups: int,
    method: convolution.Method,
) -> jax.Array:
    """Convolve with a kernel in the template's window.

    Args:
      slot: A convolution.
      images: float32, in the method's layout.
      kernel: Zero outside of the child's own kernel.
      level: int32, which of the slot's kernel sizes the child has.
      groups: Groups.
      method: How convolutions are computed.

    Returns:
      float32 images, as large as the template's or larger; what lies beyond the child's own output
      is undefined.
    """
    # XLA's own form runs side by side, where all branches would be computed.
    if method == "lax" or len(slot.levels) < 2:
        return _at(slot.windows, images, kernel, groups, method)
    return _switched(slot, groups, level, images, kernel)


def _at(
    windows: tuple[kernel_windows.Window, kernel_windows.Window] | None,
    images: jax.Array,
    kernel: jax.Array,
    groups: int,
    method: convolution.Method,
) -> jax.Array:
    row, column = windows  # pyright: ignore[reportGeneralTypeIssues] -- a convolution has windows
    return convolution.convolve(
        images,
        kernel,
        strides=(row.stride, column.stride),
        pads=((row.before, row.after), (column.before, column.after)),
        groups=groups,
        method=method,
    )


def _at_level(
    slot: templates.Slot, number: int, groups: int, images: jax.Array, kernel: jax.Array
) -> jax.Array:
    """Return images of the template's size, computed at one kernel size."""
    level = slot.levels[number]
    row, column = level.windows
    # A kernel of padding p starts at the template's padding less p.
    top, left = (
        whole.before - own.before
        for whole, own in zip(slot.windows, level.windows, strict=True)  # pyright: ignore[reportArgumentType] -- a convolution has windows
    )
    part = kernel[top : top + row.size, left : left + column.size]
    out = _at(level.windows, images, part, groups, "im2col")[:, : level.height, : level.width]
    rest = (slot.height - out.shape[1], slot.width - out.shape[2])
    return jnp.pad(out, ((0, 0), (0, rest[0]), (0, rest[1]), (0, 0)))


# Left to automatic differentiation, a branch hands on zeros for what all others would keep for
# their gradients; computing the few slices again costs less.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _switched(
    slot: templates.Slot, groups: int, level: jax.Array, images: jax.Array, kernel: jax.Array
) -> jax.Array:
    branches = [
        functools.partial(_at_level, slot, number, groups) for number in range(len(slot.levels))
    ]
    return jax.lax.switch(level, branches, images, kernel)


def _switched_forward(slot, groups, level, images, kernel):
    return _switched(slot, groups, level, images, kernel), (level, images, kernel)


def _switched_backward(slot, groups, kept, gradient):
    level, images, kernel = kept

    def backward(number: int, images: jax.Array, kernel: jax.Array, gradient: jax.Array):
        _, pull = jax.vjp(functools.partial(_at_level, slot, number, groups), images, kernel)
        return pull(gradient)

    branches = [functools.partial(backward, number) for number in range(len(slot.levels))]
    return (None, *jax.lax.switch(level, branches, images, kernel, gradient))


_switched.defvjp(_switched_forward, _switched_backward)
