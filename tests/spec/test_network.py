import time

import pytest

from greennas_jax.spec import network as networks
from greennas_jax.spec.network import Layer, Network, SpecError


def net(*edges: tuple[str, tuple[str, ...]]) -> Network:
    """Return a network of Elementwise layers behind the input 'data'."""
    layers = [Layer(name="data", type="Input", parents=(), attributes={"tensor": [1, 4, 4, 2]})]
    layers += [Layer(name=name, type="Elementwise", parents=parents) for name, parents in edges]
    return Network(name="n", layers=tuple(layers))


def names(layers) -> list[str]:
    return [layer.name for layer in layers]


def test_records_are_frozen():
    layer = Layer(name="a", type="LRN", parents=["data"], attributes={"k": 1})  # pyright: ignore
    assert layer.parents == ("data",)
    with pytest.raises(AttributeError):
        layer.name = "b"  # pyright: ignore
    with pytest.raises(TypeError):
        layer.attributes["k"] = 2  # pyright: ignore


def test_with_attributes_leaves_the_original_alone():
    layer = Layer(name="a", type="LRN", parents=("data",), attributes={"k": 1})
    changed = layer.with_attributes(k=2, m=3)
    assert dict(changed.attributes) == {"k": 2, "m": 3}
    assert dict(layer.attributes) == {"k": 1}
    assert layer.replace(name="b").attributes == layer.attributes


def test_topological_order_visits_a_graph_that_is_not_series_parallel():
    # The four-node cell of Dong and Yang, "NAS-Bench-201", ICLR 2020: every node reads all before.
    cell = net(("n3", ("n0", "n1", "n2")), ("n2", ("n0", "n1")), ("n1", ("n0",)), ("n0", ("data",)))
    assert names(networks.topological_order(cell)) == ["data", "n0", "n1", "n2", "n3"]


def test_topological_order_keeps_branches_together_in_file_order():
    branches = net(
        ("a1", ("data",)), ("b1", ("data",)), ("a2", ("a1",)), ("b2", ("b1",)), ("j", ("a2", "b2"))
    )
    assert names(networks.topological_order(branches)) == ["data", "a1", "a2", "b1", "b2", "j"]


def test_children_and_sinks():
    graph = net(("a", ("data", "data")), ("b", ("a",)), ("c", ("data",)))
    assert networks.children_of(graph) == {"data": ("a", "c"), "a": ("b",), "b": (), "c": ()}
    assert names(networks.sinks(graph)) == ["b", "c"]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (net(("a", ("nope",))), "layer 'a': parent 'nope' is not a layer of this network"),
        (net(("a", ("data",)), ("a", ("data",))), "network 'n': layer name 'a' is used twice"),
        (net(("a", ("a",))), "network 'n': cycle through layers 'a'"),
        (
            net(("x", ("data",)), ("a", ("x", "c")), ("b", ("a",)), ("c", ("b",)), ("d", ("c",))),
            "network 'n': cycle through layers 'b', 'c', 'a'",
        ),
        (net(("a", ())), "layer 'a' of type 'Elementwise' has no parents; only 'Input' may"),
        (
            Network(name="n", layers=(Layer(name="a", type="LRN", parents=("a",)),)),
            "network 'n': no layer of type 'Input'; one is needed",
        ),
        (
            Network(
                name="n",
                layers=(
                    Layer(name="a", type="Input", parents=()),
                    Layer(name="b", type="Input", parents=("a",)),
                ),
            ),
            "layer 'b' of type 'Input' has parents; it may have none",
        ),
    ],
)
def test_check_graph_names_the_fault(layers, said):
    with pytest.raises(SpecError) as caught:
        networks.check_graph(layers)
    message = str(caught.value)
    if "cycle" in said:  # Where a cycle's listing starts is of no interest.
        assert message.startswith(said.split("layers")[0])
        assert set(message.split("layers ")[1].split(", ")) == set(
            said.split("layers ")[1].split(", ")
        )
    else:
        assert message == said


def test_a_long_cycle_is_found_fast_and_told_shortly():
    size = 50_000
    edges = [("l0", ("data", f"l{size - 1}"))]
    edges += [(f"l{i}", (f"l{i - 1}",)) for i in range(1, size)]
    start = time.perf_counter()
    with pytest.raises(SpecError, match=r"cycle through .*\.\.\. \(50000 in all\)$") as caught:
        networks.check_graph(net(*edges))
    assert time.perf_counter() - start < 5
    assert len(str(caught.value)) < 200


def test_references_into_a_parallel_block():
    parallel = Layer(
        name="mp",
        type="ModelParallel",
        parents=("data",),
        attributes={"splits": 2, "layers": {"fc": {"type": "InnerProduct", "parents": []}}},
    )
    base = net().layers

    def reading(parent: str) -> Network:
        reader = Layer(name="r", type="Concatenate", parents=(parent,))
        return Network(name="n", layers=(*base, parallel, reader))

    for parent in ("mp/fc@all", "mp/fc@0", "mp/fc@1"):
        networks.check_graph(reading(parent))
    for parent in ("mp/fc@2", "mp/fc", "mp/other@all", "mp/fc@self", "mp/fc@", "mp/fc@-1"):
        with pytest.raises(SpecError, match="is not a layer of this network"):
            networks.check_graph(reading(parent))


def test_without_re_parents_readers_through_several_removed_layers():
    graph = net(("a", ("data",)), ("b", ("a",)), ("c", ("b", "data")))
    left = networks.without(graph, ["a", "b"])
    assert [(layer.name, layer.parents) for layer in left.layers] == [
        ("data", ()),
        ("c", ("data", "data")),
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [("c", "layer 'c' has 2 parents; one needed"), ("zz", "no layer 'zz' to remove")],
)
def test_without_refuses(name, said):
    graph = net(("a", ("data",)), ("c", ("a", "data")))
    with pytest.raises(SpecError, match=said):
        networks.without(graph, [name])


def test_shown_is_one_short_line():
    assert networks.shown("a\nb") == r"'a\nb'"
    assert len(networks.shown(list(range(10_000)))) <= 100
