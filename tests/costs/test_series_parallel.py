import json

import pytest

from greennas_jax.costs import series_parallel
from greennas_jax.spec import parallel
from greennas_jax.spec.network import Layer, Network


def graph(**parents):
    layers = [Layer(name="data", type="Input", parents=())]
    layers += [Layer(name=n, type="ReLU", parents=tuple(p)) for n, p in parents.items()]
    return Network(name="graph", layers=tuple(layers))


def test_a_chain_and_a_group():
    assert series_parallel.nest(graph(a=["data"], b="a")) == ["data", "a", "b"]
    split = graph(a=["data"], b="a", c="a", d=["b", "c"], e="d")
    assert series_parallel.nest(split) == ["data", "a", [["b"], ["c"]], "d", "e"]


def test_a_branch_without_layers_is_no_branch():
    residual = graph(a=["data"], b="a", c=["a", "b"], d="c")
    assert series_parallel.nest(residual) == ["data", "a", [["b"]], "c", "d"]


def test_what_is_no_nest_is_cut_off():
    # d waits for b and c, but c is also read beside the group that d ends.
    crossed = graph(a=["data"], b="a", c="a", d=["b", "c"], e=["a", "d"], f=["c", "e"])
    assert "f" not in str(series_parallel.nest(crossed))


def test_other_inputs_are_no_sources():
    two = Network(
        name="two",
        layers=(Layer(name="other", type="Input", parents=()), *graph(a=["data"]).layers),
    )
    assert series_parallel.nest(two) == ["data", "a"]


def shape(nest):
    """Return a nest with its branches in an order of their own."""
    return [
        item if isinstance(item, str) else sorted(shape(branch) for branch in item) for item in nest
    ]


@pytest.mark.parametrize(
    "name", ["alex_v2_4gpu", "inception_v3", "resnet50", "syn_mp_3splits", "syn_nb201_cell"]
)
def test_nests_of_the_original(shared, paleo_network, name):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    network = parallel.expand(paleo_network(name), compat="paleo").network
    assert shape(series_parallel.nest(network)) == shape(plain(figures["nested_list"]))


def plain(nest):
    """Return the original's nest with its groups as lists."""
    return [
        item if isinstance(item, str) else [plain(branch) for branch in item["parallel"]]
        for item in nest
    ]
