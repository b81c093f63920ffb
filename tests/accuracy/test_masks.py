import pytest

from greennas_jax.accuracy import masks
from greennas_jax.accuracy import template as templates
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec import variants
from greennas_jax.spec.network import SpecError
from tests.accuracy import networks


def _changed(network, name, **attributes):
    return network.replace(
        layers=tuple(
            layer.with_attributes(**attributes) if layer.name == name else layer
            for layer in network.layers
        )
    )


def _with(network, name, variant):
    """Return a network with one layer realised differently."""
    layers = []
    shapes = shape_rules.infer(network)
    for layer in network.layers:
        if layer.name == name:
            layers += variants.realise(layer, shapes[name].inputs[0], variant)
        else:
            layers.append(layer)
    return network.replace(layers=tuple(layers))


def _describe(given, variant):
    return masks.describe(given, templates.make(given), variant)


def test_given_network_is_all_live():
    given = networks.lenet()
    child = _describe(given, given)
    sizes = {
        name: (int(a["rows"]), int(a["columns"]), int(a["channels"].sum()))
        for name, a in child.items()
    }
    assert sizes["conv1"] == (12, 12, 4)
    assert sizes["conv2"] == (4, 4, 6)
    assert sizes["pool2"] == (2, 2, 6)
    assert sizes["fc1"] == (1, 1, 12)
    assert all(arrays["present"] for arrays in child.values())


def test_smaller_kernel_sits_at_its_own_padding():
    given = networks.lenet()
    child = _describe(given, _with(given, "conv1", variants.Variant("given", (1, 1), 4)))
    # SAME pads a 3 x 3 kernel by one and a 1 x 1 kernel by none: its place is the middle.
    assert child["conv1"]["window"].tolist() == [[1, 1], [1, 1]]
    child = _describe(given, _with(given, "conv2", variants.Variant("given", (1, 1), 6)))
    # VALID pads neither: the top left corner, and the output grows.
    assert child["conv2"]["window"].tolist() == [[0, 1], [0, 1]]
    assert int(child["conv2"]["rows"]) == 6


@pytest.mark.parametrize(
    "variant, message",
    [
        (lambda g: _changed(g, "conv1", activation_fn="tanh"), "'conv1'.*activation tanh"),
        (lambda g: _changed(g, "conv1", use_bias=False), "'conv1'.*its bias"),
        (lambda g: _changed(g, "conv1", normalizer_fn="batch_norm"), "'conv1'.*normaliser"),
        (
            lambda g: _changed(g, "conv1", filter=[5, 5, 1, 4]),
            "'conv1'.*kernel .5, 5.; the template has .3, 3., .1, 1.",
        ),
        (lambda g: _changed(g, "conv2", padding="SAME"), "'conv2'.*strides or padding"),
        (lambda g: _changed(g, "pool1", ksize=[1, 1, 1, 1]), "'pool1'.*instead of"),
        (lambda g: _changed(g, "fc1", num_outputs=13), "'fc1'.*does not fit"),
        (
            lambda g: _with(g, "conv2", variants.Variant("bottleneck", (3, 3), 6, 1, 5)),
            "'conv2'.*bottleneck with 5 middle channels; at most 4",
        ),
        (lambda g: networks.residual(), "layer 'data': not a variant"),
    ],
)
def test_what_is_no_variant_is_named(variant, message):
    given = networks.lenet()
    with pytest.raises(SpecError, match=message):
        _describe(given, variant(given))


def test_rewired_network_is_refused():
    given = networks.branches()
    rewired = given.replace(
        layers=tuple(
            layer.replace(parents=("stem",)) if layer.name == "left" else layer
            for layer in given.layers
        )
    )
    with pytest.raises(SpecError, match="layer 'left': not a variant.*it reads 'stem'"):
        _describe(given, rewired)
