import itertools

import numpy as np
import pytest

from greennas_jax.costs import layer_table, terms
from greennas_jax.spaces import edits
from greennas_jax.spaces.edits import EditsConfig
from greennas_jax.spec import network as networks
from greennas_jax.spec import paleo_json, shapes, structure
from greennas_jax.spec.network import SpecError
from tests.spaces import examples
from tests.spaces.conftest import built


def strings(space, count, seed=0):
    """Random strings, half of them not canonical."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, space.sizes, (count // 2, len(space.sizes))).astype(np.int32)
    return np.concatenate([space.sample(rng, count - len(raw)), raw])


def string(space, **choices):
    """The string with some positions' choices, named by text; `__` stands for a dot."""
    tokens = np.zeros(len(space.positions), dtype=np.int32)
    for row, position in enumerate(space.positions):
        wanted = choices.pop(position.name.replace(".", "__"), None)
        if wanted is not None:
            tokens[row] = position.choices.index(wanted)
    assert not choices
    return tokens


def test_the_given_network_is_the_string_of_zeros(case):
    space, _ = case
    zeros = np.zeros(len(space.positions), dtype=np.int32)
    assert space.decode(zeros) == space.given
    np.testing.assert_array_equal(space.encode(space.given), zeros)


def test_every_string_decodes_to_a_valid_network_and_back(case):
    space, _ = case
    for tokens in strings(space, 60):
        network = space.decode(tokens)
        networks.check_graph(network)
        shapes.infer(network)
        np.testing.assert_array_equal(space.encode(network), space.canonical(tokens)[0])


def test_canonical_strings_are_the_networks(case):
    space, _ = case
    found = strings(space, 200)
    canonical = space.canonical(found)
    np.testing.assert_array_equal(space.canonical(canonical), canonical)
    distinct = np.unique(canonical, axis=0)
    texts = {paleo_json.write(space.decode(tokens)) for tokens in distinct}
    assert len(texts) == len(distinct)


def test_networks_survive_as_text(case):
    space, _ = case
    for tokens in strings(space, 6):
        network = space.decode(tokens)
        assert paleo_json.read(paleo_json.write(network)).by_name() == network.by_name()


@pytest.mark.parametrize("name", ["chain", "stacked", "residual", "mobile"])
def test_all_networks_of_a_small_space_are_distinct(name):
    space, _ = built(name, coarse=True)
    rows = itertools.product(*map(range, space.sizes))
    every = np.array(list(itertools.islice(rows, 800)), dtype=np.int32)
    distinct = np.unique(space.canonical(every), axis=0)
    networks_found = {repr(space.decode(tokens)) for tokens in every}
    assert len(networks_found) == len(distinct)


def test_positions_and_steps_belong_together(case):
    space, _ = case
    assert sorted(itertools.chain(*space.steps)) == list(range(len(space.positions)))
    assert max(map(len, space.steps)) <= 4
    names = [position.name for position in space.positions]
    assert len(set(names)) == len(names)
    assert space.valid_mask.sum() == space.sizes.sum()
    assert space.sizes.min() >= 2


def test_neighbours_are_all_single_edits(case):
    space, _ = case
    tokens = strings(space, 4)[3]
    found = space.neighbours(tokens)
    assert len(np.unique(found, axis=0)) == len(found)
    canonical = space.canonical(tokens)[0]
    expected = set()
    for position, size in enumerate(space.sizes):
        for choice in range(size):
            edited = canonical.copy()
            edited[position] = choice
            expected.add(space.canonical(edited)[0].tobytes())
    expected.discard(canonical.tobytes())
    assert {row.tobytes() for row in found} == expected


def test_labels_are_those_of_the_decoded_network(case):
    space, _ = case
    found = strings(space, 20)
    labels = space.labels(found)
    assert labels.dtype == np.float64
    assert labels.shape == (len(found), len(space.label_names))
    column = {name: labels[:, row] for row, name in enumerate(space.label_names)}
    settings = edits.CostSettings()
    for row, tokens in enumerate(found):
        network = space.decode(tokens)
        table = layer_table.from_network(network)
        for term in ("flops", "parameters"):
            total = terms.get(term).function(table, edits._ANY_DEVICE, settings).sum()
            assert column[f"log2_{term}"][row] == pytest.approx(np.log2(total), abs=1e-9)
        _check_layer_labels(space, network, column, row)
        if "log2_paths" in column:
            count = structure.paths(network).count
            assert column["log2_paths"][row] == pytest.approx(np.log2(count), abs=1e-9)


