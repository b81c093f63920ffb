"""Two orders of an image tensor's axes: NHWC, and CHWN for compiled loops on a CPU.

With the batch last every shifted slice is a run of adjacent numbers and every matrix product has a
long last axis; training steps as matrix products run two to three times faster so. Rows and
columns are axes 1 and 2 in both: only batch and channels change places.

Shapes: N images, H height, W width, C channels.
"""

from typing import Literal

import jax

Layout = Literal["NHWC", "CHWN"]


def from_nhwc(images: jax.Array, layout: Layout) -> jax.Array:
    """Return images [N, H, W, C] in another order."""
    return images if layout == "NHWC" else images.transpose(3, 1, 2, 0)


def to_nhwc(images: jax.Array, layout: Layout) -> jax.Array:
    """Return images of some order as [N, H, W, C]; the swap is its own inverse."""
    return from_nhwc(images, layout)


def channel_axis(layout: Layout) -> int:
    """Return the axis of the channels."""
    return layout.index("C")


def of_channels(values: jax.Array, layout: Layout) -> jax.Array:
    """Return one number per channel [C] as it broadcasts against images."""
    return values if layout == "NHWC" else values[:, None, None, None]


def reduced_axes(layout: Layout) -> tuple[int, int, int]:
    """Return the axes that batch normalisation averages over."""
    return (0, 1, 2) if layout == "NHWC" else (1, 2, 3)


def features(values: jax.Array, order: Layout) -> jax.Array:
    """Return [N, features], images flattened in NHWC order."""
    if values.ndim == 4:
        values = to_nhwc(values, order)
    return values.reshape(values.shape[0], -1)


def average_positions(values: jax.Array, order: Layout) -> jax.Array:
    """Return [N, C]: the mean over all positions."""
    if values.ndim == 4:
        values = to_nhwc(values, order)
    return values.reshape(values.shape[0], -1, values.shape[-1]).mean(1)
