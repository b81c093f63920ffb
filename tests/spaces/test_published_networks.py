"""The spaces around published networks: their text is among the reference figures."""

import collections

import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, exact, factors
from greennas_jax.spec import paleo_json

NETWORKS = (
    "alex_v2",
    "nin",
    "vgg16",
    "cifar10_6conv",
    "resnet50",
    "inception_v3",
    "bvlc_googlenet_80",
    "syn_block_endpoint",
    "syn_conv_variants",
    "syn_deconv",
    "syn_misc_types",
    "syn_nb201_cell",
    "syn_residual",
    "syn_two_joints",
)
TERMS = ("energy", "parameters")


def check(network):
    space = edits.build(network)
    assert space.limits == edits.Limits()
    device, settings = devices.load("titan_x"), CostSettings(mode="training")
    wanted = [terms.get(name) for name in TERMS]
    costs = space.factors(device, wanted, settings)
    zeros = np.zeros(len(space.positions), np.int32)
    assert space.decode(zeros) == network
    best, cost = exact.cheapest(costs, {"energy": 1.0})
    sampled = space.sample(np.random.default_rng(0), 300)
    assert cost <= factors.exact(costs, sampled.T)[0].min()
    for tokens in (zeros, best, *sampled[:3]):
        decoded = space.decode(tokens)
        np.testing.assert_array_equal(space.encode(decoded), space.canonical(tokens)[0])
        table = layer_table.from_network(decoded)
        expected = [term.function(table, device, settings).sum() for term in wanted]
        found = factors.exact(costs, tokens[:, None])[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.isfinite(space.labels(sampled)).all()
    return space


@pytest.mark.parametrize("name", NETWORKS)
def test_published_network(shared, name):
    check(paleo_json.load(shared / "paleo" / "nets" / f"{name}.json"))


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "lenet5", "mobilenet_v1", "resnet20_cifar10", "vgg_cifar10"),
        *("bert_tiny", "gpt2", "vit_digits"),
    ],
)
def test_spec_of_this_repository(specs, name):
    check(paleo_json.load(specs / f"{name}.json"))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        # 12 layers of an attention and a feed-forward; BERT's pooler may be narrower or skipped.
        ("bert_base", {"depth": 24, "heads": 12, "hidden": 12, "operation": 1, "width": 1}),
        ("vit_b16", {"depth": 24, "heads": 12, "hidden": 12}),
        # 24 layers of two and 24 of three, of which the last must read what the encoder wrote.
        ("t5_11b", {"depth": 48 + 72 - 1, "heads": 72, "hidden": 48}),
    ],
)
def test_layers_of_transformers_may_go(specs, name, kinds):
    space = check(paleo_json.load(specs / f"{name}.json"))
    assert collections.Counter(position.kind for position in space.positions) == kinds


def test_resnet50_blocks_may_go(shared):
    space = check(paleo_json.load(shared / "paleo" / "nets" / "resnet50.json"))
    # Stages of 3, 4, 6 and 3 blocks, of which the first changes the shape.
    depth = [position for position in space.positions if position.kind == "depth"]
    assert len(depth) == 2 + 3 + 5 + 2
