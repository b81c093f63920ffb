import pathlib
import random
import sys

import pytest

from greennas_jax.costs import counts, layer_table, settings
from greennas_jax.importers import onnx_model, onnx_network
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


def test_a_chain():
    model = Model(4, 3, 32, 32, name="image")
    network = read(model.bytes(chain(model, "image")))
    assert types(network) == {
        **{"data": "Input", "conv": "Convolution", "pool": "Pooling", "flat": "Reshape"},
        **{"fc": "InnerProduct", "prob": "Softmax"},
    }
    found = outputs(network)
    assert found["data"] == (4, 32, 32, 3)
    assert found["pool"] == (4, 16, 16, 8)
    assert found["prob"] == (4, 10)
    conv = network.by_name()["conv"].attributes
    assert (conv["activation_fn"], conv["padding"]) == ("relu", "SAME")
    # 3*3*3*8 + 8 + 2048*10 + 10.
    assert parameters(network) == 20_714


def test_batches_open_given_and_replaced():
    model = Model("N", 3, 32, 32)
    data = model.bytes(chain(model, "data"))
    refused(data, "'data' leaves size 0 ('N') open", "--batch_size")
    assert outputs(read(data, batch_size=7))["prob"] == (7, 10)
    fixed = Model(1, 3, 32, 32)
    data = fixed.bytes(chain(fixed, "data"))
    assert outputs(read(data, batch_size=16))["flat"] == (16, 2048)
    open_image = Model("N", 3, "H", "W")
    data = open_image.bytes(chain(open_image, "data"))
    refused(data, "size 2 ('H') open", "--input_shape", batch_size=2)
    assert outputs(read(data, batch_size=2, image=(32, 32, 3)))["pool"] == (2, 16, 16, 8)
    refused(data, "--input_shape says [32, 32, 1]", batch_size=2, image=(32, 32, 1))


def test_grouped_and_depthwise_convolutions():
    model = Model(1, 8, 9, 9)
    x = model.conv("data", 8, 16, 3, group=4, name="grouped", strides=[2, 2])
    x = model.conv(x, 16, 16, 3, group=16, name="depthwise", auto_pad="SAME_UPPER")
    network = read(model.bytes(x))
    layers = network.by_name()
    assert layers["grouped"].attributes["filter"] == [3, 3, 8, 16]
    assert layers["grouped"].attributes["groups"] == 4
    assert layers["depthwise"].attributes["groups"] == 16
    assert outputs(network)["depthwise"] == (1, 4, 4, 16)
    # 9 * 8/4 * 16 and 9 * 16.
    assert parameters(network) == 288 + 144


@pytest.mark.parametrize(
    ("size", "attributes", "expected"),
    [
        (112, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (56, "SAME")),
        (14, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (7, "SAME")),
        (13, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (6, "VALID")),
        (112, {"kernel_shape": [3, 3], "strides": [2, 2]}, (55, "VALID")),
        (112, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}, (56, [1, 1])),
        (112, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}, (56, "SAME")),
        (112, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, (56, "SAME")),
        (112, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}, (56, [1, 1])),
        (9, {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "VALID"}, (4, "VALID")),
    ],
)
def test_pooling_sizes(size, attributes, expected):
    for kind, ours in (("MaxPool", "Pooling"), ("AveragePool", "AvgPool")):
        model = Model(1, 2, size, size)
        network = read(model.bytes(model.add(kind, "data", name="p", **attributes), opset=19))
        assert types(network)["p"] == ours
        assert outputs(network)["p"] == (1, expected[0], expected[0], 2)
        assert network.by_name()["p"].attributes["padding"] == expected[1]


