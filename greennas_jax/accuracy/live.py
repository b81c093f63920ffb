"""What is live of a tensor in the template, and how a pass over the template is run.

Everything dead in a tensor is zero. Images are [N, H, W, C] or [C, H, W, N], as the convolution
method wants them; rows and columns are axes 1 and 2 in both. Sequences are always [N, S, 1, D].

Shapes: N images, H, W, C template sizes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import template as templates
from greennas_jax.accuracy.initial import Arrays
from greennas_jax.build import convolution, layout

Observer = Callable[[templates.Slot, jax.Array, jax.Array], None]


class Mode(NamedTuple):
    """How a forward pass is run.

    Attributes:
      training: Whether batch moments normalise and dropout drops.
      method: How convolutions are computed.
      observe: Called with (slot, values in front of an activation, 1 where they are live), if any.
      precision: Number format of products, "fp32" or "bf16".
    """

    training: bool
    method: convolution.Method
    observe: Observer | None = None
    precision: str = "fp32"

    @property
    def order(self) -> layout.Layout:
        """The order of the axes of images."""
        return convolution.layout_of(self.method)

    def factors(self, *arrays: Any) -> Any:
        """Return pytrees of factors of products, float32 rounded to the format of products."""
        return arrays if self.precision == "fp32" else jax.tree.map(_rounded, arrays)


def _rounded(values: jax.Array) -> jax.Array:
    return values.astype(jnp.bfloat16) if values.dtype == jnp.float32 else values


def order_of(slot: templates.Slot, mode: Mode) -> layout.Layout:
    """Return the order of the axes of a slot's output."""
    return "NHWC" if slot.sequence else mode.order


def position_mask(slot: templates.Slot, arrays: Arrays) -> jax.Array:
    """Return float32 [H, W, 1]: 1 where a position of the slot's output is live."""
    rows = jnp.arange(slot.height) < arrays["rows"]
    columns = jnp.arange(slot.width) < arrays["columns"]
    return (rows[:, None] & columns)[:, :, None].astype(jnp.float32)


def live_mask(slot: templates.Slot, arrays: Arrays, order: layout.Layout) -> jax.Array:
    """Return what an output is multiplied with so that all that is dead becomes zero."""
    mask = layout.of_channels(arrays["channels"], order)
    if slot.ragged:
        mask = mask * position_mask(slot, arrays)
    return mask


def only_live(values: jax.Array, arrays: Arrays) -> jax.Array:
    """Return values with dead positions at minus infinity."""
    live_row = (jnp.arange(values.shape[1]) < arrays["rows"])[:, None, None]
    live_column = (jnp.arange(values.shape[2]) < arrays["columns"])[:, None]
    return jnp.where(live_row & live_column, values, -jnp.inf)


def fitted(values: jax.Array, slot: templates.Slot) -> jax.Array:
    """Return [N, h, w, C] cut or filled with zeros to a slot's height and width."""
    cut = values[:, : slot.height, : slot.width]
    fill = (slot.height - cut.shape[1], slot.width - cut.shape[2])
    return jnp.pad(cut, ((0, 0), (0, fill[0]), (0, fill[1]), (0, 0)))


def positions_mean(values: jax.Array, above: Arrays, order: layout.Layout) -> jax.Array:
    """Return [N, C]: the mean over live positions."""
    mean = values.sum((1, 2)) / (above["rows"] * above["columns"])
    return mean if order == "NHWC" else mean.T
