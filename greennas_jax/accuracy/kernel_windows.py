"""How kernels of several sizes slide over one dimension of the masked template."""

from typing import Any, NamedTuple

from greennas_jax.spec import shapes as shape_rules

Sizes = tuple[int, ...]


class Window(NamedTuple):
    """How a kernel of any allowed size slides over one dimension of the template.

    Attributes:
      size: Kernel positions in the template, enough for every kernel at its offset.
      stride: The stride.
      before: Padding in front; a kernel whose own padding is p starts at position before - p.
      after: Padding behind.
      shifting: Whether kernels or offsets differ between variants.
    """

    size: int
    stride: int
    before: int
    after: int
    shifting: bool


def kernel_choices(kernel: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the kernels that a given one may shrink to, itself first, then falling odd sizes."""
    found = [kernel]
    for size in range(max(kernel) - 1 - max(kernel) % 2, 0, -2):
        smaller = [min(side, size) for side in kernel]
        pair = (smaller[0] - 1 + smaller[0] % 2, smaller[1] - 1 + smaller[1] % 2)
        if pair not in found:
            found.append(pair)
    return tuple(found)


def pad_before(size: int, kernel: int, stride: int, padding: Any, axis: int) -> int:
    """Return the padding in front along one dimension."""
    if padding == "VALID":
        return 0
    if padding == "SAME":
        return shape_rules.same_padding(size, kernel, stride)[0]
    return padding[axis]


def slide(
    sizes: Sizes, kernels: Sizes, stride: int, padding: Any, axis: int
) -> tuple[Window, Sizes]:
    """Return the window over one dimension, and the sizes its output may have."""
    mode: Any = padding if isinstance(padding, str) else padding[axis]
    outputs: set[int] = set()
    starts: set[tuple[int, int]] = set()
    for size in sizes:
        for kernel in kernels:
            output = shape_rules.output_size(size, kernel, stride, mode)
            if output >= 1:
                outputs.add(output)
                starts.add((pad_before(size, kernel, stride, padding, axis), kernel))
    before = max(pad for pad, _ in starts)
    extent = max(before - pad + kernel for pad, kernel in starts)
    largest = max(outputs)
    after = max(0, (largest - 1) * stride + extent - before - sizes[-1])
    return Window(extent, stride, before, after, len(starts) > 1), tuple(sorted(outputs))
