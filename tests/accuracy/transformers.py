"""Small transformers of every kind that is executed and held by the masked template."""

import json

from greennas_jax.spec import paleo_json


def _of(kind, *parents, **attributes):
    return {"type": kind, "parents": list(parents), **attributes}


def _network(name, tensor, layers):
    data = {"type": "Input", "parents": [], "tensor": list(tensor)}
    return paleo_json.read(json.dumps({"name": name, "layers": {"data": data, **layers}}))


def _pre_norm(number, source, attention, feed, drop=None, norm=None):
    """Return the layers of one block that normalises inside of its branches, and its output."""
    a, f = f"attend{number}", f"feed{number}"
    norm = norm or {}
    layers = {
        f"{a}/norm": _of("LayerNorm", source, **norm),
        f"{a}/mix": _of("MultiHeadAttention", f"{a}/norm", **attention),
        f"{a}/add": _of("Elementwise", source, f"{a}/mix"),
        f"{f}/norm": _of("LayerNorm", f"{a}/add", **norm),
        f"{f}/mix": _of("FeedForward", f"{f}/norm", **feed),
        f"{f}/add": _of("Elementwise", f"{a}/add", f"{f}/mix"),
    }
    if drop:
        for part in (a, f):
            layers[f"{part}/drop"] = _of("Dropout", f"{part}/mix", dropout_keep_prob=drop)
            layers[f"{part}/add"]["parents"][1] = f"{part}/drop"
    return layers, f"{f}/add"


def vit(size=8, patch=4, width=12, heads=3, hidden=20, blocks=2, classes=5, drop=0.9):
    """A ViT: patches by convolution, a class token, blocks that normalise first."""
    count = (size // patch) ** 2
    layers = {
        "patches": _of(
            "Convolution",
            "data",
            filter=[patch, patch, 1, width],
            strides=[1, patch, patch, 1],
            padding="VALID",
        ),
        "tokens": _of("Reshape", "patches", output_shape=[-1, count, width]),
        "place": _of("Embedding", "tokens", width=width, positions=count + 1, class_token=True),
    }
    source = "place"
    for number in range(blocks):
        made, source = _pre_norm(number, source, {"heads": heads}, {"hidden": hidden}, drop)
        layers |= made
    layers |= {
        "norm": _of("LayerNorm", source),
        "pool": _of("SequencePool", "norm", method="first"),
        "head": _of("InnerProduct", "pool", num_outputs=classes),
        "softmax": _of("Softmax", "head"),
    }
    return _network("vit", (4, size, size, 1), layers)


def bert(length=10, vocabulary=7, width=12, heads=3, hidden=20, blocks=2, classes=5):
    """A BERT classifier: segments, blocks that normalise behind their sums, a pooler."""
    layers = {
        "embed": _of(
            "Embedding", "data", vocabulary=vocabulary, width=width, positions=length, segments=2
        ),
        "norm": _of("LayerNorm", "embed"),
    }
    source = "norm"
    for number in range(blocks):
        a, f = f"attend{number}", f"feed{number}"
        layers |= {
            f"{a}/mix": _of("MultiHeadAttention", source, heads=heads),
            f"{a}/add": _of("Elementwise", source, f"{a}/mix"),
            f"{a}/norm": _of("LayerNorm", f"{a}/add"),
            f"{f}/mix": _of("FeedForward", f"{a}/norm", hidden=hidden, activation_fn="gelu"),
            f"{f}/add": _of("Elementwise", f"{a}/norm", f"{f}/mix"),
            f"{f}/norm": _of("LayerNorm", f"{f}/add"),
        }
        source = f"{f}/norm"
    layers |= {
        "pool": _of("SequencePool", source, method="first"),
        "pooler": _of("InnerProduct", "pool", num_outputs=width, activation_fn="tanh"),
        "head": _of("InnerProduct", "pooler", num_outputs=classes),
    }
    return _network("bert", (4, length), layers)


def gpt(length=9, vocabulary=11, width=8, heads=4, shared=2, hidden=12, blocks=2):
    """A language model: causal, rotary, grouped keys, gated and without biases, tied head."""
    layers = {"embed": _of("Embedding", "data", vocabulary=vocabulary, width=width)}
    source = "embed"
    attention = {
        "heads": heads,
        "key_value_heads": shared,
        "head_width": 6,
        "causal": True,
        "rotary": True,
        "use_bias": False,
    }
    feed = {"hidden": hidden, "gated": True, "activation_fn": "silu", "use_bias": False}
    for number in range(blocks):
        made, source = _pre_norm(number, source, attention, feed, norm={"rms": True})
        layers |= made
    layers |= {
        "norm": _of("LayerNorm", source, rms=True),
        "head": _of(
            "InnerProduct",
            "norm",
            num_outputs=vocabulary,
            per_position=True,
            weights_of="embed",
            use_bias=False,
        ),
        "prob": _of("Softmax", "head"),
    }
    return _network("gpt", (4, length), layers)


def translator(length=8, vocabulary=9, width=8, classes=4):
    """A T5: buckets of distances, attention to another sequence, positionwise products."""
    heads = {"heads": 2, "relative_buckets": 6}
    layers = {"embed": _of("Embedding", "data", vocabulary=vocabulary, width=width, positions=8)}
    encoder, memory = _pre_norm(0, "embed", heads, {"hidden": 14, "activation_fn": "relu"})
    layers |= encoder
    layers["again"] = _of(
        "Embedding", "data", vocabulary=vocabulary, width=width, weights_of="embed"
    )
    decoder, source = _pre_norm(1, "again", {**heads, "causal": True}, {"hidden": 10})
    layers |= decoder
    layers |= {
        "wide": _of("InnerProduct", memory, num_outputs=12, per_position=True),
        "relu": _of("Activation", "wide", activation_fn="relu"),
        "cross/norm": _of("LayerNorm", source),
        "cross/mix": _of("MultiHeadAttention", "cross/norm", "relu", heads=4, key_value_heads=2),
        "cross/add": _of("Elementwise", source, "cross/mix"),
        "both": _of("Concatenate", "cross/add", "again", dim=2),
        "shares": _of("Softmax", "both"),
        "mean": _of("SequencePool", "shares", method="mean"),
        "flat": _of("InnerProduct", "cross/add", num_outputs=6, activation_fn="relu"),
        "joined": _of("Concatenate", "mean", "flat", dim=1),
        "head": _of("InnerProduct", "joined", num_outputs=classes),
    }
    return _network("translator", (4, length), layers)


ALL = {f.__name__: f for f in (vit, bert, gpt, translator)}
