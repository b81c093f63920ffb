"""Which layers to measure: shapes drawn quasi-randomly within bounds of work and memory.

Sizes are spread evenly in their logarithm by a Halton sequence with a random shift (Halton 1960;
Cranley, Patterson 1976), whose beginning covers the ranges as well as the whole does. Kinds are
taken in turn, so that a sweep cut short is balanced.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.costs import passes, traffic
from greennas_jax.costs.settings import CostSettings
from greennas_jax.measure import cases
from greennas_jax.measure.cases import Case

BASES = (2, 3, 5, 7, 11, 13, 17)
TRIES = 2000


class Extent(NamedTuple):
    """How far a sweep goes.

    Attributes:
      name: Its name.
      flops: Least and most FLOPs of a layer with products.
      most_bytes: Most bytes that a layer moves.
      batches: Batch sizes.
      sequences: Shortest and longest sequence.
      widths: Least and largest width of a sequence; multiples of the least.
      counts: Cases by kind; a kind that is not named is not measured.
      training_share: Of the cases, how many are measured in training as well.
    """

    name: str
    flops: tuple[float, float]
    most_bytes: float
    batches: tuple[int, ...]
    sequences: tuple[int, int]
    widths: tuple[int, int]
    counts: dict[str, int]
    training_share: float


def _counts(most: int) -> dict[str, int]:
    """Return cases by kind: kinds whose times depend on more sizes get more."""
    shares = {
        "convolution": 1.5,
        "pointwise": 0.75,
        "grouped_convolution": 0.6,
        "depthwise_convolution": 0.5,
        "inner_product": 0.75,
        "pooling": 0.6,
        "attention": 0.75,
        "feed_forward": 0.75,
        "normalisation": 0.75,
        "elementwise": 0.5,
        "embedding": 0.5,
    }
    return {kind: math.ceil(share * most) for kind, share in shares.items()}


EXTENTS = {
    "small": Extent("small", (3e4, 4e9), 6e7, (1, 1, 2, 8), (4, 512), (16, 768), _counts(48), 0.0),
    "default": Extent(
        "default", (1e6, 4e11), 4e9, (1, 4, 16, 64), (4, 1024), (32, 1024), _counts(48), 0.25
    ),
}


def radical_inverse(index: int, base: int) -> float:
    """Return a whole number's digits mirrored at the point (van der Corput 1935)."""
    value, share = 0.0, 1.0
    while index:
        share /= base
        index, digit = divmod(index, base)
        value += share * digit
    return value


