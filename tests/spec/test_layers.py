import pytest

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import Layer, SpecError

CONVOLUTION = {"filter": [3, 5, 8, 16], "strides": [1, 2, 1, 1], "padding": "SAME"}
POOL = {"ksize": [1, 3, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"}


def layer(kind: str, **attributes) -> Layer:
    return Layer(name="a", type=kind, parents=("data",), attributes=attributes)


def test_convolution_with_defaults():
    view = layer_views.convolution(layer("Convolution", **CONVOLUTION))
    assert view == ((3, 5), 8, 16, (2, 1), "SAME", 1, True, None, None)


def test_convolution_with_everything():
    view = layer_views.convolution(
        layer(
            "Convolution",
            filter=[1, 1, -1, 16],
            strides=[1, 1, 1, 1],
            padding=[2, 0],
            groups=4,
            use_bias=False,
            activation_fn="relu6",
            normalizer_fn="batch_norm",
        )
    )
    assert view == ((1, 1), -1, 16, (1, 1), (2, 0), 4, False, "relu6", "batch_norm")


def test_pool_and_inner_product():
    assert layer_views.pool(layer("Pooling", **POOL)) == ((3, 2), (2, 2), "VALID", False)
    assert layer_views.pool(layer("AvgPool", **POOL)).average
    inner = layer_views.inner_product(layer("InnerProduct", num_outputs=7, activation_fn="relu"))
    assert inner == (7, True, "relu", False, None)


@pytest.mark.parametrize("none", [None, "", "linear", "none"])
def test_no_activation_has_several_spellings(none):
    assert layer_views.activation(layer("LRN", activation_fn=none)) is None


def test_keep_probability():
    assert layer_views.keep_probability(layer("Dropout")) == 0.5
    assert layer_views.keep_probability(layer("Dropout", dropout_keep_prob=1)) == 1.0


FILTER = "[kh, kw, Cin, Cout] from 1 to 16777216"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"filter": None}, "'filter' is None"),
        ({"filter": [3, 3, 8]}, "'filter' is [3, 3, 8]"),
        ({"filter": [3, 3, 8, 1.5]}, "'filter' is [3, 3, 8, 1.5]"),
        ({"filter": [3, 3, 8, True]}, "'filter' is [3, 3, 8, True]"),
        ({"filter": [3, 0, 8, 8]}, f"'filter' is [3, 0, 8, 8]; allowed: {FILTER}"),
        ({"filter": [3, 3, 0, 8]}, "'filter' is [3, 3, 0, 8]"),
        ({"filter": [3, 3, 8, -1]}, "'filter' is [3, 3, 8, -1]"),
        ({"filter": [3, 3, 8, 2**30]}, "'filter' is [3, 3, 8, 1073741824]"),
        ({"filter": list(range(9999))}, "..."),
        ({"strides": [2, 1, 1, 1]}, "'strides' is [2, 1, 1, 1]; allowed: [1, height, width, 1]"),
        ({"strides": 2}, "'strides' is 2; allowed: a list of 4 whole numbers"),
        ({"strides": [1, 0, 1, 1]}, "'strides' is [1, 0, 1, 1]"),
        ({"padding": "FULL"}, "'padding' is 'FULL'; allowed: \"VALID\", \"SAME\" or [ph, pw]"),
        ({"padding": [1, -1]}, "'padding' is [1, -1]"),
        ({"padding": [1]}, "'padding' is [1]"),
        ({"groups": 0}, "'groups' is 0; allowed: a whole number from 1"),
        ({"groups": 3}, "'groups' is 3; allowed: a divisor of the 16 output channels"),
        ({"groups": "2"}, "'groups' is '2'"),
        ({"use_bias": 1}, "'use_bias' is 1; allowed: true or false"),
        ({"activation_fn": "gibberish"}, "'activation_fn' is 'gibberish'; allowed: relu, "),
        ({"activation_fn": ["relu"]}, "'activation_fn' is ['relu']"),
        ({"normalizer_fn": "layer"}, "'normalizer_fn' is 'layer'; allowed: \"batch_norm\" or null"),
    ],
)  # fmt: skip
def test_convolution_refuses(changes, said):
    with pytest.raises(SpecError) as caught:
        layer_views.convolution(layer("Convolution", **{**CONVOLUTION, **changes}))
    message = str(caught.value)
    assert said in message and message.startswith("layer 'a'") and len(message) < 250


@pytest.mark.parametrize("key", ["filter", "strides", "padding"])
def test_convolution_misses(key):
    attributes = {name: value for name, value in CONVOLUTION.items() if name != key}
    with pytest.raises(SpecError, match=rf"layer 'a' \(Convolution\): '{key}' is missing"):
        layer_views.convolution(layer("Convolution", **attributes))


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "10", [10], 2**24 + 1])
def test_inner_product_refuses(value):
    with pytest.raises(SpecError, match="'num_outputs' is .*; allowed: a whole number from 1"):
        layer_views.inner_product(layer("InnerProduct", num_outputs=value))


@pytest.mark.parametrize("value", [0, 1.01, -0.5, True, "0.5", None])
def test_keep_probability_refuses(value):
    with pytest.raises(SpecError, match="'dropout_keep_prob' is .*; allowed: a number above 0"):
        layer_views.keep_probability(layer("Dropout", dropout_keep_prob=value))
