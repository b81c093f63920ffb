import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greennas_jax.spec import network as networks
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import Block, Layer, Network, SpecError
from tests.spec.paleo_texts import INCEPTION, conv, text


def parents(network: Network) -> dict[str, tuple[str, ...]]:
    return {layer.name: layer.parents for layer in network.layers}


def edited(network: Network, **changes) -> Network:
    """Return the network with some layers' fields changed; None removes a layer."""
    layers = [
        layer.replace(**changes.get(layer.name.replace("/", "_"), {}))
        for layer in network.layers
        if changes.get(layer.name.replace("/", "_"), {}) is not None
    ]
    return network.replace(layers=tuple(layers))


def test_blocks_are_resolved_whatever_the_order():
    network = paleo_json.read(INCEPTION)
    assert parents(network) == {
        "data": (),
        "early": ("mix/join",),
        "mix/a": ("stem",),
        "mix/b": ("stem",),
        "mix/b2": ("mix/b",),
        "mix/join": ("mix/a", "mix/b2"),
        "second/c": ("mix/join",),
        "second/d": ("second/c",),
        "stem": ("data",),
        "long": ("mix/join",),
        "short": ("mix/join",),
        "out": ("long", "short", "second/d", "mix/a"),
    }
    assert network.name == "n"
    assert dict(network.attributes) == {"source": "somewhere", "year": 2014}
    assert [(b.path, b.parents, b.endpoint) for b in network.blocks] == [
        ("mix", ("stem",), "join"),
        ("second", ("mix",), None),
    ]
    assert network.by_name()["mix/b2"].block == "mix"
    assert network.by_name()["stem"].attributes["colour"] == "green"


def test_writing_gives_the_same_value_in_the_same_order():
    written = paleo_json.write(paleo_json.read(INCEPTION))
    assert json.loads(written) == json.loads(INCEPTION)
    assert list(json.loads(written)["layers"]) == list(json.loads(INCEPTION)["layers"])
    assert paleo_json.write(paleo_json.read(written)) == written
    # Head 5, six plain layers, blocks of 5 lines and 4 and 2 layers, end 2.
    assert written.endswith("}\n") and written.count("\n") == 5 + 6 + (5 + 4) + (5 + 2) + 2


def test_text_that_is_not_ascii_survives():
    odd = text({"café": conv("data", note="naïve \ud800 \u2028")}, author="Zoë\nB")
    assert json.loads(paleo_json.write(paleo_json.read(odd))) == json.loads(odd)


def test_an_edit_inside_a_block_keeps_the_block():
    network = paleo_json.read(INCEPTION)
    depthwise = Layer(
        name="mix/b2/depthwise",
        type="Convolution",
        parents=("mix/b",),
        attributes={**network.by_name()["mix/b2"].attributes, "groups": 4},
        block="mix",
    )
    layers = []
    for layer in network.layers:
        if layer.name == "mix/b2":
            layers.append(depthwise)
            layer = layer.replace(parents=("mix/b2/depthwise",))
        layers.append(layer)
    written = paleo_json.write(network.replace(layers=tuple(layers)))
    block = json.loads(written)["layers"]["mix"]
    assert block["type"] == "Block" and block["endpoint"] == "join"
    assert list(block["layers"]) == ["a", "b", "b2/depthwise", "b2", "join"]
    assert block["layers"]["b2"]["parents"] == ["b2/depthwise"]
    assert paleo_json.read(written).layers == tuple(layers)


def test_a_block_follows_its_parents_when_they_change():
    network = networks.without(paleo_json.read(INCEPTION), ["stem"])
    written = paleo_json.write(network)
    assert json.loads(written)["layers"]["mix"]["parents"] == ["data"]
    assert paleo_json.read(written).layers == network.layers


def test_a_lost_endpoint_is_replaced_by_the_last_unread_layer():
    lost = edited(
        paleo_json.read(INCEPTION),
        mix_join=None,
        early={"parents": ("mix/b2",)},
        second_c={"parents": ("mix/b2",)},
        long={"parents": ("mix/a",)},
        short={"parents": ("mix/b2",)},
    )
    written = paleo_json.write(lost)
    layers = json.loads(written)["layers"]
    assert layers["mix"]["endpoint"] == "b2"
    assert layers["long"]["parents"] == ["mix/a"]
    assert paleo_json.read(written).layers == lost.layers


def test_a_parent_that_changed_is_not_told_by_its_old_spelling():
    moved = edited(paleo_json.read(INCEPTION), short={"parents": ("mix/a",)})
    assert json.loads(paleo_json.write(moved))["layers"]["short"]["parents"] == ["mix/a"]


@pytest.mark.parametrize(
    "change",
    [
        {"mix_join": {"parents": ("mix/a", "mix/b2", "stem")}},  # Inside and outside at once.
        {"mix_b": {"parents": ("data",)}},  # Another outside than its neighbour's.
        {"mix_b2": {"block": ""}},  # A layer in the middle left the block.
        {"stem": {"name": "mix", "type": "Dropout"}, "mix_a": {"parents": ("mix",)}},
        {"mix_a": {"name": "elsewhere/a"}},
    ],
)
def test_a_block_that_cannot_be_told_is_written_flat(change):
    network = edited(paleo_json.read(INCEPTION), **change)
    renamed = {"stem": "mix"} if "stem" in change else {}
    if change.get("mix_a", {}).get("name"):
        renamed = {"mix/a": "elsewhere/a"}
    network = network.replace(
        layers=tuple(
            layer.replace(parents=tuple(renamed.get(p, p) for p in layer.parents))
            for layer in network.layers
        )
    )
    written = paleo_json.write(network)
    back = paleo_json.read(written)
    assert [block.path for block in back.blocks] == ["second"]
    assert "mix/b" in json.loads(written)["layers"]
    assert [layer.replace(block="") for layer in back.layers] == [
        layer.replace(block="") for layer in network.layers
    ]


