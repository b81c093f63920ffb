import numpy as np
import pytest

from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, edits_graph, edits_plan, exact, factors
from greennas_jax.spaces.edits import EditsConfig
from greennas_jax.spec import network as networks
from greennas_jax.spec import shapes
from greennas_jax.spec.network import SpecError
from tests.spaces import sequence_examples
from tests.spaces.conftest import built
from tests.spaces.examples import conv, inner, plain
from tests.spaces.test_edits import string, strings
from tests.spaces.test_factors import cost_of_network


def offered(space, layer):
    """The positions of one layer: (kind, choices)."""
    return [(p.kind, p.choices) for p in space.positions if p.layer == layer]


def test_heads_keep_their_width_and_their_groups():
    space, _ = built("decoder")
    # Four groups of two heads that share keys: 4, 3, 2 and 1 of them.
    assert offered(space, "a1") == [("heads", ("8", "6", "4", "2"))]
    made = space.decode(string(space, a1__heads="2")).by_name()["a1"]
    given = space.given.by_name()["a1"]
    # 32 / 8 = 4 wide, as in the given network.
    assert made == given.with_attributes(heads=2, key_value_heads=1, head_width=4)
    assert space.decode(string(space, a1__heads="8")).by_name()["a1"] == given
    # One group only: nothing less is left.
    assert offered(space, "a2") == []


def test_head_ratios_leave_at_least_one_head():
    config = EditsConfig(head_ratios=(1, 0.5, 0.1))
    space = edits.build(sequence_examples.bert(), config=config)
    assert offered(space, "a1") == [("heads", ("4", "2", "1"))]
    with pytest.raises(ValueError, match=r"head_ratios is \(2,\); allowed: 1 to 8 ratios"):
        EditsConfig(head_ratios=(2,))


def test_hidden_units_are_rounded_as_widths_are():
    space, _ = built("bert")
    assert offered(space, "f1") == [("hidden", ("64", "56", "48", "40", "32", "24", "16", "8"))]
    assert offered(space, "f2") == [("hidden", ("12", "11", "9", "8", "6", "5", "3", "2"))]
    made = space.decode(string(space, f1__hidden="40")).by_name()["f1"]
    assert made == space.given.by_name()["f1"].with_attributes(hidden=40)


def test_the_models_width_stays():
    for name, frozen in (
        ("vit", ("patch", "place", "a1", "f2/add", "pool")),
        ("bert", ("embed", "embed/drop", "a1/norm", "f2", "pool", "fc")),
        ("decoder", ("embed", "a2/add", "norm", "head")),
        ("translator", ("e2/add", "d1/norm", "d3", "head")),
        ("positions", ("model", "attend", "narrow", "sum", "fc")),
    ):
        graph = edits_plan.graph_of(sequence_examples.ALL[name]())
        classes = edits_graph.width_classes(graph, frozenset())
        assert {classes.of[layer] for layer in frozen} <= classes.frozen, name
    # Widths of their own: a classifier's hidden layer, and products at each position.
    assert offered(built("vit")[0], "hidden")[0][0] == "width"
    kinds = [(p.layer, p.kind) for p in built("positions")[0].positions if p.kind == "width"]
    assert kinds == [("read", "width"), ("same", "width"), ("wide", "width"), ("end", "width")]


