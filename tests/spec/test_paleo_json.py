import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greennas_jax.spec import network as networks
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import Block, Layer, Network, SpecError

DATA = {"type": "Input", "parents": [], "tensor": [2, 8, 8, 4]}


def conv(*parents: str, **more) -> dict:
    return {
        "type": "Convolution",
        "parents": list(parents),
        "filter": [3, 3, -1, 4],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        **more,
    }


def text(layers: dict, **more) -> str:
    return json.dumps({"name": "n", **more, "layers": {"data": DATA, **layers}})


def join(*parents: str) -> dict:
    return {"type": "Concatenate", "parents": list(parents), "dim": 3}


INCEPTION = text(
    {
        "early": {"type": "Dropout", "parents": ["mix"]},  # Reads a block that comes later.
        "mix": {
            "type": "Block",
            "parents": ["stem"],
            "endpoint": "join",
            "author": {"comment": [1, 2.5, None]},
            "layers": {"a": conv(), "b": conv(), "b2": conv("b"), "join": join("a", "b2")},
        },
        "second": {"type": "Block", "parents": ["mix"], "layers": {"c": conv(), "d": conv("c")}},
        "stem": conv("data", groups=2, use_bias=False, colour="green"),
        "long": conv("mix/join"),
        "short": conv("mix"),
        "out": join("long", "short", "second/d", "mix/a"),
    },
    source="somewhere",
    year=2014,
)


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


def block(layers: object, **more) -> dict:
    return {"b": {"type": "Block", "parents": ["data"], "layers": layers, **more}}


def parallel(layers: object, **more) -> dict:
    return {"m": {"type": "ModelParallel", "parents": ["data"], "layers": layers, **more}}


