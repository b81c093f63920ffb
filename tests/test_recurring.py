import dataclasses

import numpy as np
import pytest

from greennas_jax import recurring
from greennas_jax.spaces import edits
from greennas_jax.spec import paleo_json
from greennas_jax.spec.variants import Variant, realise


def network(specs):
    return paleo_json.load(specs / "lenet5.json")


def with_variant(given, name, shape, variant):
    """Return the network with one layer realised otherwise, its readers as they were."""
    made = realise(given.by_name()[name], shape, variant)
    layers = [one for layer in given.layers for one in (made if layer.name == name else (layer,))]
    return dataclasses.replace(given, layers=tuple(layers))


def fates_of(given, found):
    return {row.layer: set(row.fates) for row in recurring.fates(given, found)}


def test_the_given_network_is_as_given(specs):
    given = network(specs)
    found = fates_of(given, given)
    assert list(found) == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert all(fates == {"as given"} for fates in found.values())


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        (Variant("given", (5, 5), 8), {"narrower"}),
        (Variant("given", (3, 3), 16), {"smaller kernel"}),
        (Variant("separable", (5, 5), 16), {"separable"}),
        (Variant("separable", (3, 3), 8), {"separable", "narrower", "smaller kernel"}),
        (Variant("grouped", (5, 5), 16, groups=2), {"grouped"}),
        (Variant("bottleneck", (5, 5), 12, middle=4), {"bottleneck", "narrower"}),
        (Variant("skip", (1, 1), 0), {"removed"}),
    ],
)
def test_every_variant_of_a_convolution_is_told(specs, variant, told):
    # LeNet-5's second convolution: 5 x 5, from 6 to 16 channels, at 14 x 14.
    given = network(specs)
    found = with_variant(given, "conv2", (128, 14, 14, 6), variant)
    assert fates_of(given, found)["conv2"] == told


def test_pooling_in_front_of_an_inner_product_is_told(specs):
    given = network(specs)
    found = with_variant(given, "fc1", (128, 5, 5, 16), Variant("pooled", (1, 1), 60))
    assert fates_of(given, found)["fc1"] == {"pooled", "narrower"}


def test_fewer_heads_of_an_attention_are_narrower(specs):
    given = paleo_json.load(specs / "vit_digits.json")
    space = edits.build(given)
    edited = space.neighbours(np.zeros(len(space.positions), np.int32))
    told = {
        (row.kind, fate)
        for tokens in edited
        for row in recurring.fates(given, space.decode(tokens))
        for fate in row.fates
    }
    assert {("sequence layer", "narrower"), ("sequence layer", "removed")} <= told


def test_counts_add_up(specs):
    given = network(specs)
    found = with_variant(given, "conv2", (128, 14, 14, 6), Variant("separable", (5, 5), 8))
    counted = recurring.count(recurring.fates(given, found), "convolution")
    assert counted.layers == 2
    # conv1 is as given, conv2 separable and narrower.
    assert counted.share("as given") == counted.share("separable") == 0.5
    assert counted.share("removed") == 0
    twice = recurring.total([counted, counted])
    assert (twice.layers, twice.fates["narrower"]) == (4, 2)
    assert recurring.count([], "convolution").share("removed") is None