def test_a_residual_block():
    model = Model(2, 16, 8, 8)
    x = model.conv("data", 16, 16, 3, pads=[1] * 4, name="a")
    x = model.add("Relu", model.norm(x, 16))
    x = model.norm(model.conv(x, 16, 16, 3, pads=[1] * 4, name="b"), 16)
    x = model.add("Relu", model.add("Add", x, "data", name="sum"))
    x = model.add("GlobalAveragePool", x, name="mean")
    x = model.dense(model.add("Flatten", x, name="flat"), 16, 5, name="fc")
    network = read(model.bytes(x))
    layers = network.by_name()
    assert list(layers) == ["data", "a", "b", "sum", "mean", "flat", "fc"]
    assert layers["a"].attributes["normalizer_fn"] == "batch_norm"
    assert layers["a"].attributes["activation_fn"] == "relu"
    assert layers["b"].attributes["activation_fn"] is None
    assert layers["sum"].parents == ("b", "data")
    assert layers["sum"].attributes["activation_fn"] == "relu"
    assert layers["mean"].attributes["ksize"] == [1, 8, 8, 1]
    # Two of 9*16*16 + 2*16, and 16*5 + 5.
    assert parameters(network) == 2 * (2304 + 32) + 85


def test_a_batch_norm_that_others_read_stays():
    model = Model(1, 4, 6, 6)
    x = model.conv("data", 4, 4, 1, name="a")
    n = model.norm(x, 4, name="n")
    network = read(model.bytes(model.add("Concat", x, n, axis=1, name="end")))
    assert types(network)["n"] == "BatchNorm"
    assert outputs(network)["end"] == (1, 6, 6, 8)
    # An output of the network is not folded over either.
    model = Model(1, 4, 6, 6)
    x = model.conv("data", 4, 4, 1, name="a")
    network = read(model.bytes(x, model.add("Relu", x, name="r")))
    assert types(network)["r"] == "ReLU"


def test_activations():
    model = Model(1, 4, 6, 6)
    x = model.conv("data", 4, 4, 1, name="six")
    zero, six = (model.constant(value, FLOAT) for value in (0.0, 6.0))
    x = model.conv(model.add("Clip", x, zero, six), 4, 4, 1, name="leaky")
    x = model.conv(model.add("LeakyRelu", x, alpha=0.5), 4, 4, 1, name="silu")
    x = model.add("Mul", model.add("Sigmoid", x), x)
    x = model.conv(x, 4, 4, 1, name="tanh")
    x = model.add("Elu", model.add("Tanh", x), name="elu")
    network = read(model.bytes(x))
    layers = network.by_name()
    found = {name: layers[name].attributes["activation_fn"] for name in ("six", "leaky", "silu")}
    assert found == {"six": "relu6", "leaky": "relu", "silu": "silu"}
    assert layers["leaky"].attributes["negative_slope"] == 0.5
    assert layers["tanh"].attributes["activation_fn"] == "tanh"
    assert paleo_json.unknown_types(network) == {"Elu": ("elu",)}
    old = Model(1, 4)
    network = read(old.bytes(old.add("Clip", "data", min=0.0, max=6.0, name="c"), opset=6))
    assert network.by_name()["c"].attributes["activation_fn"] == "relu6"


def test_products_with_constants_and_biases_of_their_own():
    model = Model(3, 4, 5, 5)
    x = model.add("Add", model.conv("data", 4, 6, 1, name="a"), model.weight(6, 1, 1))
    x = model.add("Reshape", x, model.constant([0, -1]), name="flat")
    x = model.add("MatMul", x, model.weight(150, 7), name="fc")
    x = model.add("Add", x, model.weight(7))
    x = model.add("Mul", x, model.weight(1), name="scaled")
    network = read(model.bytes(x))
    assert types(network) == {
        **{"data": "Input", "a": "Convolution", "flat": "Reshape", "fc": "InnerProduct"},
        "scaled": "Mul",
    }
    assert parameters(network) == 4 * 6 + 6 + 150 * 7 + 7


def test_transposed_convolution_and_enlarging():
    model = Model(2, 8, 5, 7)
    x = model.add(
        "ConvTranspose",
        "data",
        model.weight(8, 4, 3, 3),
        name="up",
        strides=[2, 2],
        pads=[1] * 4,
        output_padding=[1, 1],
    )
    scales = model.constant([1.0, 1.0, 2.0, 3.0], FLOAT)
    x = model.add("Resize", x, "", scales, mode="nearest", name="more")
    network = read(model.bytes(x), batch_size=3)
    # 2 * (5 - 1) + 1 + 3 - 2 = 10 and 14; then twice and three times as many.
    assert outputs(network)["up"] == (3, 10, 14, 4)
    assert outputs(network)["more"] == (3, 20, 42, 4)
    assert parameters(network) == 8 * 4 * 9


