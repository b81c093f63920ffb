"""A built network -> ONNX, operators of version OPSET (https://onnx.ai/onnx/operators).

Images are NHWC like everywhere here; one transposition behind the input leads to ONNX's NCHW. A
flatten costs none: rows of the kernel behind it are put in ONNX's order. Token numbers are int32.
The batch size is open, the length of a sequence is the network's own.
"""

import importlib
from typing import Any

from greennas_jax.build import graph
from greennas_jax.build.flax_network import FlaxNetwork, Statistics
from greennas_jax.export import names, onnx_layers, weights
from greennas_jax.export.onnx_writing import Writing
from greennas_jax.spec.network import SpecError

OPSET = 17
IR_VERSION = 8
# What protocol buffers can hold, less what the graph itself takes.
LARGEST = 2**31 - 2**20
INSTALL = "ONNX files need the package 'onnx': pip install 'greennas-jax[onnx]'"


def write(module: FlaxNetwork, statistics: Statistics, title: str) -> bytes:
    """Return a model as the bytes of an ONNX file; it gives logits [N, classes].

    Its input is called `images` (float32, whatever its rank), or `tokens` (int32 [N, S]) where the
    network reads token numbers.

    Args:
      module: From `flax_network.build`.
      statistics: Its batch statistics.
      title: The graph's name.

    Raises:
      SpecError: If a layer has no counterpart, the model is too large, or `onnx` is not installed.
    """
    onnx = _package("onnx")
    values = weights.arrays(module, statistics)
    size = sum(value.nbytes for value in values.values())
    if size > LARGEST:
        raise SpecError(f"{size} bytes of weights; an ONNX file holds {LARGEST} at most")
    nodes = names.live(module.nodes, module.logits)
    reads_tokens = graph.vocabulary(module.nodes) > 0
    entrance = onnx_layers.TOKENS if reads_tokens else onnx_layers.IMAGES
    written = Writing(entrance, names.of(module.nodes), values, [], {})
    for node in nodes:
        onnx_layers.add(written, node)
    end = next(node for node in nodes if node.name == module.logits)
    entry = next(node for node in nodes if node.type == "Input")
    onnx_layers.finish(written, end)
    helper = onnx.helper
    kind = onnx.TensorProto.FLOAT
    read = onnx.TensorProto.INT32 if reads_tokens else kind
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(o.kind, o.inputs, [o.output], **o.options) for o in written.made],
            title,
            [helper.make_tensor_value_info(entrance, read, ["N", *entry.output[1:]])],
            [helper.make_tensor_value_info(onnx_layers.OUTPUT, kind, ["N", end.output[-1]])],
            [onnx.numpy_helper.from_array(a, name) for name, a in written.constants.items()],
            doc_string="Input: float32 NHWC or [N, S, D], or int32 tokens [N, S]. Output: logits.",
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SpecError(INSTALL) from None
