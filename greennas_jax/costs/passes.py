"""The work of one pass over each layer: FLOPs and bytes, before any device.

Shapes: L layers.
"""

from typing import NamedTuple

from greennas_jax.costs import layer_table

Array = layer_table.Array


class Computation(NamedTuple):
    """Operations done in one call, and how often that call is made.

    Attributes:
      flops: Floating-point operations of one call; a multiply-add is two [FLOP], [L].
      calls: Number of such calls [L].
    """

    flops: Array
    calls: Array | float = 1.0


class Operand(NamedTuple):
    """Bytes moved in one go, whether the layer moves them at all, and how often.

    Attributes:
      size: Bytes [L].
      moved: bool [L]; where False the size means nothing.
      calls: Number of such moves [L].
    """

    size: Array
    moved: Array
    calls: Array | float = 1.0


class Pass(NamedTuple):
    """One pass: what it computes and what it moves."""

    computations: tuple[Computation, ...]
    operands: tuple[Operand, ...]

    @property
    def flops(self) -> Array:
        """Return the floating-point operations of all calls [FLOP], [L]."""
        return sum(step.flops * step.calls for step in self.computations)


class Work(NamedTuple):
    """The work of each pass of a training step."""

    forward: Pass
    backward_data: Pass
    backward_filter: Pass
    update: Pass


class Amount(NamedTuple):
    """FLOPs and elements moved in one pass of each layer, each [L].

    Attributes:
      flops: Floating-point operations [FLOP].
      elements: Elements in the number format of weights and activations.
      gradients: Elements of the parameters' gradients, which are fp32 in any.
    """

    flops: Array
    elements: Array
    gradients: Array | float = 0.0


class Amounts(NamedTuple):
    """The forward pass, the gradient of the data and that of the parameters."""

    forward: Amount
    data: Amount
    filters: Amount


def of_mode(work: Work, mode: str) -> tuple[Pass, ...]:
    """Return the passes that inference or a training step makes."""
    return tuple(work) if mode == "training" else (work.forward,)


def moved_bytes(step: Pass) -> Array:
    """Return the bytes that a pass moves [L]."""
    xp = layer_table.array_namespace(step.flops)
    total = xp.zeros_like(step.flops)
    for operand in step.operands:
        total = total + xp.where(operand.moved, operand.size * operand.calls, 0.0)
    return total


def flops(work: Work, mode: str) -> Array:
    """Return the floating-point operations of inference or a training step [FLOP], [L]."""
    return sum(step.flops for step in of_mode(work, mode))


def bytes_moved(work: Work, mode: str) -> Array:
    """Return the bytes moved by inference or a training step [L]."""
    return sum(moved_bytes(step) for step in of_mode(work, mode))


def _chosen(masks: list[Array], values: list[Array | float], default: float) -> Array:
    xp = layer_table.array_namespace(*masks, *values)
    chosen = default
    for mask, value in zip(masks, values, strict=True):
        chosen = xp.where(mask, value, chosen)
    return chosen


def select(alternatives: list[tuple[Array, Pass]]) -> Pass:
    """Return the pass that takes, row by row, the alternative whose mask holds.

    Args:
      alternatives: Masks, bool [L] and mutually exclusive, each with its pass; rows where none
        holds do nothing.
    """
    computations, operands = [], []
    for index in range(max(len(step.computations) for _, step in alternatives)):
        having = [(m, s.computations[index]) for m, s in alternatives if index < len(s[0])]
        masks = [mask for mask, _ in having]
        amounts = _chosen(masks, [call.flops for _, call in having], 0.0)
        calls = _chosen(masks, [call.calls for _, call in having], 1.0)
        computations.append(Computation(amounts, calls))
    for index in range(max(len(step.operands) for _, step in alternatives)):
        having = [(m, s.operands[index]) for m, s in alternatives if index < len(s[1])]
        masks = [mask & operand.moved for mask, operand in having]
        moved = masks[0]
        for mask in masks[1:]:
            moved = moved | mask
        sizes = _chosen(masks, [operand.size for _, operand in having], 0.0)
        calls = _chosen(masks, [operand.calls for _, operand in having], 1.0)
        operands.append(Operand(sizes, moved, calls))
    return Pass(tuple(computations), tuple(operands))
