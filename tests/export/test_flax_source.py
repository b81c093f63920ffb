import ast
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx

from greennas_jax.export import flax_source, weights
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError
from tests.accuracy import networks, transformers
from tests.export import cases

ALL = networks.ALL | {
    "vit": lambda: transformers.vit(blocks=1),
    "bert": lambda: transformers.bert(blocks=1),
    "gpt": lambda: transformers.gpt(blocks=1),
    "translator": transformers.translator,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sources")


def _called(network, images, **options):
    return jax.jit(lambda network, images: network(images, **options))(network, images)


def _network(layers, name="tiny"):
    data = {"type": "Input", "parents": [], "tensor": [2, 6, 6, 2]}
    return paleo_json.read(json.dumps({"name": name, "layers": {"data": data, **layers}}))


def _conv(parent, channels=2, **attributes):
    window = {"filter": [3, 3, -1, channels], "strides": [1, 1, 1, 1], "padding": "SAME"}
    return {"type": "Convolution", "parents": [parent], **window, **attributes}


@pytest.mark.parametrize("name", ALL)
def test_the_source_computes_what_the_built_network_does(name, folder):
    network = ALL[name]()
    path, stored = folder / f"{name}.py", folder / f"{name}.safetensors"
    path.write_text(flax_source.write(network))
    module, statistics = cases.built(network)
    weights.save(stored, module, statistics)
    images = cases.inputs(module)
    found = _called(cases.imported(path).load(str(stored)), images)
    expected = cases.logits(module, statistics, images)
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module.split(".")[0]


def test_sources_stand_alone_and_are_formatted(folder, specs):
    found = folder / "formatted"
    found.mkdir()
    for name, network in ALL.items():
        (found / f"{name}.py").write_text(flax_source.write(network()))
    for name in ("resnet50", "mobilenet_v1", "vit_b16"):
        text = flax_source.write(paleo_json.load(specs / f"{name}.json"))
        (found / f"{name}.py").write_text(text)
    for path in found.iterdir():
        tree = ast.parse(path.read_text())
        assert set(_imports(tree)) <= {"jax", "flax", "safetensors"}
        top = {alias.name for n in tree.body if isinstance(n, ast.Import) for alias in n.names}
        assert top <= {"jax", "jax.numpy"}
        assert "greennas" not in path.read_text()
    ruff = pathlib.Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    for length in ("88", "100"):
        command = [ruff, "format", "--check", "--isolated", f"--line-length={length}", found]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    check = [ruff, "check", "--isolated", "--select=E,F,I,UP,B", "--line-length=88", found]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


ODD = (
    *("1st layer", "a/b", "a b", "a_b", "class", "x", "self", "train", "naïve", "/", "é"),
    *('\'"""', "jnp", "deep/" * 30 + "end", "deep/" * 30 + "other"),
)


def test_odd_names_become_identifiers_of_their_own(folder):
    layers, parent = {}, "data"
    for name in ODD:
        layers[name] = _conv(parent, normalizer_fn="batch_norm")
        parent = name
    layers["a_b_norm"] = _conv(parent)
    layers["sum"] = {"type": "Elementwise", "parents": ["a_b_norm", "a/b", "é"]}
    layers["fc"] = {"type": "InnerProduct", "parents": ["sum"], "num_outputs": 3}
    network = _network(layers, name='3 """odd""" \\ nets')
    path, stored = folder / "odd.py", folder / "odd.safetensors"
    text = flax_source.write(network)
    path.write_text(text)
    module, statistics = cases.built(network)
    weights.save(stored, module, statistics)
    images = cases.inputs(module)
    made = cases.imported(path)
    assert made.Network3OddNets
    found = _called(made.load(str(stored)), images)
    expected = cases.logits(module, statistics, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert max(map(len, text.splitlines())) <= 88
    assert "self.layer_1st_layer = " in text and "self.class_ = " in text


def test_fresh_weights_and_training(folder):
    path = folder / "trained.py"
    path.write_text(flax_source.write(networks.mobile()))
    network = jax.jit(cases.imported(path).create)(jax.random.key(3))
    # Gain 2 over a fan-in of 12 x 1 x 1.
    assert np.std(network.pw2.kernel[...]) == pytest.approx(np.sqrt(2 / 12), rel=0.2)
    images = np.random.default_rng(0).normal(size=(4, 10, 10, 1)).astype(np.float32)

    @jax.jit
    def step(network, images):
        out = network(images, training=True)
        return out, nnx.state(network, nnx.BatchStat)

    _, state = step(network, images)
    # 0.9 x 0 + 0.1 x the batch's mean.
    first = jax.jit(lambda network, images: network.conv(images))(network, images)
    expected = 0.1 * np.asarray(first).mean((0, 1, 2))
    np.testing.assert_allclose(state["conv_norm"]["mean"][...], expected, rtol=1e-4, atol=1e-6)


def test_dropout_needs_a_key_in_training_alone(folder):
    network = _network(
        {
            "drop": {"type": "Dropout", "parents": ["data"], "dropout_keep_prob": 0.5},
            "none": {"type": "Dropout", "parents": ["drop"], "dropout_keep_prob": 1.0},
        }
    )
    path = folder / "drop.py"
    path.write_text(flax_source.write(network))
    made = cases.imported(path).create(jax.random.key(0))
    ones = np.ones((1, 6, 6, 2), np.float32)
    np.testing.assert_array_equal(made(ones), [[1.0, 1.0]])
    # Each of 36 positions is 0 or 2.
    dropped = 18 * np.asarray(made(ones, training=True, rngs=nnx.Rngs(dropout=1)))
    np.testing.assert_allclose(dropped, np.round(dropped), atol=1e-5)
    assert not np.allclose(dropped, 18.0) or dropped[0, 0] != dropped[0, 1]


def test_wrong_weights_are_one_line(folder):
    path, stored = folder / "lenet_wrong.py", folder / "mobile.safetensors"
    path.write_text(flax_source.write(networks.lenet()))
    weights.save(stored, *cases.built(networks.mobile()))
    with pytest.raises(ValueError, match=r"mobile.safetensors: weight 'conv.bias' is superfluous"):
        cases.imported(path).load(str(stored))


def test_what_cannot_be_written_is_refused():
    pool = {"type": "AvgPool", "parents": ["data"], "strides": [1, 1, 1, 1]}
    pool |= {"ksize": [1, 2, 2, 1], "padding": [2, 2]}
    with pytest.raises(SpecError, match="layer 'pool': a window sees padding alone"):
        flax_source.write(_network({"pool": pool}))
    with pytest.raises(SpecError, match="'odd': type 'Mystery' cannot be executed"):
        flax_source.write(_network({"odd": {"type": "Mystery", "parents": ["data"]}}))
