"""Columns of a layer table that say how a window slides over a layer's input."""

import enum

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Layer
from greennas_jax.spec.shapes import Shape


class Padding(enum.IntEnum):
    """How a window's padding was written."""

    VALID = 0
    SAME = 1
    LISTED = 2


def _padding(
    padding: layer_views.Padding, kernel: Shape, strides: Shape, inner: Shape, outer: Shape
) -> tuple[int, int, int]:
    """Return (pad_height, pad_width, code) by Paleo's rules.

    Args:
      padding: As the layer states it.
      kernel: Kernel height and width.
      strides: Vertical and horizontal stride.
      inner: NHWC tensor that the window slides over.
      outer: NHWC tensor of the windows' results.
    """
    if padding == "VALID":
        return 0, 0, int(Padding.VALID)
    if padding == "SAME":
        pads = [
            ((outer[1 + axis] - 1) * strides[axis] + kernel[axis] - inner[1 + axis]) // 2
            for axis in (0, 1)
        ]
        return pads[0], pads[1], int(Padding.SAME)
    return int(padding[0]), int(padding[1]), int(Padding.LISTED)


def convolution(layer: Layer, source: Shape, output: Shape) -> tuple:
    """Return a convolution's columns, from its kernel's to the number of inputs."""
    view = layer_views.convolution(layer)
    pads = _padding(view.padding, view.kernel, view.strides, source, output)
    depthwise = view.groups > 1 and view.groups == source[3]
    return (
        *(*view.kernel, *view.strides, *pads, view.groups, depthwise, view.use_bias),
        *(view.activation is not None, view.normalizer is not None, 1),
    )


def deconvolution(layer: Layer, source: Shape, output: Shape) -> tuple:
    """Return a transposed convolution's columns; its filter is [kh, kw, Cout, Cin]."""
    filters = tuple(layer_views.integers(layer, "filter", 4))
    strides = tuple(layer_views.integers(layer, "strides", 4)[1:3])
    pads = _padding(layer_views.padding(layer), filters[:2], strides, output, source)
    normalizer = layer_views.normalizer(layer) is not None
    bias = layer.attributes.get("use_bias", True) is not False
    activation = layer_views.activation(layer) is not None
    return *filters[:2], *strides, *pads, 1, False, bias, activation, normalizer, 1


NONE = (1, 1, 1, 1, 0, 0, 0, 1, False)


def pool(layer: Layer, source: Shape, output: Shape, compat: str | None) -> tuple:
    """Return a pooling layer's columns; the original Paleo keeps windows larger than the input."""
    view = layer_views.pool(layer)
    kernel = view.kernel if compat == "paleo" else shape_rules.pool_kernel(view, source)
    pads = _padding(view.padding, kernel, view.strides, source, output)
    return *kernel, *view.strides, *pads, 1, False, False, False, False, 1
