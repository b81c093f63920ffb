"""Small transformers of every kind that the space of edits must handle."""

from greennas_jax.spec.network import Layer, Network
from tests.spaces.examples import conv, inner, plain


def network(name, layers, **inputs):
    """A network whose inputs are given by their shapes."""
    sources = {key: ("Input", (), {"tensor": shape}) for key, shape in inputs.items()}
    return Network(
        name=name,
        layers=tuple(
            Layer(name=key, type=kind, parents=parents, attributes=attributes)
            for key, (kind, parents, attributes) in {**sources, **layers}.items()
        ),
    )


def branch(last, name, layer, *, norm=None, dropout=False):
    """A residual branch around one layer, LayerNorm "before" it or "after" the sum."""
    kind, others, attributes = layer
    layers, read = {}, last
    if norm == "before":
        layers[f"{name}/norm"], read = plain("LayerNorm", read), f"{name}/norm"
    layers[name], read = plain(kind, read, *others, **attributes), name
    if dropout:
        layers[f"{name}/drop"] = plain("Dropout", read, dropout_keep_prob=0.9)
        read = f"{name}/drop"
    layers[f"{name}/add"] = plain("Elementwise", last, read)
    if norm == "after":
        layers[f"{name}/norm"] = plain("LayerNorm", f"{name}/add")
    return layers, f"{name}/norm" if norm == "after" else f"{name}/add"


def attend(heads, *others, **attributes):
    return "MultiHeadAttention", others, {"heads": heads, **attributes}


def feed(hidden, **attributes):
    return "FeedForward", (), {"hidden": hidden, **attributes}


def stack(last, branches, **options):
    layers = {}
    for name, layer in branches.items():
        more, last = branch(last, name, layer, **options)
        layers |= more
    return layers, last


def vit():
    """Patches with a class token, normalised in front, and a classifier with a hidden layer."""
    branches = {"a1": attend(6), "f1": feed(48), "a2": attend(6, use_bias=False), "f2": feed(48)}
    layers, last = stack("place", branches, norm="before", dropout=True)
    layers = {
        "patch": conv("data", 3, 24, stride=3, padding="VALID", activation_fn=None),
        "tokens": plain("Reshape", "patch", output_shape=[-1, 9, 24]),
        "place": plain("Embedding", "tokens", width=24, positions=10, class_token=True),
        **layers,
        "norm": plain("LayerNorm", last),
        "pool": plain("SequencePool", "norm", method="first"),
        "hidden": inner("pool", 16),
        "fc": inner("hidden", 10),
        "softmax": plain("Softmax", "fc", num_classes=10),
    }
    return network("vit", layers, data=[2, 9, 9, 3])


def bert():
    """Token numbers, segments, normalised behind the sums, and a pooled classifier."""
    branches = {"a1": attend(4), "f1": feed(64), "a2": attend(4), "f2": feed(12)}
    layers, last = stack("embed/drop", branches, norm="after", dropout=True)
    layers = {
        "embed": plain("Embedding", "ids", vocabulary=50, width=32, positions=12, segments=2),
        "embed/norm": plain("LayerNorm", "embed"),
        "embed/drop": plain("Dropout", "embed/norm", dropout_keep_prob=0.9),
        **layers,
        "pool": plain("SequencePool", last, method="first"),
        "pooler": plain("InnerProduct", "pool", num_outputs=32, activation_fn="tanh"),
        "fc": inner("pooler", 3),
    }
    return network("bert", layers, ids=[2, 12])


def decoder():
    """A causal decoder: shared keys, gated units, root mean squares, the table used twice."""
    branches = {
        "a1": attend(8, key_value_heads=4, causal=True, rotary=True, use_bias=False),
        "f1": feed(64, gated=True, activation_fn="silu", use_bias=False),
        "a2": attend(8, key_value_heads=1, causal=True, head_width=4),
        "f2": feed(64, gated=True),
    }
    layers, last = stack("embed", branches, norm="before")
    layers = {
        "embed": plain("Embedding", "ids", vocabulary=40, width=32),
        **layers,
        "norm": plain("LayerNorm", last, rms=True),
        "head": plain(
            *("InnerProduct", "norm"),
            num_outputs=40,
            per_position=True,
            weights_of="embed",
            use_bias=False,
        ),
        "softmax": plain("Softmax", "head"),
    }
    return network("decoder", layers, ids=[2, 6])


def translator():
    """An encoder and a decoder that attends to it, with distances in buckets."""
    encoder, memory = stack(
        "source/embed", {"e1": attend(4, relative_buckets=8), "e2": feed(40)}, norm="before"
    )
    own, last = stack("target/embed", {"d1": attend(4, causal=True)}, norm="before")
    across = {"d2": attend(4, memory), "d3": attend(3, memory, head_width=8), "d4": feed(48)}
    cross, last = stack(last, across)
    layers = {
        "source/embed": plain("Embedding", "source", vocabulary=30, width=16),
        **encoder,
        "target/embed": plain("Embedding", "target", vocabulary=20, width=24),
        **own,
        **cross,
        "head": plain("InnerProduct", last, num_outputs=20, per_position=True),
    }
    return network("translator", layers, source=[2, 7], target=[2, 5])


def positions():
    """Inner products at every position, of any width, around one attention."""
    layers = {
        "read": plain("InnerProduct", "frames", num_outputs=24, per_position=True),
        "act": plain("Activation", "read", activation_fn="gelu"),
        "norm": plain("LayerNorm", "act"),
        "same": plain("InnerProduct", "norm", num_outputs=24, per_position=True),
        "model": plain("InnerProduct", "same", num_outputs=16, per_position=True),
        "attend": plain("MultiHeadAttention", "model", heads=2),
        "wide": plain("InnerProduct", "attend", num_outputs=32, per_position=True),
        "relu": plain("Activation", "wide", activation_fn="relu"),
        "narrow": plain("InnerProduct", "relu", num_outputs=16, per_position=True),
        "sum": plain("Elementwise", "attend", "narrow"),
        "end": plain("InnerProduct", "sum", num_outputs=24, per_position=True),
        "pool": plain("SequencePool", "end", method="mean"),
        "fc": inner("pool", 5),
    }
    return network("positions", layers, frames=[2, 7, 20])


ALL = {function.__name__: function for function in (vit, bert, decoder, translator, positions)}
