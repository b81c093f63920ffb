import random
import sys

import pytest

from greennas_jax.importers import onnx_model, onnx_network
from greennas_jax.spec.network import SpecError
from tests.importers.onnx_models import Model, refused


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