def _check_layer_labels(space, network, column, row):
    found, made = network.by_name(), shapes.infer(network)
    for name in space.plan.layers:
        if f"{name}.live" in column:
            assert column[f"{name}.live"][row] == (name in found)
        if f"{name}.log2_width" in column:
            width = made[name].output[-1] if name in found else 1
            assert column[f"{name}.log2_width"][row] == np.log2(width)
        if f"{name}.separable" in column:
            assert column[f"{name}.separable"][row] == (f"{name}/depthwise" in found)
        if f"{name}.bottleneck" in column:
            assert column[f"{name}.bottleneck"][row] == (f"{name}/spatial" in found)


def test_sampled_strings_are_canonical_and_repeatable(case):
    space, _ = case
    one, other = (space.sample(np.random.default_rng(5), 50) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(space.canonical(one), one)


def test_a_larger_output_reaches_the_inner_product():
    space, _ = built("chain")
    network = space.decode(string(space, conv2__kernel="3x3", conv1__width="3"))
    # 16 / 2 = 8 rows into conv2; a 3 x 3 VALID kernel leaves 6, pooling 3: 3 * 3 * 16 features.
    assert shapes.infer(network)["fc1"].inputs[0] == (2, 3, 3, 16)
    assert network.by_name()["conv2"].attributes["filter"] == [3, 3, -1, 16]


def test_a_dense_like_convolution_covers_its_input():
    space, _ = built("dense_like")
    network = space.decode(string(space, conv1__kernel="1x1"))
    # ceil((35 - 1 + 1) / 2) = 18 rows, pooled 3 / 2 to 8; as given 15 and 7.
    assert network.by_name()["fc6"].attributes["filter"] == [8, 8, -1, 64]


def test_global_pooling_covers_its_input():
    layers = {
        "conv": examples.conv("data", 3, 16, padding="VALID"),
        "pool": examples.pool("conv", 6, 1, kind="AvgPool"),
        "fc": examples.inner("pool", 10),
    }
    space = edits.build(examples.network("global", 8, 3, layers))
    network = space.decode(string(space, conv__kernel="1x1"))
    assert network.by_name()["pool"].attributes["ksize"] == [1, 8, 8, 1]
    assert shapes.infer(network)["fc"].inputs[0] == (2, 1, 1, 16)


def test_flattening_follows_its_input():
    space, _ = built("odd")
    network = space.decode(string(space, conv3__width="8", conv3__kernel="1x1"))
    # 16 x 4 sites of 8 channels; as given 14 x 2 of 16.
    assert network.by_name()["flat"].attributes["output_shape"] == [-1, 16 * 4 * 8]


def test_a_dropped_block_leaves_its_shortcut():
    space, _ = built("residual")
    network = space.decode(string(space, badd__depth="drop", b1__kernel="1x1"))
    layers = network.by_name()
    assert not [name for name in layers if name.startswith("b")]
    assert layers["c1"].parents == layers["project"].parents == ("aadd",)


def test_residual_widths_move_together():
    space, _ = built("residual")
    found = shapes.infer(space.decode(string(space, stem__width="8")))
    assert {found[name].output[-1] for name in ("stem", "a2", "b2", "badd")} == {8}
    assert found["a1"].output[-1] == 16


def test_skipped_layers_pass_their_input_on():
    space, _ = built("stacked")
    tokens = string(
        space, conv2__operation="skip", conv3__operation="skip", conv1__width="8", conv2__width="8"
    )
    network = space.decode(tokens)
    assert network.by_name()["conv4"].parents == ("conv1",)
    assert shapes.infer(network)["conv4"].inputs[0][-1] == 8
    assert (
        space.canonical(tokens)[0].sum()
        == string(space, conv2__operation="skip", conv3__operation="skip", conv1__width="8").sum()
    )


def test_depthwise_layers_follow_their_input():
    space, _ = built("mobile")
    network = space.decode(string(space, stem__width="12", dw1__kernel="1x1"))
    attributes = network.by_name()["dw1"].attributes
    assert attributes["filter"] == [1, 1, -1, 12]
    assert attributes["groups"] == 12
    assert not [p.name for p in space.positions if p.name.startswith("dw1.w")]


def test_frozen_layers_have_no_positions():
    config = EditsConfig(freeze=("conv[12]", "fc"))
    space = edits.build(examples.stacked(), config=config)
    assert {position.layer for position in space.positions} == {
        *("conv3", "conv4", "conv5", "conv6")
    }
    for tokens in strings(space, 20):
        layers = space.decode(tokens).by_name()
        assert layers["conv1"] == space.given.by_name()["conv1"]
        assert layers["conv2"] == space.given.by_name()["conv2"]


def test_everything_frozen_leaves_one_network():
    space = edits.build(examples.residual(), config=EditsConfig(freeze=("*",)))
    assert space.positions == ()
    assert space.sample(np.random.default_rng(0), 3).shape == (3, 0)
    assert space.decode(np.zeros(0, np.int32)) == space.given
    assert space.neighbours(np.zeros(0, np.int32)).shape == (0, 0)
    assert space.labels(np.zeros((2, 0), np.int32)).shape == (2, len(space.label_names))


def test_paleo_compatible_networks_have_neither_groups_nor_depthwise():
    space = edits.build(examples.inception(), config=EditsConfig(paleo_compatible=True))
    for tokens in strings(space, 20):
        for layer in space.decode(tokens).layers:
            assert layer.attributes.get("groups", 1) == 1


def test_blocks_are_kept():
    given = examples.stacked()
    layers = [
        layer.replace(name=f"body/{layer.name}", block="body") if layer.name == "conv2" else layer
        for layer in given.layers
    ]
    layers = [
        layer.replace(parents=tuple("body/conv2" if p == "conv2" else p for p in layer.parents))
        for layer in layers
    ]
    block = networks.Block(path="body", parents=("conv1",), endpoint="conv2")
    space = edits.build(given.replace(layers=layers, blocks=(block,)))
    tokens = np.zeros(len(space.positions), np.int32)
    position = next(
        row for row, p in enumerate(space.positions) if p.name == "body/conv2.operation"
    )
    choices = space.positions[position].choices
    tokens[position] = choices.index("separable")
    network = space.decode(tokens)
    assert network.by_name()["body/conv2/depthwise"].block == "body"
    assert network.blocks == (block,)
    tokens[position] = choices.index("skip")
    assert space.decode(tokens).blocks == ()
    assert paleo_json.read(paleo_json.write(network)) == network


def test_small_caps_leave_a_smaller_valid_space():
    for name in ("stacked", "inception", "residual"):
        whole, _ = built(name)
        space = edits.build(examples.ALL[name](), config=EditsConfig(scope_cap=200))
        assert max(slot.node.index.size for slot in space.slots) <= 200
        assert np.log(space.sizes).sum() < np.log(whole.sizes).sum()
        for tokens in strings(space, 10):
            assert (space.encode(space.decode(tokens)) == space.canonical(tokens)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filter": [5, 5, -1, 7]}, "layer 'conv2': width 7 is not in this space; allowed: 16"),
        ({"filter": [2, 2, -1, 16]}, r"layer 'conv2': kernel \(2, 2\) is not in this space"),
        ({"activation_fn": "tanh"}, "layer 'conv2' is not as this space would have it"),
    ],
)
def test_foreign_networks_are_refused(change, message):
    space, _ = built("chain")
    layers = [
        layer.with_attributes(**change) if layer.name == "conv2" else layer
        for layer in space.given.layers
    ]
    with pytest.raises(SpecError, match=message):
        space.encode(space.given.replace(layers=layers))


def test_wrong_tokens_are_refused():
    space, _ = built("chain")
    with pytest.raises(SpecError, match="token 9 at position 1"):
        space.decode(np.array([0, 9, *[0] * (len(space.positions) - 2)]))
