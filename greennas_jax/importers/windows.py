"""Sliding windows of other formats in the specification's paddings.

A format states the zeros in front and the output size (which it may round up); the specification
knows VALID, SAME and a symmetric list. Windows are the same where the zeros in front and the number
of windows are: zeros behind follow.

Shapes: pairs are (height, width).
"""

from typing import NamedTuple

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import SpecError

Pair = tuple[int, int]


class Fit(NamedTuple):
    """A padding as the specification writes it; `exact` unless the windows are shifted."""

    padding: str | list[int]
    exact: bool


def floor_size(size: int, kernel: int, stride: int, pads: int) -> int:
    """Return the windows that fit into the padded input; `pads` counts both sides."""
    return (size + pads - kernel) // stride + 1


def ceil_size(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Return the windows that cover the padded input, none of which starts behind the input.

    Caffe, `PoolingLayer::Reshape`; ONNX, operator MaxPool, `ceil_mode`.
    """
    count = -((kernel - size - before - after) // stride) + 1
    if (before or after) and (count - 1) * stride >= size + before:
        count -= 1
    return count


def same(size: Pair, kernel: Pair, strides: Pair, lower: bool) -> tuple[Pair, Pair]:
    """Return the zeros (before, after) per axis of ONNX's SAME_UPPER or SAME_LOWER."""
    found = []
    for axis in (0, 1):
        less, more = shape_rules.same_padding(size[axis], kernel[axis], strides[axis])
        found.append((more, less) if lower else (less, more))
    return found[0], found[1]


def covering(size: Pair, kernel: Pair, before: Pair, output: Pair) -> tuple[Pair, Pair]:
    """Return (kernel, zeros in front) of pooling, without the zeros around a window of all inputs.

    A single window that covers its axis sees the inputs and nothing else, whatever its zeros.
    """
    axes = [
        (n, 0) if o == 1 and k - b >= n else (k, b)
        for n, k, b, o in zip(size, kernel, before, output, strict=True)
    ]
    return (axes[0][0], axes[1][0]), (axes[0][1], axes[1][1])


def fit(size: Pair, kernel: Pair, strides: Pair, before: Pair, output: Pair) -> Fit:
    """Return the specification's padding for some windows.

    Where no padding gives the very same windows, one that gives as many is returned; shapes and
    costs are then the same, but the windows are shifted.

    Args:
      size: Size of what the windows slide over.
      kernel: Window.
      strides: Strides.
      before: Zeros in front.
      output: Number of windows.

    Raises:
      SpecError: If no padding gives as many windows.
    """
    axes = tuple(zip(size, kernel, strides, before, output, strict=True))
    if not any(before) and _sizes(axes, "VALID"):
        return Fit("VALID", True)
    in_front = tuple(shape_rules.same_padding(n, k, s)[0] for n, k, s, _, _ in axes)
    is_same = _sizes(axes, "SAME")
    if is_same and in_front == tuple(before):
        return Fit("SAME", True)
    if all(_listed(n, k, s, p) == o for n, k, s, p, o in axes):
        return Fit(list(before), True)
    pads = [_nearest(*axis) for axis in axes]
    if None not in pads:
        return Fit([int(pad) for pad in pads if pad is not None], False)
    if is_same:
        return Fit("SAME", False)
    raise SpecError(
        f"windows {list(kernel)} with strides {list(strides)} over {list(size)} give "
        f"{list(output)}; no padding of the same zeros on both sides does"
    )


def _listed(size: int, kernel: int, stride: int, pad: int) -> int:
    return shape_rules.output_size(size, kernel, stride, pad)


def _sizes(axes: tuple[tuple[int, ...], ...], padding: layer_views.Padding) -> bool:
    return all(shape_rules.output_size(n, k, s, padding) == o for n, k, s, _, o in axes)


def _nearest(size: int, kernel: int, stride: int, before: int, output: int) -> int | None:
    """Return the padding per side nearest to the given one that yields an output size."""
    least = max(0, -((size - kernel - (output - 1) * stride) // 2))
    most = (output * stride + kernel - size - 1) // 2
    return None if most < least else min(max(before, least), most)
