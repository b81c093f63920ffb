import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greennas_jax.spec import paleo_json, structure
from greennas_jax.spec.network import Layer, Network, SpecError


def conv(name: str, *parents: str, kernel: int = 3, out: int = 4, **more) -> Layer:
    attributes = {
        "filter": [kernel, kernel, -1, out],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        **more,
    }
    return Layer(name=name, type="Convolution", parents=parents, attributes=attributes)


def plain(name: str, kind: str, *parents: str, **attributes) -> Layer:
    return Layer(name=name, type=kind, parents=parents, attributes=attributes)


def net(*layers: Layer) -> Network:
    source = plain("data", "Input", tensor=[2, 8, 8, 4])
    return Network(name="n", layers=(source, *layers))


def residual_chain(blocks: int) -> Network:
    layers = []
    last = "data"
    for i in range(blocks):
        layers += [conv(f"c{i}", last), plain(f"e{i}", "Elementwise", last, f"c{i}")]
        last = f"e{i}"
    return net(*layers)


def test_a_residual_chain_has_two_to_the_n_paths():
    # Veit, Wilber and Belongie, "Residual networks behave like ensembles of relatively shallow
    # networks", 2016: 2^n paths whose depth is binomial, so n / 2 on average.
    assert structure.paths(residual_chain(10)) == (1024, 1024 * 5, 0, 10)
    values = structure.descriptors(residual_chain(3000))
    assert values["log2_paths"] == 3000
    assert values["paths"] == 2.0**1023
    assert values["mean_depth"] == 1500
    assert structure.paths(residual_chain(3000)).count == 2**3000


def test_descriptors_of_a_small_graph_by_hand():
    network = net(
        conv("stem", "data", out=8),
        conv("left", "stem", kernel=1, out=6),
        conv("depthwise", "stem", out=8, groups=8, use_bias=False),
        plain("cat", "Concatenate", "left", "depthwise", dim=3),
        conv("dead", "cat", out=99),
        plain("pool", "AvgPool", "cat", ksize=[1, 8, 8, 1], strides=[1, 1, 1, 1], padding="VALID"),
        plain("odd", "Martian", "pool"),
        plain("fc", "InnerProduct", "odd", num_outputs=3),
        plain("softmax", "Softmax", "fc", num_classes=3),
    )
    values = structure.descriptors(network)
    expected = {
        "layers": 9,
        "dead_layers": 1,
        "count.Convolution": 3,
        "count.AvgPool": 1,
        "count.Pooling": 0,
        "count.other": 1,
        "convolutions.dense": 1,
        "convolutions.pointwise": 1,
        "convolutions.grouped": 0,
        "convolutions.depthwise": 1,
        "joins": 1,
        "joined_inputs": 2,
        "paths": 2,
        "log2_paths": 1,
        "longest_depth": 3,
        "shortest_depth": 3,
        "mean_depth": 3,
        "weighted_layers": 4,
        "widest_channels": 8,
        "narrowest_channels": 3,
        "largest_kernel_area": 9,
        "resizing_layers": 1,
        # data 256, stem 512, left 384, depthwise 512, cat 896, pool and odd 14 each, 3 and 3.
        "log2_activations": math.log2(1 + 256 + 512 + 384 + 512 + 896 + 14 + 14 + 3 + 3),
        # stem 9*4*8+8, left 8*6+6, depthwise 9*1*8, fc 14*3+3.
        "log2_parameters": math.log2(1 + 296 + 54 + 72 + 45),
    }
    assert {name: values[name] for name in expected} == expected
    assert all(isinstance(value, float) for value in values.values())
    # All layers count here: dead has 9*14*99 + 99 more.
    assert structure.parameter_count(network) == 296 + 54 + 72 + 45 + 9 * 14 * 99 + 99


def test_names_are_the_same_for_every_network():
    one = structure.descriptors(residual_chain(2))
    other = structure.descriptors(net())
    assert list(one) == list(other)
    assert other["layers"] == 0 and other["paths"] == 0 and other["mean_depth"] == 0


def test_every_unread_layer_is_an_output_where_no_head_is():
    network = net(conv("a", "data"), conv("b", "data"), conv("c", "b"))
    assert structure.paths(network) == (2, 3, 1, 2)
    assert structure.descriptors(network)["dead_layers"] == 0


def test_parallel_edges_count():
    network = net(conv("a", "data"), plain("e", "Elementwise", "a", "a"))
    assert structure.paths(network) == (2, 2, 1, 1)


def test_grouped_convolution_and_deconvolution_parameters():
    up = plain(
        "up",
        "Deconvolution",
        "g",
        filter=[3, 3, 5, 8],
        strides=[1, 1, 1, 1],
        padding="SAME",
        output_shape=[2, 8, 8, 5],
    )
    network = net(conv("g", "data", out=8, groups=2), up)
    # 3*3*(4/2)*8 + 8 = 152; Paleo's deconvolution counts filter[3] biases: 3*3*5*8 + 8 = 368.
    assert structure.parameter_count(network) == 152 + 368
    assert structure.descriptors(network)["convolutions.grouped"] == 1


def test_refuses_a_parallel_block():
    parallel = plain("mp", "ModelParallel", "data", splits=2, layers={})
    with pytest.raises(SpecError, match="layer 'mp' is a ModelParallel"):
        structure.descriptors(net(parallel))


def walks(network: Network) -> list[tuple[str, ...]]:
    """List every input-output path by brute force."""
    layers = network.by_name()
    read = {parent for layer in network.layers for parent in layer.parents}

    def back(name: str) -> list[tuple[str, ...]]:
        if not layers[name].parents:
            return [(name,)]
        found = itertools.chain.from_iterable(back(p) for p in layers[name].parents)
        return [(*walk, name) for walk in found]

    ends = [layer.name for layer in network.layers if layer.name not in read and layer.parents]
    return list(itertools.chain.from_iterable(back(end) for end in ends))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_paths_against_brute_force(data):
    layers: list[Layer] = []
    names = ["data"]
    for i in range(data.draw(st.integers(1, 9))):
        parents = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
        joined = len(parents) > 1
        layers.append(
            plain(f"l{i}", "Elementwise", *parents) if joined else conv(f"l{i}", *parents)
        )
        names.append(f"l{i}")
    network = net(*layers)
    by_name = network.by_name()
    depths = [sum(by_name[name].type == "Convolution" for name in walk) for walk in walks(network)]
    assert structure.paths(network) == (len(depths), sum(depths), min(depths), max(depths))


@pytest.mark.parametrize(
    "name", ["alex_v2", "cifar10_6conv", "inception_v3", "nin", "resnet50", "syn_deconv", "vgg16"]
)
def test_parameters_are_those_of_paleo(shared, name):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    assert structure.parameter_count(network) == figures["num_params"]


def test_paths_of_resnet50(shared):
    network = paleo_json.load(shared / "paleo" / "nets" / "resnet50.json")
    # Sixteen residual blocks; a path crosses one to four weighted layers in each.
    assert structure.paths(network).count == 2**16