def test_shapes_that_the_graph_computes():
    model = Model("N", 4, 6, 6)
    x = model.add("Dropout", model.add("AveragePool", "data", kernel_shape=[6, 6]), name="drop")
    batch = model.add("Gather", model.add("Shape", x), model.constant(0), axis=0)
    batch = model.add("Unsqueeze", batch, model.constant([0]))
    shape = model.add("Concat", batch, model.constant([-1]), axis=0)
    x = model.dense(model.add("Reshape", x, shape, name="flat"), 4, 3, name="fc")
    network = read(model.bytes(x), batch_size=5)
    assert list(types(network)) == ["data", "AveragePool_0", "drop", "flat", "fc"]
    assert network.by_name()["drop"].attributes["dropout_keep_prob"] == 0.5
    assert outputs(network)["fc"] == (5, 3)


def test_means_over_the_image_and_softmax_over_channels():
    model = Model(2, 4, 6, 6)
    x = model.add("LRN", model.add("Identity", "data"), size=5, name="lrn")
    mean = model.add("ReduceMean", x, axes=[-1, -2], keepdims=0, name="mean")
    pooled = model.add("Softmax", model.add("GlobalMaxPool", x), axis=1, name="soft")
    end = model.add("Flatten", pooled)
    network = read(model.bytes(mean, end))
    assert outputs(network)["mean_2"] == (2, 4)
    assert types(network)["soft"] == "Softmax"
    assert outputs(network)["soft"] == (2, 4)


def test_transpositions_between_orders():
    model = Model(2, 10, 12, 3)
    x = model.add("Transpose", "data", perm=[0, 3, 1, 2])
    x = model.conv(x, 3, 5, 3, name="a")
    x = model.add("Relu", model.add("Transpose", x, perm=[0, 2, 3, 1]))
    x = model.add("Reshape", x, model.constant([2, -1]), name="flat")
    network = read(model.bytes(model.dense(x, 400, 4, name="fc")), batch_size=6)
    assert outputs(network)["data"] == (6, 10, 12, 3)
    assert outputs(network)["a"] == (6, 8, 10, 5)
    assert outputs(network)["fc"] == (6, 4)
    assert network.by_name()["a"].attributes["activation_fn"] == "relu"


def test_scales_and_offsets_behind_normalisation():
    model = Model(2, 4, 6, 6)
    x = model.norm(model.conv("data", 4, 4, 1, name="a"), 4)
    x = model.add("Mul", x, model.weight(4, 1, 1))
    x = model.add("Relu", model.add("Add", x, model.weight(1, 4, 1, 1)))
    x = model.add("Mul", x, model.weight(4, 1, 1), name="later")
    network = read(model.bytes(x))
    assert list(types(network).values()) == ["Input", "Convolution", "Scale"]
    assert network.by_name()["a"].attributes["activation_fn"] == "relu"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Published counts; the average of GoogLeNet's last pooling is told with zeros behind.
        ("bvlc_alexnet", 60_965_224),
        ("densenet121", 7_978_856),
        ("inception_v1", 6_998_552),
        ("resnet50", 25_557_032),
        ("squeezenet", 1_235_496),
        ("vgg19", 143_667_240),
    ],
)
def test_published_models(name, expected):
    folder = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    path = folder / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip("this version of onnx comes without its light models")
    network = read(path.read_bytes(), batch_size=4)
    assert parameters(network) == expected
    assert shapes.infer(network)[network.layers[-1].name].output[0] == 4
    assert not paleo_json.unknown_types(network)


def test_dead_branches_and_several_inputs():
    model = Model(2, 3, 4, 4)
    model.input("second", (2, 3, 4, 4))
    model.conv("data", 3, 4, 1, name="dead")
    network, _ = onnx_network.read(model.bytes(model.add("Sum", "data", "second", name="sum")))
    assert list(types(network)) == ["data", "second", "sum"]


