import pathlib

import pytest

from greennas_jax.importers import onnx_network
from greennas_jax.spec import paleo_json, shapes
from tests.importers.onnx_models import (
    FLOAT,
    Model,
    chain,
    onnx,
    outputs,
    parameters,
    read,
    refused,
    types,
)


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
