import pytest

from greennas_jax.spaces import edits_blocks, edits_graph, edits_plan
from greennas_jax.spec.network import SpecError
from tests.spaces import examples


def graph(name):
    return edits_plan.graph_of(examples.ALL[name]())


def classes(name, frozen=frozenset()):
    return edits_graph.width_classes(graph(name), frozen)


def test_elementwise_ties_widths():
    found = classes("residual")
    group = found.of["stem"]
    assert found.producers[group] == ("stem", "a2", "b2")
    assert found.of["aadd"] == found.of["b2bn"] == group
    assert group in found.tied
    assert found.producers[found.of["c2"]] == ("c2", "project")
    assert found.of["a1"] not in found.tied


def test_concatenate_leaves_widths_free():
    found = classes("inception")
    assert found.of["a"] not in (found.of["a/one"], found.of["a/tall"])
    assert not found.frozen & {found.of[name] for name in ("a/one", "a/tall", "b/after")}


def test_outputs_and_their_classes_are_frozen():
    for name, last in (("chain", "fc3"), ("dense_like", "fc8"), ("dense", "fc")):
        assert classes(name).of[last] in classes(name).frozen


def test_a_sum_tied_to_a_width_freezes_both():
    found = classes("nested")
    assert {found.of[name] for name in ("stem", "left", "right")} <= found.frozen
    assert found.of["a"] not in found.frozen


def test_fixed_shapes_freeze_what_feeds_them():
    found = classes("odd")
    assert found.of["fixed"] in found.frozen
    assert found.of["conv3"] not in found.frozen


def test_sizes_may_change_up_to_an_inner_product():
    assert edits_graph.may_resize(graph("chain"), "conv2")
    assert edits_graph.may_resize(graph("dense_like"), "conv1")
    assert edits_graph.may_resize(graph("odd"), "conv3")
    assert not edits_graph.may_resize(graph("inception"), "stem")
    assert not edits_graph.may_resize(graph("odd"), "down")
    assert not edits_graph.may_resize(graph("chain"), "fc3")


def test_identity_blocks_are_shortcuts():
    found = edits_blocks.shortcuts(graph("residual"), frozenset())
    assert set(found) == {"aadd", "badd"}
    assert found["badd"].source == "aadd"
    assert found["badd"].inside == {"b1", "b1bn", "b1relu", "b2", "b2bn"}
    assert set(edits_blocks.shortcuts(graph("residual"), frozenset({"b2"}))) == {"aadd"}
    assert set(edits_blocks.shortcuts(graph("nested"), frozenset())) == {"inner", "outer", "tied"}


def test_no_layer_comes_to_read_one_parent_twice():
    # outer = stem + c(a + b(a)): if c and a could both vanish, with b, it would be stem + stem.
    given = graph("nested")
    blocks = edits_blocks.shortcuts(given, frozenset())
    skippable, kept = edits_blocks.without_collisions(given, {"a", "b", "c"}, blocks)
    assert set(kept) == set(blocks)
    assert "b" not in skippable
    assert not {"a", "c"} <= skippable


def test_freeze_takes_names_and_patterns():
    network = examples.residual()
    assert edits_graph.frozen_names(network, ("stem", "a?")) == {"stem", "a1", "a2"}
    with pytest.raises(SpecError, match="freeze 'conv9' fits no layer"):
        edits_graph.frozen_names(network, ("conv9",))
