import pytest

from greennas_jax.build import graph
from greennas_jax.export import names
from tests.accuracy import networks, transformers


@pytest.mark.parametrize(
    "name, expected",
    [
        ("conv1", "conv1"),
        ("block/conv 1", "block_conv_1"),
        ("1x1", "layer_1x1"),
        ("lambda", "lambda_"),
        ("x", "x_"),
        ("__init__", "init"),
        ("éé", "layer"),
        ("", "layer"),
        ("a" * 60, "a" * 42),
    ],
)
def test_names_become_identifiers(name, expected):
    assert names.identifier(name) == expected


def test_taken_names_are_numbered():
    taken = {"a"}
    assert [names.unique("a", taken) for _ in range(3)] == ["a_2", "a_3", "a_4"]
    assert taken == {"a", "a_2", "a_3", "a_4"}


def test_live_nodes_hold_shared_tables_and_no_head():
    nodes = graph.nodes(transformers.gpt(blocks=1))
    kept = {node.name for node in names.live(nodes, "head")}
    assert "embed" in kept and "prob" not in kept
    nodes = graph.nodes(networks.branches())
    kept = [node.name for node in names.live(nodes, "left")]
    assert kept == ["data", "stem", "lrn", "left"]
