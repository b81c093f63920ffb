"""A graph of ONNX in the making: operations, constants, and activations."""

from typing import Any, NamedTuple

import numpy as np

from greennas_jax.export import names

_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


class Operation(NamedTuple):
    """One operation of ONNX with one output."""

    kind: str
    inputs: list[str]
    output: str
    options: dict[str, Any]


class Writing(NamedTuple):
    """A graph in the making.

    Attributes:
      input: Name of the graph's input.
      names: Identifiers of the layers.
      values: All weights by name.
      made: Operations so far.
      constants: Weights and constants that they read.
    """

    input: str
    names: names.Names
    values: dict[str, np.ndarray]
    made: list[Operation]
    constants: dict[str, np.ndarray]


def output_of(writing: Writing, layer: str) -> str:
    """Return the name of a layer's output; with its dot it is no other value's name."""
    return f"{writing.names.layers[layer]}.value"


def add(writing: Writing, kind: str, inputs: list[str], **options: Any) -> str:
    """Add an operation and return its output."""
    output = f"t{len(writing.made)}"
    writing.made.append(Operation(kind, inputs, output, options))
    return output


def constant(writing: Writing, name: str, value: np.ndarray) -> str:
    """Add an array by name and return the name."""
    writing.constants[name] = np.asarray(value, order="C")
    return name


def weight(writing: Writing, name: str) -> str:
    """Add a weight of the network and return its name."""
    return constant(writing, name, writing.values[name])


def number(writing: Writing, value: float) -> str:
    """Add a float32 number and return its name."""
    return constant(writing, f"number_{value!r}", np.array(value, np.float32))


def shape(writing: Writing, sizes: tuple[int, ...]) -> str:
    """Add the shape [N, ...sizes], N being copied, and return its name."""
    name = "shape_" + "_".join(map(str, sizes))
    return constant(writing, name, np.array([0, *sizes], np.int64))


def activated(writing: Writing, activation: str | None, value: str) -> str:
    """Add an activation by name and return its output; None is the identity."""
    match activation:
        case None:
            return value
        case "relu6":
            limits = [number(writing, 0.0), number(writing, 6.0)]
            return add(writing, "Clip", [value, *limits])
        case "silu":
            return add(writing, "Mul", [value, add(writing, "Sigmoid", [value])])
        case "gelu":
            return _gelu(writing, value)
    return add(writing, _ACTIVATIONS[activation], [value])


def _gelu(writing: Writing, value: str) -> str:
    """Add x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel 2016)."""
    square = add(writing, "Mul", [value, value])
    cubic = add(writing, "Mul", [square, number(writing, 0.044715)])
    factor = add(writing, "Add", [cubic, number(writing, 1.0)])
    inner = add(writing, "Mul", [value, factor])
    scaled = add(writing, "Mul", [inner, number(writing, float(np.sqrt(2 / np.pi)))])
    gate = add(writing, "Add", [add(writing, "Tanh", [scaled]), number(writing, 1.0)])
    half = add(writing, "Mul", [value, number(writing, 0.5)])
    return add(writing, "Mul", [half, gate])