def points(dimensions: int, shift: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the points of a shifted Halton sequence, float64 [dimensions] from 0 to 1."""
    for index in itertools.count(1):
        point = np.array([radical_inverse(index, base) for base in BASES[:dimensions]])
        yield (point + shift) % 1.0


def _grain(size: int) -> int:
    """Return what a width of about some size is a multiple of."""
    for below, grain in ((8, 2), (32, 8), (64, 16), (256, 32)):
        if size < below:
            return grain
    return 64


class Draw(NamedTuple):
    """One point of the sequence, as numbers are picked from it."""

    values: np.ndarray
    extent: Extent

    def size(self, axis: int, low: float, high: float) -> int:
        """Return a whole number spread evenly in its logarithm."""
        return round(low * (high / low) ** float(self.values[axis]))

    def multiple(self, axis: int, low: float, high: float, of: int) -> int:
        """Return a size rounded to a multiple."""
        return max(1, round(self.size(axis, low, high) / of)) * of

    def choice(self, axis: int, choices: tuple) -> Any:
        """Return one of several, all alike likely."""
        return choices[min(int(self.values[axis] * len(choices)), len(choices) - 1)]

    @property
    def batch(self) -> int:
        """Return a batch size; the first axis is its own."""
        return self.choice(0, self.extent.batches)

    def channels(self, axis: int, low: float, high: float) -> int:
        """Return a width as published networks have them: rounder the wider it is."""
        size = self.size(axis, low, high)
        return max(1, round(size / _grain(size))) * _grain(size)

    def of_image(self, axis: int, size: int, most: int = 2048) -> int:
        """Return the channels of an image of some height.

        Networks widen as images shrink: height x channels is 500 (LeNet, CIFAR's) to 15,000 (VGG,
        the wide ends of residual blocks).
        """
        return self.channels(axis, min(max(4, 500 / size), most), min(15000 / size, most))


def _window(kernel: int, stride: int, size: int, padding: str = "SAME") -> dict[str, Any]:
    return {
        "in_height": size,
        "in_width": size,
        "kernel_height": kernel,
        "kernel_width": kernel,
        "stride_height": stride,
        "stride_width": stride,
        "padding": padding,
    }


def _convolution(draw: Draw) -> Case:
    first = draw.choice(6, (True, *(False,) * 7))
    kernel = draw.choice(1, (3, 5, 7, 11) if first else (3, 3, 3, 3, 3, 5))
    stride = draw.choice(2, (1, 1, 2, 4) if kernel > 5 else (1, 1, 1, 2))
    size = draw.size(3, 24, 230) if first else draw.size(3, 6, 120)
    channels = draw.choice(4, (1, 3, 3)) if first else draw.of_image(4, size, 512)
    return Case(
        type="Convolution",
        batch=draw.batch,
        in_channels=channels,
        out_channels=draw.channels(5, 6, 96) if first else draw.of_image(5, size, 512),
        groups=1,
        **_window(kernel, stride, size, draw.choice(2, ("VALID", "SAME", "SAME", "SAME"))),
    )


def _pointwise(draw: Draw) -> Case:
    size = draw.size(3, 5, 112)
    return Case(
        type="Convolution",
        batch=draw.batch,
        in_channels=draw.of_image(4, size),
        out_channels=draw.of_image(5, size),
        groups=1,
        **_window(1, draw.choice(2, (1, 1, 1, 2)), size),
    )


def _grouped(draw: Draw) -> Case:
    groups = draw.choice(6, (2, 2, 4, 8, 32))
    size = draw.size(3, 6, 64)
    widths = [groups * max(2, round(draw.of_image(axis, size, 768) / groups)) for axis in (4, 5)]
    stride = draw.choice(2, (1, 1, 2))
    return Case(
        type="Convolution",
        batch=draw.batch,
        in_channels=widths[0],
        out_channels=widths[1],
        groups=groups,
        **_window(draw.choice(1, (1, 3, 3, 5)), stride, size),
    )


def _depthwise(draw: Draw) -> Case:
    size = draw.size(3, 6, 112)
    channels = draw.of_image(4, size, 1024)
    stride = draw.choice(2, (1, 1, 2))
    return Case(
        type="Convolution",
        batch=draw.batch,
        in_channels=channels,
        out_channels=channels,
        groups=channels,
        **_window(draw.choice(1, (3, 3, 3, 5, 7)), stride, size),
    )


def _inner_product(draw: Draw) -> Case:
    positions = draw.choice(3, (False, False, False, True))
    return Case(
        type="InnerProduct",
        batch=draw.batch,
        in_height=draw.size(2, 8, 512) if positions else 1,
        in_channels=draw.channels(4, 16, 16384),
        out_channels=draw.channels(5, 8, 4096),
    )


def _pooling(draw: Draw) -> Case:
    size = draw.size(3, 6, 230)
    whole = draw.choice(6, (True, False, False, False))
    kernel = min(size, 32) if whole else draw.choice(1, (2, 2, 3, 3))
    channels = draw.of_image(4, size, 1024)
    return Case(
        type="AvgPool" if whole else draw.choice(5, ("Pooling", "Pooling", "AvgPool")),
        batch=draw.batch,
        in_channels=channels,
        out_channels=channels,
        **_window(kernel, kernel if whole else draw.choice(2, (1, 2, 2)), size, "VALID"),
    )


def _sequence(draw: Draw, kind: str, width: int, **more: Any) -> Case:
    return Case(
        type=kind,
        batch=draw.batch,
        in_height=draw.size(3, *draw.extent.sequences),
        in_channels=width,
        out_channels=width,
        **more,
    )


def _width(draw: Draw) -> int:
    """Return the width of a sequence."""
    least, most = draw.extent.widths
    return draw.multiple(4, least, most, least)


def _attention(draw: Draw) -> Case:
    width, head = _width(draw), draw.choice(2, (16, 32, 64))
    return _sequence(draw, "MultiHeadAttention", width, heads=width // min(head, width & -width))


def _feed_forward(draw: Draw) -> Case:
    width = _width(draw)
    return _sequence(draw, "FeedForward", width, hidden=width * draw.choice(2, (1, 2, 4, 4)))


def _images(draw: Draw, kind: str) -> Case:
    size = draw.size(3, 4, 160)
    channels = draw.of_image(4, size)
    return Case(
        type=kind,
        batch=draw.batch,
        in_height=size,
        in_width=size,
        in_channels=channels,
        out_channels=channels,
    )


def _normalisation(draw: Draw) -> Case:
    # Local response normalisation takes powers: its time per byte is another kind's.
    kind = draw.choice(1, ("BatchNorm", "LayerNorm"))
    if kind == "LayerNorm":
        return _sequence(draw, kind, _width(draw))
    return _images(draw, kind)


def _elementwise(draw: Draw) -> Case:
    kind = draw.choice(1, ("Elementwise", "Elementwise", "Elementwise", "ReLU", "Softmax"))
    if kind == "Elementwise" and draw.choice(2, (True, False)):
        return _sequence(draw, kind, _width(draw))
    if kind == "Softmax":
        classes = draw.channels(4, 8, 65536)
        return Case(type=kind, batch=draw.batch, in_channels=classes, out_channels=classes)
    return _images(draw, kind)


def _embedding(draw: Draw) -> Case:
    return Case(
        type="Embedding",
        batch=draw.batch,
        in_height=draw.size(3, 8, 1024),
        in_channels=draw.size(4, 32, 50000),
        out_channels=draw.multiple(5, *draw.extent.widths, draw.extent.widths[0]),
    )


MAKERS: dict[str, Callable[[Draw], Case]] = {
    "convolution": _convolution,
    "pointwise": _pointwise,
    "grouped_convolution": _grouped,
    "depthwise_convolution": _depthwise,
    "inner_product": _inner_product,
    "pooling": _pooling,
    "attention": _attention,
    "feed_forward": _feed_forward,
    "normalisation": _normalisation,
    "elementwise": _elementwise,
    "embedding": _embedding,
}


def within(case: Case, extent: Extent) -> bool:
    """Return whether a case is possible and within the bounds of work and memory."""
    try:
        table = cases.table([case])
    except ValueError:
        return False
    step = traffic.work(table, CostSettings()).forward
    flops, moved = float(step.flops[0]), float(passes.moved_bytes(step)[0])
    least, most = extent.flops
    # Layers without products are bounded by what they move: a tenth of as many bytes.
    enough = flops >= least if flops > 0 else moved >= least / 10
    return enough and flops <= most and moved <= extent.most_bytes


def _of_kind(kind: str, number: int, extent: Extent, seed: int) -> list[Case]:
    """Return the cases of one kind, none twice."""
    shift = np.random.default_rng([seed, number]).random(len(BASES))
    found: dict[Case, None] = {}
    drawn = itertools.islice(points(len(BASES), shift), TRIES)
    for point in drawn:
        case = MAKERS[kind](Draw(point, extent))
        if within(case, extent):
            found[case] = None
        if len(found) == extent.counts[kind]:
            break
    return list(found)


def draw(extent: Extent, *, dtypes: Sequence[str] = ("fp32",), seed: int = 0) -> list[Case]:
    """Return the cases of a sweep in the order in which to measure them.

    Kinds are taken in turn, each kind's cases evenly over the whole; those measured in training
    follow their inference.

    Args:
      extent: How far the sweep goes.
      dtypes: Number formats; each case is measured in all of them.
      seed: Of the random shift.
    """
    placed = []
    for number, kind in enumerate(MAKERS):
        if kind not in extent.counts:
            continue
        own = _of_kind(kind, number, extent, seed)
        placed += [((i + 0.5) / len(own), number, case) for i, case in enumerate(own)]
    ordered = []
    due = 0.0
    for _, _, case in sorted(placed, key=lambda entry: entry[:2]):
        due += extent.training_share
        modes = ("inference", "training") if due >= 1.0 else ("inference",)
        due %= 1.0
        ordered += [
            dataclasses.replace(case, dtype=dtype, mode=mode) for mode in modes for dtype in dtypes
        ]
    return ordered
