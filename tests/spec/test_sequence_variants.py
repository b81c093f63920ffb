import pytest

from greennas_jax.spec import sequence_variants, variants
from greennas_jax.spec.network import Layer, SpecError
from greennas_jax.spec.variants import Variant


def layer(kind, **attributes):
    return Layer(name="x", type=kind, parents=("y",), attributes=attributes)


def of_width(given, width):
    return variants.realise(given, (2, 10, 48), Variant("given", (1, 1), width))


def test_fewer_heads_keep_their_width():
    # 48 / 6 = 8 wide, which three heads would not be without saying so.
    (made,) = of_width(layer("MultiHeadAttention", heads=6, causal=True), 3)
    assert made.attributes == {"heads": 3, "head_width": 8, "causal": True}


def test_heads_that_share_keys_go_together():
    given = layer("MultiHeadAttention", heads=6, key_value_heads=2, head_width=16)
    (made,) = of_width(given, 3)
    assert made.attributes == {"heads": 3, "key_value_heads": 1, "head_width": 16}
    with pytest.raises(SpecError, match="'heads' is 4; allowed: whole groups of 3 heads"):
        of_width(given, 4)


def test_fewer_hidden_units():
    (made,) = of_width(layer("FeedForward", hidden=96, gated=True), 24)
    assert made.attributes == {"hidden": 24, "gated": True}


@pytest.mark.parametrize(
    "given", [layer("MultiHeadAttention", heads=6), layer("FeedForward", hidden=6)]
)
def test_what_does_not_change_is_the_given_record(given):
    assert of_width(given, 6) == (given,)
    found = variants.recognise(given, {"x": of_width(given, 2)[0]})
    assert found == Variant("given", (1, 1), 2)
    for wrong in (0, 7):
        with pytest.raises(SpecError, match=f"is {wrong}; allowed: from 1 to 6"):
            of_width(given, wrong)


def test_other_layers_have_no_inner_width():
    with pytest.raises(SpecError, match=r"\(LayerNorm\): allowed: MultiHeadAttention, FeedF"):
        sequence_variants.inner_width(layer("LayerNorm"))
    with pytest.raises(SpecError, match="'x' is a FeedForward, not a variant of the given Multi"):
        variants.recognise(
            layer("MultiHeadAttention", heads=2), {"x": layer("FeedForward", hidden=2)}
        )
