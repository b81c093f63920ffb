"""An ONNX file as plain records: nodes, shapes of every tensor, and small constants.

Only shapes of weights are read, never their values; weights outside the file are not opened. Shapes
are those of ONNX's own inference (https://onnx.ai/onnx/repo-docs/ShapeInference.html).
"""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from greennas_jax.importers.draft import Asked
from greennas_jax.spec import limits
from greennas_jax.spec.network import SpecError, shown

LARGEST_FILE = limits.LARGEST_ONNX
LARGEST_CONSTANT = 1024
INSTALL = "ONNX files need the package 'onnx': pip install 'greennas-jax[onnx]'"
TO_CHANNELS_FIRST = (0, 3, 1, 2)


class Node(NamedTuple):
    """One operation; inputs that are left out are empty strings."""

    name: str
    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """An ONNX graph.

    Attributes:
      name: The graph's name.
      opset: Version of ONNX's own operators.
      nodes: Nodes, each behind those it reads.
      inputs: Names of the inputs, weights aside.
      channels_last: Inputs that are images with channels last.
      outputs: Names of the outputs.
      weights: Names of the initializers.
      shapes: Shapes of the tensors, as far as they are known, in ONNX's order.
      constants: Values of small constants, flat.
      readers: How many nodes and outputs read each tensor.
    """

    name: str
    opset: int
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    channels_last: frozenset[str]
    outputs: tuple[str, ...]
    weights: frozenset[str]
    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, list]
    readers: Mapping[str, int]


def read(data: bytes, asked: Asked) -> Graph:
    """Read a model.

    Args:
      data: The file's bytes.
      asked: What the user states about the input; it fills sizes that the model leaves open.

    Raises:
      SpecError: If the bytes are no valid model, or a size is open that nobody states.
    """
    onnx, message = _package("onnx"), _package("google.protobuf.message")
    try:
        model = onnx.load_from_string(data)
    except message.DecodeError as error:
        raise SpecError(f"not an ONNX model, or cut off: {_line(error)}") from None
    if not model.graph.node:
        raise SpecError("no graph with nodes; not an ONNX model, or cut off")
    opsets = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not opsets:
        raise SpecError("no version of ONNX's operators; not an ONNX model, or cut off")
    _check_names(model.graph)
    weights = frozenset(tensor.name for tensor in model.graph.initializer)
    inputs = tuple(i.name for i in model.graph.input if i.name not in weights)
    last = frozenset(i for i in inputs if _is_channels_last(model.graph, i))
    _lighten(onnx, model)
    for value in model.graph.input:
        if value.name in inputs:
            _close(value, asked, value.name in last)
    try:
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except _refusals(onnx) as error:
        raise SpecError(f"not a valid ONNX model: {_line(error)}") from None
    return _graph(onnx, model.graph, opsets[0], inputs, last, weights)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SpecError(INSTALL) from None


def _refusals(onnx: Any) -> tuple[type[Exception], ...]:
    """Return what ONNX raises for a model that is not valid."""
    checked = onnx.checker.ValidationError, onnx.shape_inference.InferenceError
    return (*checked, RuntimeError, ValueError, TypeError)


def _check_names(graph: Any) -> None:
    """Refuse names that are no text, which protocol buffers hand out as bytes."""
    names = [graph.name]
    for node in graph.node:
        names += (node.name, node.op_type, node.domain, *node.input, *node.output)
        names += (attribute.name for attribute in node.attribute)
    for values in (graph.initializer, graph.input, graph.value_info, graph.output):
        names += (value.name for value in values)
    if any(isinstance(name, bytes) for name in names):
        raise SpecError("not an ONNX model: a name is no UTF-8 text")


def _line(error: Exception) -> str:
    """Return the first line of an error, which may be long."""
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else f"{words[:297]}..."


