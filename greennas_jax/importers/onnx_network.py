"""ONNX models: the graph of a file as a network.

What depends on constants and shapes alone is not computed by the network and is left out. What no
output needs is left out as well.
"""

from greennas_jax.importers import draft as drafts
from greennas_jax.importers import onnx_model, onnx_operators
from greennas_jax.importers.draft import Asked, Draft, Imported
from greennas_jax.importers.onnx_model import Node
from greennas_jax.importers.onnx_operators import NotCoveredError, Reading, Value
from greennas_jax.spec.network import SpecError, shown

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOST_NAMED = 8


def read(
    data: bytes,
    *,
    source: str = "ONNX",
    asked: Asked = drafts.NOTHING_ASKED,
) -> Imported:
    """Read a network from an ONNX model.

    Args:
      data: The file's bytes.
      source: Where it came from, kept in the network's text.
      asked: What the user states about the input.

    Raises:
      SpecError: If the model is malformed, or holds operators that are not covered; all of these
        are named in one line.
    """
    graph = onnx_model.read(data, asked)
    reading = Reading(Draft(), graph)
    constants = set(graph.weights)
    not_covered: list[str] = []
    lost: set[str] = set()
    for node in graph.nodes:
        if lost.intersection(node.inputs) and node.operation in onnx_operators.OPERATORS:
            lost.update(node.outputs)
            continue
        if node.operation == "Shape" or constants.issuperset(filter(None, node.inputs)):
            constants.update(node.outputs)
            continue
        try:
            reading.values[node.outputs[0]] = _read_node(reading, node, asked)
        except NotCoveredError as error:
            not_covered.append(f"{node.operation} (node {shown(node.name)}: {error})")
            lost.update(node.outputs)
        except SpecError as error:
            raise SpecError(f"node {shown(node.name)} ({node.operation}): {error}") from None
    if not_covered:
        raise SpecError(_not_covered(not_covered))
    _note_shared_weights(reading)
    outputs = [reading.values[name].layer for name in graph.outputs if name in reading.values]
    name = graph.name or "network"
    return drafts.finish(reading.draft, name, source, outputs=outputs, batch_size=asked.batch_size)


def _read_node(reading: Reading, node: Node, asked: Asked) -> Value:
    """Add what a node computes and return its first output.

    Raises:
      NotCoveredError: If the specification has no counterpart.
      SpecError: If the shapes disagree.
    """
    graph = reading.graph
    operator = onnx_operators.OPERATORS.get(node.operation)
    if operator is None:
        raise NotCoveredError("no such operator in the specification")
    if any(graph.readers.get(name) for name in node.outputs[1:]):
        raise NotCoveredError("its second output is read")
    operands = []
    for name in node.inputs:
        if name in graph.inputs and name not in reading.values:
            reading.values[name] = _input(reading, name, asked)
        if name in reading.values:
            operands.append(reading.values[name])
    if not operands or (node.inputs[0] not in reading.values and len(operands) == 1):
        if node.operation not in ("Add", "Mul", "Sum", "Max", "Min", "Sub", "Div"):
            raise NotCoveredError("its first input is a constant")
    value = operator(reading, node, operands)
    _check_shape(reading, node, value)
    return value


def _input(reading: Reading, name: str, asked: Asked) -> Value:
    """Add an input, which becomes a layer when it is first read."""
    graph = reading.graph
    value = Value(name, graph.shapes[name], name in graph.channels_last)
    made = drafts.add_input(reading.draft, name, value.nhwc, asked)
    return value._replace(layer=made)


def _check_shape(reading: Reading, node: Node, value: Value) -> None:
    """Refuse a layer whose output is not of the shape that ONNX infers."""
    inferred = reading.graph.shapes.get(node.outputs[0])
    if inferred is not None and inferred != value.shape:
        raise SpecError(f"output {list(value.shape)}, where ONNX infers {list(inferred)}")
    made = reading.draft.shapes[value.layer]
    if made != value.nhwc and reading.draft.layers[value.layer].type != "Softmax":
        raise SpecError(f"output {list(made)}, where {list(value.nhwc)} is needed")


def _not_covered(found: list[str]) -> str:
    more = len(found) - _MOST_NAMED
    told = "; ".join(found[:_MOST_NAMED])
    return f"not covered: {told}" + (f"; and {more} more nodes" if more > 0 else "")


def _note_shared_weights(reading: Reading) -> None:
    """Remark on weights that several layers share: each layer counts them."""
    users: dict[str, int] = {}
    for node in reading.graph.nodes:
        if node.operation in _WEIGHTED and len(node.inputs) > 1:
            users[node.inputs[1]] = users.get(node.inputs[1], 0) + 1
    shared = [name for name, count in users.items() if count > 1]
    if shared:
        reading.draft.notes.append(
            f"weights {shown(shared[0])} serve {users[shared[0]]} nodes and are counted in each"
            + (f" (as are {len(shared) - 1} more)" if len(shared) > 1 else "")
        )
