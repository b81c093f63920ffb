import json

import numpy as np
import pytest

from greennas_jax.export import onnx_graph
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError
from tests.accuracy import networks, transformers
from tests.export import cases

pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")

NETWORKS = {**networks.ALL, **transformers.ALL}


def assert_same_logits(network, *, seed=0):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    module, statistics = cases.built(network, seed)
    inputs = cases.inputs(module)
    data = onnx_graph.write(module, statistics, network.name)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    assert entry.name == ("tokens" if inputs.dtype == np.int32 else "images")
    expected = cases.logits(module, statistics, inputs)
    assert np.std(expected) > 1e-3
    # The batch size is open.
    for count in (1, len(inputs)):
        (found,) = session.run(["logits"], {entry.name: inputs[:count]})
        np.testing.assert_allclose(found, expected[:count], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_gives_the_same_logits(name):
    assert_same_logits(NETWORKS[name]())


@pytest.mark.parametrize("name", ["vit_digits", "bert_tiny"])
def test_transformers_that_come_along_give_the_same_logits(name, specs):
    assert_same_logits(paleo_json.load(specs / f"{name}.json"))


def random_transformer(seed):
    """Return a small transformer whose every choice is drawn."""
    rng = np.random.default_rng(seed)

    def drawn(*values):
        return values[rng.integers(len(values))]

    length, width, vocabulary = drawn(4, 7), drawn(8, 12), drawn(5, 300)
    layers = {"data": {"type": "Input", "parents": [], "tensor": [2, length, width]}}
    first = {"type": "Embedding", "parents": ["data"], "width": width, "positions": length + 1}
    first |= {"class_token": drawn(True, False), "segments": drawn(0, 2)}
    if drawn(True, False):
        layers["data"]["tensor"] = [2, length]
        first["vocabulary"] = vocabulary
    layers["embed"] = first
    source = "embed"
    for block in range(2):
        norm = {"rms": drawn(True, False), "use_bias": drawn(True, False)}
        heads = drawn(2, 4)
        mixes = {
            "attend": {
                "type": "MultiHeadAttention",
                "heads": heads,
                "key_value_heads": drawn(1, heads),
                "head_width": drawn(2, 4),
                "causal": drawn(True, False),
                "rotary": drawn(True, False),
                "relative_buckets": drawn(0, 6),
                "use_bias": drawn(True, False),
            },
            "feed": {
                "type": "FeedForward",
                "hidden": drawn(6, 10),
                "gated": drawn(True, False),
                "activation_fn": drawn("gelu", "relu", "silu", "tanh"),
                "use_bias": drawn(True, False),
            },
        }
        for kind, mix in mixes.items():
            own = f"{kind}{block}"
            layers[f"{own}/norm"] = {"type": "LayerNorm", "parents": [source], **norm}
            layers[f"{own}/mix"] = {"parents": [f"{own}/norm"], **mix}
            layers[own] = {"type": "Elementwise", "parents": [source, f"{own}/mix"]}
            source = own
    layers["gate"] = {"type": "Activation", "parents": [source], "activation_fn": "sigmoid"}
    if drawn(True, False):
        layers["pool"] = {
            "type": "SequencePool",
            "parents": ["gate"],
            "method": drawn("first", "mean"),
        }
        source = "pool"
    head = {"type": "InnerProduct", "parents": [source], "num_outputs": 3}
    if source != "pool":
        head["per_position"] = drawn(True, False)
    layers["head"] = head
    return paleo_json.read(json.dumps({"name": f"drawn {seed}", "layers": layers}))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_random_transformers_give_the_same_logits(seed):
    assert_same_logits(random_transformer(seed), seed=seed)


def test_layers_may_be_called_like_the_graphs_own_values():
    names = ("tokens", "logits", "t0", "t1", "first", "images")
    text = paleo_json.write(transformers.bert(blocks=1, width=4, heads=2, hidden=4, length=4))
    for old, new in zip(("data", "embed", "norm", "pool", "pooler", "head"), names, strict=True):
        text = text.replace(f'"{old}"', f'"{new}"')
    assert_same_logits(paleo_json.read(text))


def test_layers_of_images_on_sequences_are_refused_in_one_line():
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [2, 5, 8]},
        "norm": {"type": "BatchNorm", "parents": ["data"]},
        "head": {"type": "InnerProduct", "parents": ["norm"], "num_outputs": 3},
    }
    network = paleo_json.read(json.dumps({"name": "odd", "layers": layers}))
    with pytest.raises(SpecError, match=r"layer 'norm' \(BatchNorm\): an input \[2, 5, 8\] cannot"):
        onnx_graph.write(*cases.built(network), "odd")
