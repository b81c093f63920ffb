import pytest

from greennas_jax.report import comparison
from greennas_jax.spec import shapes
from greennas_jax.spec.network import Layer
from tests.report.test_comparison import compared
from tests.spaces import sequence_examples
from tests.spaces.conftest import built
from tests.spaces.test_edits import string

WIDE = (2, 9, 24)


def layer(kind, **attributes):
    return Layer(name="x", type=kind, parents=("y",), attributes=attributes)


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        ("MultiHeadAttention", {"heads": 4}, "attention 4 heads of 6"),
        ("MultiHeadAttention", {"heads": 1, "head_width": 8}, "attention 1 head of 8"),
        (
            *("MultiHeadAttention", {"heads": 4, "key_value_heads": 2}),
            "attention 4 heads of 6, 2 of keys",
        ),
        ("FeedForward", {"hidden": 48}, "feed-forward 24->48->24"),
        ("FeedForward", {"hidden": 48, "gated": True}, "gated feed-forward 24->48->24"),
        ("Embedding", {"width": 24, "vocabulary": 50}, "embedding 50->24"),
        ("Embedding", {"width": 24, "positions": 9}, "embedding 24"),
        ("LayerNorm", {}, "layer norm"),
        ("LayerNorm", {"rms": True}, "rms norm"),
        ("SequencePool", {"method": "first"}, "first position"),
        ("SequencePool", {}, "mean over positions"),
        ("Activation", {"activation_fn": "gelu"}, "gelu"),
        ("Activation", {}, "identity"),
        ("InnerProduct", {"num_outputs": 7, "per_position": True}, "inner product 24->7"),
        # 9 positions of 24 features.
        ("InnerProduct", {"num_outputs": 7}, "inner product 216->7"),
    ],
)
def test_layers_in_words(kind, attributes, words):
    assert comparison.describe(layer(kind, **attributes), shapes.Shapes((WIDE,), WIDE)) == words


def test_what_became_of_a_transformer():
    space, _ = built("vit")
    found = space.decode(
        string(
            space,
            a1__heads="3",
            f1__hidden="16",
            hidden__width="8",
            **{"a2/add__depth": "drop"},
        )
    )
    rows = compared(space.given, found)
    told = {
        name: (rows[name].change, rows[name].before, rows[name].after)
        for name in ("a1", "f1", "f2", "a2", "a2/norm", "hidden", "fc", "patch")
    }
    assert told == {
        "a1": ("fewer heads", "attention 6 heads of 4", "attention 3 heads of 4"),
        "f1": ("narrowed", "feed-forward 24->48->24", "feed-forward 24->16->24"),
        "f2": ("kept", "feed-forward 24->48->24", "feed-forward 24->48->24"),
        "a2": ("removed", "attention 6 heads of 4", "-"),
        "a2/norm": ("removed", "layer norm", "-"),
        "hidden": ("narrowed", "inner product 24->16", "inner product 24->8"),
        "fc": ("kept (narrower input)", "inner product 16->10", "inner product 8->10"),
        "patch": ("kept", "conv 3x3 3->24", "conv 3x3 3->24"),
    }


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        # Heads of another width are another layer, and so are ungrouped keys.
        ("a1", {"heads": 4}, "replaced"),
        ("a1", {"heads": 4, "key_value_heads": 4, "head_width": 4}, "replaced"),
        ("a1", {"heads": 6, "key_value_heads": 3, "head_width": 4}, "fewer heads"),
        ("a1", {"heads": 16, "key_value_heads": 8, "head_width": 4}, "replaced"),
        ("a1", {"head_width": 4}, "kept"),
        ("f1", {"activation_fn": "gelu"}, "replaced"),
        ("f1", {"hidden": 63}, "narrowed"),
        ("f1", {"hidden": 65}, "replaced"),
    ],
)
def test_changes_of_inner_widths(name, changes, told):
    given = sequence_examples.decoder()
    layers = [one.with_attributes(**changes) if one.name == name else one for one in given.layers]
    assert compared(given, given.replace(layers=layers))[name].change == told