BAD = {
    "not JSON": ('{"name": "n",\n "layers": {]}', "not valid JSON at line 2, column 13"),
    "array": ("[1, 2]", "the text is [1, 2]; an object with 'name' and 'layers' is needed"),
    "no layers": ('{"name": "n"}', "'layers' is missing; an object of layers is needed"),
    "list of layers": ('{"layers": []}', "network: 'layers' is []; an object of layers"),
    "empty layers": ('{"layers": {}}', "network: 'layers' is {}; an object of layers"),
    "name": ('{"name": 3, "layers": {"a": 1}}', "'name' is 3; allowed: 1 to 256 printable"),
    "layer is text": (text({"a": "conv"}), "layer 'a' is 'conv'; an object is needed"),
    "layer's name": (text({"a\nb": conv("data")}), r"a layer's name is 'a\nb'; allowed: 1 to 256"),
    "long name": (text({"a" * 300: conv("data")}), "allowed: 1 to 256 printable characters"),
    "no type": (text({"a": {"parents": ["data"]}}), "layer 'a': 'type' is missing"),
    "type": (text({"a": {"type": 1, "parents": []}}), "layer 'a': 'type' is 1; allowed"),
    "no parents": (text({"a": {"type": "LRN"}}), "layer 'a': 'parents' is missing; a list"),
    "parents": (
        text({"a": {"type": "LRN", "parents": "data"}}),
        "layer 'a': 'parents' is 'data'; a list of layer names is needed",
    ),
    "a parent": (text({"a": {"type": "LRN", "parents": [1]}}), "layer 'a': a parent is 1"),
    "missing parent": (text({"a": conv("nope")}), "layer 'a': parent 'nope' is not a layer"),
    "cycle": (text({"a": conv("b"), "b": conv("a")}), "cycle through layers"),
    "no input": (
        '{"layers": {"a": {"type": "LRN", "parents": ["a"]}}}',
        "no layer of type 'Input'",
    ),
    "channels": (
        text({"a": conv("data", filter=[3, 3, 9, 4])}),
        "layer 'a': filter [3, 3, 9, 4] wants 9 input channels",
    ),
    "repeated": ('{"layers": {}, "layers": {}}', "key 'layers' is given twice"),
    "empty block": (text(block({})), "Block 'b': 'layers' is {}; an object of layers is needed"),
    "block without layers": (text({"b": {"type": "Block", "parents": []}}), "'layers' is None"),
    "block in block": (
        text(block({"x": {"type": "Block", "parents": [], "layers": {}}})),
        "Block 'b', layer 'x' is a Block; a Block may hold plain layers only",
    ),
    "endpoint": (
        text(block({"x": conv()}, endpoint="y")),
        "Block 'b': 'endpoint' is 'y'; one of its layers is needed",
    ),
    "endpoint list": (text(block({"x": conv()}, endpoint=["x"])), "'endpoint' is ['x']"),
    "no endpoint": (
        text({**block({"x": conv()}), "a": conv("b")}),
        "layer 'a': parent 'b' is a Block without 'endpoint'; name a layer of it as 'b/LAYER'",
    ),
    "outside from inside": (
        text(block({"x": conv("data")})),
        "layer 'b/x': parent 'data' is not a layer of Block 'b'",
    ),
    "block's clash": (
        text({**block({"x": conv()}), "b/x": {**block({"y": conv()})["b"]}}),
        "'b/x' names a Block and a layer; names must differ",
    ),
    "layers' clash": (text({**block({"x": conv()}), "b/x": conv("data")}), "'b/x' is used twice"),
    "splits": (
        text(parallel({"x": conv()}, splits=0)),
        "ModelParallel 'm': 'splits' is 0; a whole number from 1 needed",
    ),
    "parallel inside": (
        text(parallel({"x": conv("y@self")}, splits=2)),
        "layer 'm/x': parent 'y@self' is not a layer of ModelParallel 'm'",
    ),
    "parallel reader": (
        text({**parallel({"x": conv()}, splits=2), "a": conv("m/x@5")}),
        "layer 'a': parent 'm/x@5' is not a layer of this network",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text_is_refused_with_one_line(case):
    bad, said = BAD[case]
    with pytest.raises(SpecError) as caught:
        paleo_json.read(bad, origin="here.json")
    message = str(caught.value)
    assert said in message
    assert message.startswith("here.json: ") and "\n" not in message
    assert len(message) < 600


def test_too_many_layers(monkeypatch):
    monkeypatch.setattr(paleo_json, "MOST_LAYERS", 3)
    inside = {"x": conv(), "y": conv("x")}
    paleo_json.read(text({"a": conv("data"), "c": conv("a")}))
    with pytest.raises(SpecError, match="'layers' has 4 layers; at most 3 are read"):
        paleo_json.read(text(block(inside)))


def test_load(tmp_path, monkeypatch):
    path = tmp_path / "net.json"
    path.write_text(INCEPTION, encoding="utf-8")
    assert paleo_json.load(path) == paleo_json.read(INCEPTION)
    path.write_bytes(b"\xef\xbb\xbf" + INCEPTION.encode())
    assert paleo_json.load(str(path)) == paleo_json.read(INCEPTION)
    path.write_bytes(b'{"name": "\xff"}')
    with pytest.raises(SpecError, match=r"net\.json: byte 10 is not UTF-8 text"):
        paleo_json.load(path)
    path.write_text("{")
    with pytest.raises(SpecError, match=r"net\.json: not valid JSON at line 1, column 2"):
        paleo_json.load(path)
    monkeypatch.setattr(paleo_json.strict_json, "LARGEST_TEXT", 1000)
    path.write_bytes(b" " * 1001)
    with pytest.raises(SpecError, match=r"net\.json: larger than 1000 bytes"):
        paleo_json.load(path)
    with pytest.raises(OSError):
        paleo_json.load(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("attributes", "name", "said"),
    [
        ({"k": float("nan")}, "a", "'a' cannot be written as JSON"),
        ({"k": {1, 2}}, "a", "'a' cannot be written as JSON"),
        ({}, "a\nb", r"a layer's name is 'a\\nb'"),
    ],
)
def test_write_refuses(attributes, name, said):
    source = Layer(name="data", type="Input", parents=(), attributes={"tensor": [1, 2]})
    layer = Layer(name=name, type="LRN", parents=("data",), attributes=attributes)
    with pytest.raises(SpecError, match=said):
        paleo_json.write(Network(name="n", layers=(source, layer)))
    with pytest.raises(SpecError, match="parent 'gone' is not a layer"):
        paleo_json.write(Network(name="n", layers=(source, layer.replace(parents=("gone",)))))


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("channel_mismatch", "layer 'a': filter [3, 3, 4, 8] wants 4 input channels"),
        ("concat_one_parent", "layer 'a': Concatenate has one parent; two or more needed"),
        ("unknown_parent", "layer 'a': parent 'nope' is not a layer of this network"),
    ],
)
def test_networks_meant_to_fail_do(shared, name, said):
    with pytest.raises(SpecError) as caught:
        paleo_json.load(shared / "paleo" / "nets" / f"syn_fail_{name}.json")
    assert said in str(caught.value) and f"syn_fail_{name}.json: " in str(caught.value)
