"""What the readers of ONNX's operators share: tensors, and views of a node.

Images are NCHW in ONNX and NHWC in the specification; a transposition between the two changes how a
tensor is told, not the tensor.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from greennas_jax.importers import draft as drafts
from greennas_jax.importers.draft import Draft
from greennas_jax.importers.onnx_model import Graph, Node
from greennas_jax.spec.network import SpecError
from greennas_jax.spec.shapes import Shape


class NotCoveredError(SpecError):
    """An operator, or this use of it, has no counterpart in the specification."""


class Value(NamedTuple):
    """A tensor: the layer that makes it, its shape in ONNX's order, and what that order is."""

    layer: str
    shape: Shape
    channels_last: bool = False

    @property
    def nhwc(self) -> Shape:
        """The shape as the specification tells it."""
        return self.shape if self.channels_last else drafts.nhwc(self.shape)


@dataclasses.dataclass
class Reading:
    """What has been read so far: layers, and the tensors by name."""

    draft: Draft
    graph: Graph
    values: dict[str, Value] = dataclasses.field(default_factory=dict)


Operands = Sequence[Value]
Operator = Callable[[Reading, Node, Operands], Value]


def made(
    reading: Reading, node: Node, operands: Operands, kind: str, attributes: dict | None = None
) -> Value:
    """Add a layer that reads the operands, and return the node's first output."""
    parents = [operand.layer for operand in operands]
    name = drafts.add(reading.draft, node.name, kind, parents, attributes)
    shape = reading.draft.shapes[name]
    last = len(shape) == 4 and operands[0].channels_last
    return Value(name, shape if last else drafts.nchw(shape), last)


def image(operand: Value) -> tuple[int, int, int, int]:
    """Return the NHWC shape of an operand that must be an image with channels first."""
    if len(operand.shape) != 4 or operand.channels_last:
        order = ", channels last" if operand.channels_last else ""
        raise NotCoveredError(f"its input {list(operand.shape)}{order} is not NCHW")
    batch, channels, height, width = operand.shape
    return batch, height, width, channels


def constant(reading: Reading, node: Node, index: int) -> list | None:
    """Return the values of an input that is a small constant, or None if it is left out."""
    if index >= len(node.inputs) or not node.inputs[index]:
        return None
    name = node.inputs[index]
    if name not in reading.graph.constants:
        raise NotCoveredError(f"its input {index} ('{name}') is no constant")
    return reading.graph.constants[name]


def weight(reading: Reading, node: Node, rank: int) -> Shape:
    """Return the shape of the second input, which must be a constant."""
    name = node.inputs[1]
    shape = reading.graph.shapes.get(name)
    if name in reading.values or shape is None:
        raise NotCoveredError("its second input is no constant of known shape")
    if len(shape) != rank:
        raise NotCoveredError(f"its weights {list(shape)} have not {rank} sizes")
    return shape


def target(reading: Reading, node: Node) -> Shape:
    """Return the shape of the first output as ONNX infers it."""
    shape = reading.graph.shapes.get(node.outputs[0])
    if shape is None:
        raise NotCoveredError("its output's shape is not known before it runs")
    if min(shape, default=0) < 1:
        raise NotCoveredError(f"its output {list(shape)} is empty or a single number")
    return shape


def stated_bias(node: Node) -> dict[str, Any]:
    """Return the attribute that says a node has no third input, or nothing."""
    return {} if len(node.inputs) > 2 and node.inputs[2] else {"use_bias": False}
