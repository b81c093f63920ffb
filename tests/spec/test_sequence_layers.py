import json

import pytest

from greennas_jax.spec import paleo_json, sequence_layers, shapes
from greennas_jax.spec.network import Layer, SpecError

IDS = {"type": "Input", "parents": [], "tensor": [2, 12]}
EMBED = {"type": "Embedding", "parents": ["ids"], "vocabulary": 50, "width": 16, "positions": 12}

HEAD = {"num_outputs": 50, "per_position": True, "weights_of": "embed"}


def read(layers, batch_size=None):
    text = json.dumps({"name": "n", "layers": {"ids": IDS, "embed": EMBED, **layers}})
    network = paleo_json.read(text)
    assert json.loads(paleo_json.write(network)) == json.loads(text)
    return {name: s.output for name, s in shapes.infer(network, batch_size).items()}


def of(kind, *parents, **attributes):
    return {"type": kind, "parents": list(parents or ("embed",)), **attributes}


def layer(kind, **attributes):
    return Layer(name="x", type=kind, parents=("embed",), attributes=attributes)


def test_a_block_of_a_transformer_keeps_its_shape():
    found = read(
        {
            "norm": of("LayerNorm"),
            "attend": of("MultiHeadAttention", "norm", heads=4, causal=True),
            "add": of("Elementwise", "embed", "attend"),
            "feed": of("FeedForward", "add", hidden=64),
            "act": of("Activation", "feed", activation_fn="gelu"),
            "head": of(
                "InnerProduct", "act", num_outputs=50, per_position=True, weights_of="embed"
            ),
            "prob": of("Softmax", "head"),
            "pool": of("SequencePool", "act", method="first"),
            "flat": of("InnerProduct", "act", num_outputs=3),
        },
        batch_size=5,
    )
    assert {found[name] for name in ("norm", "attend", "add", "feed", "act")} == {(5, 12, 16)}
    assert found["head"] == found["prob"] == (5, 12, 50)
    assert (found["pool"], found["flat"]) == ((5, 16), (5, 3))


def test_patches_with_a_class_token():
    found = read(
        {
            "image": {"type": "Input", "parents": [], "tensor": [2, 32, 32, 3]},
            "patch": of(
                "Convolution", "image", filter=[8, 8, 3, 24], strides=[1, 8, 8, 1], padding="VALID"
            ),
            "tokens": of("Reshape", "patch", output_shape=[-1, 16, 24]),
            "place": of("Embedding", "tokens", width=24, positions=17, class_token=True),
        },
        batch_size=3,
    )
    assert (found["tokens"], found["place"]) == ((3, 16, 24), (3, 17, 24))


def test_attention_to_another_sequence():
    found = read(
        {
            "memory": {"type": "Input", "parents": [], "tensor": [2, 7, 40]},
            "cross": of("MultiHeadAttention", "embed", "memory", heads=3, head_width=8),
        }
    )
    assert found["cross"] == (2, 12, 16)


def test_views_state_their_defaults():
    assert sequence_layers.embedding(layer("Embedding", width=8)) == (8, 0, 0, 0, False, None)
    assert sequence_layers.layer_norm(layer("LayerNorm")) == (False, True)
    assert sequence_layers.layer_norm(layer("LayerNorm", rms=True)) == (True, False)
    assert sequence_layers.attention(layer("MultiHeadAttention", heads=6)) == (
        *(6, 6, 0, False, True, False, 0),
    )
    assert sequence_layers.feed_forward(layer("FeedForward", hidden=9)) == (9, "gelu", False, True)
    assert sequence_layers.pooling_method(layer("SequencePool")) == "mean"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (of("Embedding", "ids", vocabulary=5, width=4, positions=11), "sequence of 12 is longer"),
        (of("Embedding", "embed", vocabulary=5, width=4), "[2, 12, 16] is not [batch, sequence]"),
        (of("Embedding", "embed", width=4), "'width' is 4, but the input"),
        (of("Embedding", "ids", vocabulary=5), "'width' is missing; a whole number from 1"),
        (of("Embedding", "ids", vocabulary=True, width=4), "'vocabulary' is True"),
        (of("MultiHeadAttention", heads=3), "3 heads do not divide the width 16"),
        (of("MultiHeadAttention", heads=4, key_value_heads=3), "a divisor of the 4 heads"),
        (of("MultiHeadAttention", heads=16, rotary=True), "even width"),
        (of("MultiHeadAttention", "embed", "embed", heads=4, causal=True), "'causal'"),
        (of("MultiHeadAttention", "embed", "embed", "embed", heads=4), "has 3 parents"),
        (of("MultiHeadAttention", "ids", heads=4), "[2, 12] is not [batch, sequence, width]"),
        (of("FeedForward", hidden=0), "'hidden' is 0; allowed: a whole number from 1"),
        (of("FeedForward", hidden=4, activation_fn="step"), "'activation_fn' is 'step'"),
        (of("FeedForward", hidden=4, gated="yes"), "'gated' is 'yes'; allowed: true or false"),
        (of("FeedForward", "embed", "embed", hidden=4), "has 2 parents; one needed"),
        (of("LayerNorm", rms=1), "'rms' is 1; allowed: true or false"),
        (of("SequencePool", method="max"), "'method' is 'max'; allowed: first, mean"),
        (of("InnerProduct", "ids", num_outputs=4, per_position=True), "not [batch, sequence,"),
        (of("InnerProduct", num_outputs=4, weights_of="gone"), "'gone', which is no Embedding"),
        (
            of("InnerProduct", num_outputs=4, per_position=True, weights_of="embed"),
            "width 16 and vocabulary 4; 'embed' has 16 and 50",
        ),
        (of("InnerProduct", num_outputs=4, weights_of=3), "the name of an Embedding"),
        (of("Embedding", "ids", vocabulary=50, width=8, weights_of="embed"), "width 8 and voc"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(made, said):
    with pytest.raises(SpecError) as caught:
        read({"bad": made})
    message = str(caught.value)
    assert "layer 'bad'" in message and said in message, message
    assert "\n" not in message


def test_batches_of_two_sequences_must_agree():
    memory = {"type": "Input", "parents": [], "tensor": [3, 7, 40]}
    with pytest.raises(SpecError, match=r"\[2, 12, 16\] and \[3, 7, 40\] differ in the batch"):
        read({"memory": memory, "bad": of("MultiHeadAttention", "embed", "memory", heads=4)})
