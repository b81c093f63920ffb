import json

import numpy as np
import pytest

from greennas_jax.export import weights
from greennas_jax.spec import paleo_json, shapes
from tests.experiments.programs import SPEC, assert_refused, run
from tests.export import cases

NET = """name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 8 dim: 3 dim: 16 dim: 16 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "odd" type: "Power" bottom: "pool" top: "odd" }
layer { name: "fc" type: "InnerProduct" bottom: "odd" top: "fc"
  inner_product_param { num_output: 10 } }
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(NET, encoding="utf-8")
    return path


def test_a_prototxt_becomes_a_network(net, tmp_path):
    out = tmp_path / "net.json"
    result = run("convert", f"--input={net}", f"--output={out}", "--batch_size=2")
    assert (result.returncode, result.stderr) == (0, "")
    # 3*3*3*4 + 4 + 8*8*4*10 + 10.
    assert "5 layers, 2682 parameters" in result.stdout
    assert "'Power' is not known" in result.stdout
    network = paleo_json.load(out)
    assert network.attributes["source"] == "deploy.prototxt (Caffe)"
    assert shapes.infer(network)["pool"].output == (2, 8, 8, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deploy.prototxt", "net.json"]


def test_an_onnx_model_becomes_a_network(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> '
        "net (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) { y = Relu(x) }"
    )
    path, out = tmp_path / "model.bin", tmp_path / "net.json"
    path.write_bytes(model.SerializeToString())
    assert_refused(run("convert", f"--input={path}", f"--output={out}"), "model.bin", "--format")
    flags = (f"--input={path}", f"--output={out}", "--format=onnx")
    assert_refused(run("convert", *flags), "model.bin", "'N'", "--batch_size")
    assert not out.exists()
    assert run("convert", *flags, "--batch_size=3").returncode == 0
    assert json.loads(out.read_text())["layers"]["data"]["tensor"] == [3, 8, 8, 3]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--input=absent.prototxt", ("absent.prototxt", "No such file")),
        ("--format=onnx", ("deploy.prototxt", "ONNX")),
        ("--input_shape=8,8", ("'8,8'", "HEIGHT,WIDTH,CHANNELS")),
        ("--input_shape=8,8,1", ("line 2", "--input_shape says [8, 8, 1]")),
        ("--strict", ("'Power'", "--strict")),
        ("--output=/absent/net.json", ("/absent/net.json",)),
    ],
)
def test_bad_flags_are_one_clear_line(net, tmp_path, flag, words):
    out = tmp_path / "net.json"
    assert_refused(run("convert", f"--input={net}", f"--output={out}", flag), *words)
    assert not out.exists()


def test_bad_files_leave_what_was_there(net, tmp_path):
    out = tmp_path / "net.json"
    out.write_text("before")
    cut = tmp_path / "cut.prototxt"
    cut.write_text(NET[: NET.index("kernel_size: 3 stride")])
    assert_refused(
        run("convert", f"--input={cut}", f"--output={out}"), str(cut), "line 8", "ends inside"
    )
    cut.write_bytes(b'name: "\xff"')
    assert_refused(
        run("convert", f"--input={cut}", f"--output={out}"), str(cut), "line 1, column 8", "UTF-8"
    )
    large = tmp_path / "large.prototxt"
    with open(large, "wb") as file:
        file.truncate(2**30)
    assert_refused(run("convert", f"--input={large}", f"--output={out}"), str(large), "larger than")
    assert_refused(run("convert", f"--input={net}", f"--output={net}"), str(net), "two files")
    assert out.read_text() == "before"
    assert net.read_text() == NET


@pytest.mark.slow
def test_a_network_becomes_code_and_onnx(tmp_path):
    spec, stored = tmp_path / "net.json", tmp_path / "w.safetensors"
    spec.write_text(json.dumps(SPEC))
    code, model = tmp_path / "net.py", tmp_path / "net.onnx"
    result = run("convert", f"--input={spec}", f"--output={code}")
    assert (result.returncode, result.stderr) == (0, "")
    assert "class Tiny(nnx.Module)" in code.read_text()
    result = run("convert", f"--input={spec}", f"--output={code}", f"--weights={stored}")
    assert_refused(result, "--weights", "net.py")
    pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    module, statistics = cases.built(paleo_json.load(spec), seed=4)
    weights.save(stored, module, statistics)
    result = run("convert", f"--input={spec}", f"--output={model}", f"--weights={stored}")
    assert (result.returncode, result.stderr) == (0, "")
    images = cases.inputs(module)
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected = cases.logits(module, statistics, images)
    np.testing.assert_allclose(session.run(None, {"images": images})[0], expected, atol=1e-4)
    result = run("convert", f"--input={spec}", f"--output={model}", "--seed=3")
    assert "not trained: weights are drawn from seed 3" in result.stdout


def test_help():
    result = run("convert", "--help")
    assert result.returncode == 0
    assert "python experiments/convert.py" in result.stdout
    assert "--input_shape" in result.stdout