def test_a_block_without_record_is_written_flat():
    network = paleo_json.read(INCEPTION).replace(blocks=())
    assert paleo_json.read(paleo_json.write(network)).blocks == ()


PARALLEL = text(
    {
        "mp": {
            "type": "ModelParallel",
            "splits": 3,
            "parents": ["data"],
            "layers": {
                "a": conv(),
                "cat": {"type": "Concatenate", "parents": ["a@all"], "dim": 3},
                "fc": {"type": "InnerProduct", "parents": ["cat@self"], "num_outputs": 20},
            },
        },
        "cat": {"type": "Concatenate", "parents": ["mp/fc@all"], "dim": 1},
    }
)


def test_model_parallel_is_kept_as_text_and_refused_by_shapes():
    network = paleo_json.read(PARALLEL)
    assert [layer.name for layer in network.layers] == ["data", "mp", "cat"]
    assert json.loads(paleo_json.write(network)) == json.loads(PARALLEL)
    with pytest.raises(SpecError, match="layer 'mp' is a ModelParallel, which stands for layers"):
        shapes.infer(network)


def test_unknown_types_are_listed_and_kept():
    odd = text({"a": {"type": "Martian", "parents": ["data"]}, "b": conv("a")})
    network = paleo_json.read(odd)
    assert paleo_json.unknown_types(network) == {"Martian": ("a",)}
    assert json.loads(paleo_json.write(network)) == json.loads(odd)
    assert paleo_json.unknown_types(paleo_json.read(INCEPTION)) == {}
    assert paleo_json.unknown_types(paleo_json.read(PARALLEL)) == {}


def test_a_chain_of_five_thousand_layers_takes_no_time():
    layers = {"l0": conv("data")} | {f"l{i}": conv(f"l{i - 1}") for i in range(1, 5000)}
    long = text(layers)
    start = time.perf_counter()
    network = paleo_json.read(long)
    written = paleo_json.write(network)
    assert time.perf_counter() - start < 2
    assert json.loads(written) == json.loads(long)


@st.composite
def graphs(draw) -> Network:
    """Return a random network, its layers dealt out to blocks without any regard for sense."""
    kinds = ("Convolution", "Concatenate", "Elementwise", "Dropout")
    layers = [Layer(name="data", type="Input", parents=(), attributes={"tensor": [1, 4, 4, 4]})]
    channels = {"data": 4}
    for index in range(draw(st.integers(1, 12))):
        group = draw(st.sampled_from(("", "p", "q/r")))
        name = f"{group}/l{index}" if group else f"l{index}"
        kind = draw(st.sampled_from(kinds))
        many = st.lists(st.sampled_from(layers), min_size=2, max_size=3)
        read = draw(
            many
            if kind == "Concatenate"
            else st.lists(st.sampled_from(layers[-3:]), min_size=1, max_size=1)
        )
        attributes: dict = {}
        if kind == "Convolution":
            attributes = conv(filter=[1, 1, channels[read[0].name], draw(st.integers(1, 9))])
            del attributes["parents"], attributes["type"]
            channels[name] = attributes["filter"][3]
        elif kind == "Concatenate":
            attributes = {"dim": 3}
            channels[name] = sum(channels[one.name] for one in read)
        else:
            channels[name] = channels[read[0].name]
        names = tuple(one.name for one in read)
        layers.append(
            Layer(name=name, type=kind, parents=names, attributes=attributes, block=group)
        )
    order = draw(st.permutations(layers)) if draw(st.booleans()) else layers
    blocks = tuple(
        Block(path=path, parents=("data",), endpoint=None)
        for path in draw(st.sets(st.sampled_from(("p", "q/r"))))
    )
    return Network(name="random", layers=tuple(order), blocks=blocks)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_any_network_survives_writing(network):
    written = paleo_json.write(network)
    back = paleo_json.read(written)
    # Only the membership in blocks that cannot be told may be gone.
    assert [layer.replace(block="") for layer in back.layers] == [
        layer.replace(block="") for layer in network.layers
    ]
    for ours, theirs in zip(network.layers, back.layers, strict=True):
        assert theirs.block in ("", ours.block)
    assert paleo_json.write(back) == written


NETS = (
    "alex_v2",
    "alex_v2_1gpu",
    "alex_v2_4gpu",
    "bvlc_googlenet_80",
    "cifar10_6conv",
    "inception_v3",
    "nin",
    "resnet50",
    "syn_block_endpoint",
    "syn_conv_variants",
    "syn_deconv",
    "syn_misc_types",
    "syn_mp_3splits",
    "syn_nb201_cell",
    "syn_residual",
    "syn_two_joints",
    "vgg16",
)


@pytest.mark.parametrize("name", NETS)
def test_published_networks_survive(shared, name):
    given_text = (shared / "paleo" / "nets" / f"{name}.json").read_text()
    written = paleo_json.write(paleo_json.read(given_text))
    assert json.loads(written) == json.loads(given_text)
    assert list(json.loads(written)["layers"]) == list(json.loads(given_text)["layers"])
