"""The work of one pass over each layer: FLOPs and bytes, before any device.

Shapes: L layers.
"""

from typing import NamedTuple

from greennas_jax.costs import layer_table

Array = layer_table.Array


class Operand(NamedTuple):
    """Bytes moved in one go, and whether the layer moves them at all.

    Attributes:
      size: Bytes [L].
      moved: bool [L]; where False the size means nothing.
    """

    size: Array
    moved: Array


class Pass(NamedTuple):
    """One pass: floating-point operations (a multiply-add is two) [FLOP] and its operands."""

    flops: Array
    operands: tuple[Operand, ...]


class Work(NamedTuple):
    """The work of each pass of a training step."""

    forward: Pass
    backward_data: Pass
    backward_filter: Pass
    update: Pass


def of_mode(work: Work, mode: str) -> tuple[Pass, ...]:
    """Return the passes that inference or a training step makes."""
    return (work.forward,) if mode == "inference" else tuple(work)


def moved_bytes(step: Pass) -> Array:
    """Return the bytes that a pass moves [L]."""
    xp = layer_table.array_namespace(step.flops)
    total = xp.zeros_like(step.flops)
    for operand in step.operands:
        total = total + xp.where(operand.moved, operand.size, 0.0)
    return total


def flops(work: Work, mode: str) -> Array:
    """Return the floating-point operations of inference or a training step [FLOP], [L]."""
    return sum(step.flops for step in of_mode(work, mode))


def bytes_moved(work: Work, mode: str) -> Array:
    """Return the bytes moved by inference or a training step [L]."""
    return sum(moved_bytes(step) for step in of_mode(work, mode))