def _lighten(onnx: Any, model: Any) -> None:
    """Replace large weights by inputs of their shapes: inference needs no more."""
    graph = model.graph
    known = {value.name for value in graph.input}
    small = []
    for tensor in graph.initializer:
        count = 1
        for size in tensor.dims:
            count *= size
        if count <= LARGEST_CONSTANT and tensor.data_location != onnx.TensorProto.EXTERNAL:
            small.append(tensor)
        elif tensor.name not in known:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in small]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _is_channels_last(graph: Any, name: str) -> bool:
    """Return whether an input is only read by transpositions that put channels first."""
    perms = []
    for node in graph.node:
        if name in node.input:
            perm = [tuple(a.ints) for a in node.attribute if a.name == "perm"]
            perms.append(node.op_type == "Transpose" and perm == [TO_CHANNELS_FIRST])
    return bool(perms) and all(perms)


def _close(value: Any, asked: Asked, channels_last: bool) -> None:
    """Fill the sizes that an input leaves open with those that the user states."""
    name = shown(value.name)
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise SpecError(f"input {name} is no tensor of known shape")
    dims = value.type.tensor_type.shape.dim
    if not dims:
        raise SpecError(f"input {name} is a single number; a batch is needed")
    image = asked.image
    stated: list[int | None] = [asked.batch_size]
    if image is not None and len(dims) == 4:
        stated += [*image] if channels_last else [image[2], image[0], image[1]]
    for index, dim in enumerate(dims):
        if dim.HasField("dim_value") and dim.dim_value > 0:
            continue
        size = stated[index] if index < len(stated) else None
        if size is None:
            missing = "--batch_size" if index == 0 else "--input_shape=HEIGHT,WIDTH,CHANNELS"
            open_size = f" ({shown(dim.dim_param)})" if dim.dim_param else ""
            raise SpecError(
                f"input {name} leaves size {index}{open_size} open; {missing} is needed"
            )
        dim.dim_value = size


def _graph(
    onnx: Any,
    graph: Any,
    opset: int,
    inputs: tuple[str, ...],
    channels_last: frozenset[str],
    weights: frozenset[str],
) -> Graph:
    nodes = tuple(_node(onnx, node, index) for index, node in enumerate(graph.node))
    outputs = tuple(value.name for value in graph.output)
    readers: dict[str, int] = {}
    for name in (*(name for node in nodes for name in node.inputs), *outputs):
        readers[name] = readers.get(name, 0) + 1
    shapes, constants = {}, {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = _shape(value)
        if shape is not None:
            shapes[value.name] = shape
    for tensor in graph.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
        constants[tensor.name] = _values(onnx, tensor)
    for node in nodes:
        tensor = node.attributes.get("value")
        if node.operation == "Constant" and tensor is not None:
            shapes[node.outputs[0]] = tuple(tensor.dims)
            constants[node.outputs[0]] = _values(onnx, tensor)
    return Graph(
        name=graph.name,
        opset=opset,
        nodes=nodes,
        inputs=inputs,
        channels_last=channels_last,
        outputs=outputs,
        weights=weights,
        shapes=shapes,
        constants={name: values for name, values in constants.items() if values is not None},
        readers=readers,
    )


def _node(onnx: Any, node: Any, index: int) -> Node:
    attributes = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        attributes[attribute.name] = (
            value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        )
    own = node.domain in ("", "ai.onnx")
    kind = node.op_type if own else f"{node.domain}::{node.op_type}"
    name = node.name.lstrip("/") or next((o for o in node.output if o), f"{kind}_{index}")
    return Node(name, kind, tuple(node.input), tuple(node.output), attributes)


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return a tensor's shape, or None if a size is open."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    if any(not dim.HasField("dim_value") for dim in dims):
        return None
    return tuple(dim.dim_value for dim in dims)


def _values(onnx: Any, tensor: Any) -> list | None:
    """Return a small tensor's values, or None."""
    count = 1
    for size in tensor.dims:
        count *= size
    if not 0 <= count <= LARGEST_CONSTANT or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    try:
        return onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
    except (ValueError, TypeError) as error:
        raise SpecError(f"constant {shown(tensor.name)} is malformed: {_line(error)}") from None