def test_weights_that_serve_twice_are_noted():
    model = Model(1, 4)
    weight = model.weight(4, 4)
    x = model.add("MatMul", model.add("MatMul", "data", weight), weight)
    _, notes = onnx_network.read(model.bytes(x))
    assert notes == ("weights 'w0' serve 2 nodes and are counted in each",)


def test_weights_outside_the_file_are_not_opened():
    model = Model(4, 3, 32, 32)
    proto = model.proto(chain(model, "data"))
    for tensor in proto.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "/absent/../weights.bin"
    assert parameters(read(proto.SerializeToString())) == 20_714


def test_what_is_not_covered_is_told_in_one_line():
    model = Model(2, 4, 6, 6)
    x = model.add("Transpose", "data", perm=[0, 1, 3, 2], name="turn")
    x = model.conv(x, 4, 4, 3, dilations=[2, 2], name="wide")
    y = model.add("DepthToSpace", "data", blocksize=2, name="deep")
    z = model.add("Mul", "data", model.add("GlobalAveragePool", "data"), name="gate")
    n = model.add("NonZero", z, name="where")
    refused(
        model.bytes(x, y, n),
        *("not covered:", "Transpose (node 'turn'", "DepthToSpace (node 'deep'"),
        *("Mul (node 'gate'", "differ", "NonZero (node 'where'"),
    )
    model = Model(2, 4, 6, 6)
    refused(model.bytes(model.conv("data", 4, 4, 3, dilations=[2, 2], name="w")), "dilated", "'w'")
    model = Model(2, 4, 6, 6)
    model.input("kernel", (4, 4, 1, 1))
    refused(model.bytes(model.add("Conv", "data", "kernel", name="c")), "no constant", "'c'")
    model = Model(2, 4, 6)
    refused(model.bytes(model.add("MaxPool", "data", kernel_shape=[2], name="p")), "not NCHW")


def test_sizes_without_a_padding_are_refused():
    model = Model(1, 2, 8, 8)
    x = model.conv("data", 2, 2, 3, pads=[0, 0, 1, 1], name="odd")
    refused(model.bytes(x), "node 'odd'", "no padding")


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a model", b"{}", bytes(1000), b"\x08\x08"])
def test_files_that_are_no_model(data):
    refused(data, "not")


def test_invalid_models_are_refused():
    model = Model(1, 4)
    refused(model.proto(model.add("Relu", "data")).graph.SerializeToString(), "")
    proto = Model(1, 4)
    good = proto.proto(proto.add("Relu", "data", name="r"))
    good.graph.node[0].op_type = "Rectify"
    refused(good.SerializeToString(), "not a valid ONNX model", "Rectify")
    good.graph.node[0].op_type = "Relu"
    good.graph.node[0].input[0] = "absent"
    refused(good.SerializeToString(), "not a valid ONNX model", "absent")
    good.graph.node[0].input[0] = "data"
    good.ir_version = 10_000
    refused(good.SerializeToString(), "not a valid ONNX model", "ir_version")
    del good.opset_import[:]
    refused(good.SerializeToString(), "operators")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(b"", onnx_model.INSTALL, "greennas-jax[onnx]")


def _all_kinds():
    model = Model(2, 4, 8, 8)
    x = model.add("Relu", model.norm(model.conv("data", 4, 4, 3, pads=[1] * 4), 4))
    x = model.add("Add", x, "data")
    x = model.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = model.add("Reshape", x, model.constant([0, -1]))
    return model.bytes(model.dense(x, 64, 3))


def test_every_cut_is_refused():
    data = _all_kinds()
    for end in range(0, len(data), 13):
        refused(data[:end], "")


def test_every_corruption_is_read_or_refused():
    draw = random.Random(3)
    data = _all_kinds()
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(data))] = draw.randrange(256)
        try:
            onnx_network.read(bytes(damaged))
        except SpecError as error:
            assert "\n" not in str(error)
