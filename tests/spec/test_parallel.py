import json

import pytest

from greennas_jax.spec import paleo_json, parallel, shapes
from greennas_jax.spec.network import SpecError


def convolution(*parents, filters):
    return {
        "type": "Convolution",
        "parents": list(parents),
        "filter": filters,
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
    }


def network(inside, after=None, splits=2):
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [2, 4, 4, 3]},
        "mp": {"type": "ModelParallel", "parents": ["data"], "splits": splits, "layers": inside},
        **(after or {}),
    }
    return paleo_json.read(json.dumps({"name": "net", "layers": layers}))


TWO = {
    "a": convolution(filters=[3, 3, 3, 8]),
    "all": {"type": "Concatenate", "parents": ["a@all"], "dim": 3},
    "b": {"type": "InnerProduct", "parents": ["all@self"], "num_outputs": 6},
}
AFTER = {"end": {"type": "Concatenate", "parents": ["mp/b@all"], "dim": 1}}


def test_every_split_has_its_share_of_the_outputs():
    found, split = parallel.expand(network(TWO, AFTER))
    parents = {layer.name: layer.parents for layer in found.layers}
    assert parents == {
        "data": (),
        "mp/a@0": ("data",),
        "mp/all@0": ("mp/a@0", "mp/a@1"),
        "mp/b@0": ("mp/all@0",),
        "mp/a@1": ("data",),
        "mp/all@1": ("mp/a@0", "mp/a@1"),
        "mp/b@1": ("mp/all@1",),
        "end": ("mp/b@0", "mp/b@1"),
    }
    assert split == {name: int(name[-1]) for name in parents if "@" in name}
    sizes = {name: shape.output for name, shape in shapes.infer(found).items()}
    assert sizes["mp/a@1"] == (2, 4, 4, 4)
    assert sizes["mp/all@1"] == (2, 4, 4, 8)
    assert (sizes["mp/b@0"], sizes["end"]) == ((2, 3), (2, 6))


def test_one_split_is_no_split():
    found, split = parallel.expand(network(TWO, AFTER), splits=1)
    assert {layer.name: layer.parents for layer in found.layers} == {
        "data": (),
        "mp/a": ("data",),
        "mp/b": ("mp/a",),
    }
    assert not split
    assert shapes.infer(found)["mp/b"].output == (2, 6)


def test_the_original_rounds_down_and_splits_convolutions_only():
    inside = {"a": convolution(filters=[3, 3, 3, 8]), "b": {**TWO["b"], "parents": ["a@self"]}}
    found, split = parallel.expand(network(inside, splits=3), compat="paleo")
    sizes = {name: shape.output for name, shape in shapes.infer(found).items()}
    assert (sizes["mp/a@2"], sizes["mp/b@2"]) == ((2, 4, 4, 2), (2, 6))
    assert split["mp/b@2"] == 2


def test_the_original_keeps_a_single_split():
    inside = {"a": convolution(filters=[3, 3, 3, 8])}
    given = network(inside, splits=1)
    assert parallel.expand(given, compat="paleo").split == {"mp/a@0": 0}
    assert not parallel.expand(given).split


def test_transposed_convolutions_are_split():
    inside = {
        "up": {
            **convolution(filters=[3, 3, 8, 3]),
            "type": "Deconvolution",
            "output_shape": [2, 4, 4, 8],
        }
    }
    found = parallel.expand(network(inside)).network
    assert shapes.infer(found)["mp/up@1"].output == (2, 4, 4, 4)


def test_a_network_without_splits_is_itself(specs):
    given = paleo_json.load(specs / "lenet5.json")
    assert parallel.expand(given).network is given


@pytest.mark.parametrize("parent", ["a@all", "a@self", "a@1", "a"])
def test_spellings_of_parents(parent):
    inside = {"a": convolution(filters=[3, 3, 3, 8])}
    inside["b"] = {"type": "ReLU", "parents": [parent]}
    found = parallel.expand(network(inside)).network.by_name()["mp/b@0"]
    chosen = {"a@all": ("mp/a@0", "mp/a@1"), "a@1": ("mp/a@1",)}
    assert found.parents == chosen.get(parent, ("mp/a@0",))


def test_splits_that_do_not_divide_are_refused():
    with pytest.raises(SpecError) as caught:
        parallel.expand(network(TWO, AFTER), splits=4)
    assert str(caught.value) == (
        "ModelParallel 'mp': 4 splits do not divide the 6 outputs of layer 'mp/b'; "
        "allowed: a divisor of 6"
    )


def test_splits_beyond_all_sense_are_refused():
    with pytest.raises(SpecError, match="ModelParallel 'mp': 8192 splits; at most 4096"):
        parallel.expand(network(TWO, AFTER, splits=8192))


@pytest.mark.parametrize("parent", ["a@2", "a@x", "a@", "a@-1"])
def test_splits_that_are_not_there_are_refused(parent):
    inside = {"a": convolution(filters=[3, 3, 3, 8]), "b": {"type": "ReLU", "parents": [parent]}}
    with pytest.raises(SpecError, match="layer 'mp/b': parent 'mp/a@.*' is not a split of 'mp/a'"):
        parallel.expand(network(inside))


def test_malformed_sizes_are_left_to_shape_inference():
    inside = {"a": {"type": "InnerProduct", "parents": [], "num_outputs": "many"}}
    found = parallel.expand(network(inside)).network
    with pytest.raises(SpecError, match="'num_outputs' is 'many'"):
        shapes.infer(found)


@pytest.mark.parametrize("name", ["alex_v2_4gpu", "syn_mp_3splits"])
def test_layers_of_the_original(shared, name):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    given = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    found = parallel.expand(given, compat="paleo").network
    sizes = shapes.infer(found, compat="paleo")
    assert sizes.keys() == {layer["name"] for layer in figures["layers"]}
    for layer in figures["layers"]:
        assert list(sizes[layer["name"]].output) == layer["outputs"]
        assert list(found.by_name()[layer["name"]].parents) == layer["parents"]