@pytest.mark.parametrize("kernel", [3, 4])
def test_patches_stay_as_they_are(kernel):
    # A kernel of 1 every 3 pixels would leave as many patches, and never see most of a picture.
    layers = {
        "stem": conv("data", 3, 8),
        "patch": conv("stem", kernel, 24, stride=kernel, padding="VALID"),
        "relu": plain("ReLU", "patch"),
        "tokens": plain("Reshape", "relu", output_shape=[-1, (12 // kernel) ** 2, 24]),
        "attend": plain("MultiHeadAttention", "tokens", heads=4),
        "pool": plain("SequencePool", "attend"),
        "fc": inner("pool", 10),
    }
    given = sequence_examples.network("patches", layers, data=[2, 12, 12, 3])
    space = edits.build(given)
    assert [p.name for p in space.positions if p.layer == "patch"] == []
    assert [p.name for p in space.positions if p.layer == "stem"] == [
        *("stem.operation", "stem.kernel", "stem.width")
    ]
    for tokens in strings(space, 20):
        made = space.decode(tokens)
        assert made.by_name()["patch"] == given.by_name()["patch"].replace(
            parents=made.by_name()["patch"].parents
        )
        assert shapes.infer(made)["tokens"].output == (2, (12 // kernel) ** 2, 24)


@pytest.mark.parametrize(("name", "read"), [("vit", "norm"), ("bert", "a1/norm")])
def test_branches_are_dropped_with_all_that_is_in_them(name, read):
    space, _ = built(name)
    joins = [p.layer for p in space.positions if p.kind == "depth"]
    assert joins == ["a1/add", "f1/add", "a2/add", "f2/add"]
    whole = {layer.name for layer in space.given.layers}
    layers = space.decode(string(space, **{f"{join}__depth": "drop" for join in joins})).by_name()
    gone = whole - set(layers)
    assert {"a1", "f1", "a2", "f2", "a1/drop", *joins} <= gone
    # Normalisation in front belongs to the branch; behind the sum it stays.
    assert ("a1/norm" in gone) == (name == "vit")
    assert layers[read].parents == ("place" if name == "vit" else "embed/drop",)


def test_one_branch_of_a_block_is_dropped():
    space, _ = built("bert")
    layers = space.decode(string(space, **{"f1/add__depth": "drop"})).by_name()
    assert layers["f1/norm"].parents == ("a1/norm",)
    assert {"a1", "a1/add", "a2"} <= set(layers)


def test_attention_to_another_sequence_keeps_it_read():
    space, _ = built("translator")
    joins = {p.layer for p in space.positions if p.kind == "depth"}
    # The last attention to the encoder's sequence stays, or nothing would read that.
    assert joins == {"e1/add", "e2/add", "d1/add", "d2/add", "d4/add"}
    assert offered(space, "d3") == [("heads", ("3", "2", "1"))]
    dropped = {f"{join}__depth": "drop" for join in ("e2/add", "d2/add")}
    made = space.decode(string(space, d3__heads="1", **dropped))
    assert made.by_name()["d3"].parents == ("d1/add", "e1/add")
    assert "d2" not in made.by_name()


def test_shared_tables_stay():
    space, _ = built("decoder")
    assert not {p.layer for p in space.positions} & {"embed", "head"}
    for tokens in strings(space, 20):
        layers = space.decode(tokens).by_name()
        assert layers["embed"] == space.given.by_name()["embed"]
        assert layers["head"].attributes == space.given.by_name()["head"].attributes


def test_frozen_layers_of_transformers_have_no_positions():
    config = EditsConfig(freeze=("a1", "f2/norm", "hidden"))
    space = edits.build(sequence_examples.vit(), config=config)
    assert [p.name for p in space.positions] == [
        *("f1/add.depth", "f1.hidden", "a2/add.depth", "a2.heads", "f2.hidden")
    ]


def test_a_branch_and_its_layer_are_one_step():
    space, _ = built("vit")
    names = [[space.positions[p].name for p in step] for step in space.steps]
    assert names[:2] == [["a1/add.depth", "a1.heads"], ["f1/add.depth", "f1.hidden"]]


def test_labels_count_heads_and_hidden_units():
    space, _ = built("vit")
    tokens = string(space, a1__heads="3", f2__hidden="12", **{"a2/add__depth": "drop"})
    labels = dict(zip(space.label_names, space.labels(tokens[None])[0], strict=True))
    assert labels["a1.log2_heads"] == pytest.approx(np.log2(3))
    assert labels["a2.log2_heads"] == labels["a2.live"] == 0
    assert labels["f1.log2_hidden"] == pytest.approx(np.log2(48))
    assert labels["f2.log2_hidden"] == pytest.approx(np.log2(12))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "a1",
            {"heads": 4, "head_width": 4},
            "layer 'a1': heads 4 is not in this space; allowed: 6",
        ),
        ("f1", {"hidden": 47}, "layer 'f1': hidden 47 is not in this space; allowed: 48, 40"),
        ("a1", {"heads": 3}, "layer 'a1' is not as this space would have it"),
        ("f1", {"hidden": 24, "gated": True}, "layer 'f1' is not as this space would have it"),
    ],
)
def test_foreign_transformers_are_refused(name, change, message):
    space, _ = built("vit")
    layers = [
        layer.with_attributes(**change) if layer.name == name else layer
        for layer in space.given.layers
    ]
    with pytest.raises(SpecError, match=message):
        space.encode(space.given.replace(layers=layers))


def test_blocks_survive_a_dropped_endpoint():
    given = sequence_examples.bert()
    names = {"a1", "a1/drop", "a1/add", "a1/norm", "f1", "f1/drop", "f1/add", "f1/norm"}
    renamed = {name: f"block/{name.replace('/', '_')}" for name in names}
    layers = [
        layer.replace(
            name=renamed.get(layer.name, layer.name),
            parents=tuple(renamed.get(p, p) for p in layer.parents),
            block="block" if layer.name in names else layer.block,
        )
        for layer in given.layers
    ]
    block = networks.Block(path="block", parents=("embed/drop",), endpoint="f1_norm")
    space = edits.build(given.replace(layers=layers, blocks=(block,)))
    for tokens in strings(space, 12):
        made = space.decode(tokens)
        networks.check_graph(made)
        np.testing.assert_array_equal(space.encode(made), space.canonical(tokens)[0])


@pytest.mark.parametrize("name", sequence_examples.ALL)
@pytest.mark.parametrize(
    "settings",
    [CostSettings(mode="training", attention="fused"), CostSettings(mode="prefill")],
)
def test_any_settings_and_batch_size_of_a_transformer(name, settings):
    space = edits.build(sequence_examples.ALL[name](), batch_size=7)
    names = ("energy", "time", "memory", "flops")
    device = devices.load("titan_x")
    costs = space.factors(device, [terms.get(term) for term in names], settings)
    for tokens in strings(space, 6):
        expected = cost_of_network(space.decode(tokens), names, settings, 7)
        found = factors.exact(costs, tokens[:, None])[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["vit", "bert"])
def test_the_cheapest_transformer_is_the_least_of_all_strings(name):
    # Everything that is offered by default: 2^4 4^2 7^2 8 and 2^4 4^2 8^2 2 6 strings.
    space, _ = built(name)
    assert space.sizes.prod() == {"vit": 100_352, "bert": 196_608}[name]
    costs = space.factors(devices.load("titan_x"), [terms.get("energy")], CostSettings())
    every = np.indices(space.sizes, dtype=np.uint8).reshape(len(space.sizes), -1)
    tokens, cost = exact.cheapest(costs, {"energy": 1.0})
    assert cost == pytest.approx(factors.exact(costs, every).min(), rel=1e-12)
    assert {p.kind: p.choices[t] for p, t in zip(space.positions, tokens, strict=True)}[
        "depth"
    ] == "drop"
