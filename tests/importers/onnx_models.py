"""ONNX models that tests build by hand."""

import pytest

from greennas_jax.costs import counts, layer_table, settings
from greennas_jax.importers import onnx_network
from greennas_jax.importers.draft import Asked
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import SpecError

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
FLOAT = onnx.TensorProto.FLOAT


class Model:
    """An ONNX model under construction; each call adds a node and returns its output."""

    def __init__(self, *shape, name="data"):
        self.nodes, self.weights, self.inputs = [], [], []
        self.input(name, shape)

    def input(self, name, shape):
        self.inputs.append(onnx.helper.make_tensor_value_info(name, FLOAT, shape))
        return name

    def weight(self, *shape):
        name = f"w{len(self.weights)}"
        count = 1
        for size in shape:
            count *= size
        raw = bytes(4 * count)
        self.weights.append(onnx.helper.make_tensor(name, FLOAT, shape, raw, raw=True))
        return name

    def constant(self, values, kind=onnx.TensorProto.INT64):
        name = f"w{len(self.weights)}"
        shape = [len(values)] if isinstance(values, list) else []
        flat = values if isinstance(values, list) else [values]
        self.weights.append(onnx.helper.make_tensor(name, kind, shape, flat))
        return name

    def add(self, kind, *inputs, name=None, outputs=1, **attributes):
        out = name or f"{kind}_{len(self.nodes)}"
        made = [out, *(f"{out}:{index}" for index in range(1, outputs))]
        node = onnx.helper.make_node(kind, list(inputs), made, name=out, **attributes)
        self.nodes.append(node)
        return out

    def conv(
        self, source, inputs, outputs, kernel, *, group=1, bias=False, name=None, **attributes
    ):
        operands = [source, self.weight(outputs, inputs // group, kernel, kernel)]
        operands += [self.weight(outputs)] if bias else []
        return self.add("Conv", *operands, name=name, group=group, **attributes)

    def dense(self, source, inputs, outputs, name=None):
        operands = self.weight(outputs, inputs), self.weight(outputs)
        return self.add("Gemm", source, *operands, name=name, transB=1)

    def norm(self, source, channels, name=None):
        weights = [self.weight(channels) for _ in range(4)]
        return self.add("BatchNormalization", source, *weights, name=name)

    def proto(self, *outputs, opset=17):
        ends = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = onnx.helper.make_graph(self.nodes, "net", self.inputs, ends, self.weights)
        imports = [onnx.helper.make_opsetid("", opset)]
        model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(model)
        known = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
        ends = [
            known[name] if known[name].HasField("type") else self._open(name) for name in outputs
        ]
        graph = onnx.helper.make_graph(self.nodes, "net", self.inputs, ends, self.weights)
        return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)

    def _open(self, name):
        return onnx.helper.make_tensor_value_info(name, FLOAT, None)

    def bytes(self, *outputs, **options):
        return self.proto(*outputs, **options).SerializeToString()


def read(data, **asked):
    network, _ = onnx_network.read(data, asked=Asked(**asked))
    assert paleo_json.read(paleo_json.write(network)) == network
    return network


def outputs(network):
    return {name: s.output for name, s in shapes.infer(network).items()}


def parameters(network):
    table = layer_table.from_network(network)
    return counts.parameters(table, settings.CostSettings()).sum()


def types(network):
    return {entry.name: entry.type for entry in network.layers}


def refused(data, *words, **asked):
    with pytest.raises(SpecError) as error:
        onnx_network.read(data, asked=Asked(**asked))
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def chain(model, source):
    """Add a small classifier and return its end."""
    x = model.conv(source, 3, 8, 3, pads=[1, 1, 1, 1], bias=True, name="conv")
    x = model.add("Relu", x)
    x = model.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], name="pool")
    x = model.add("Flatten", x, name="flat")
    x = model.dense(x, 8 * 16 * 16, 10, name="fc")
    return model.add("Softmax", x, axis=1, name="prob")
