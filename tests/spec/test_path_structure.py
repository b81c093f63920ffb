import pytest

from greennas_jax.spec import paleo_json, path_structure
from tests.spec.paleo_texts import conv, text


def pool(parent: str) -> dict:
    return {
        "type": "AvgPool",
        "parents": [parent],
        "ksize": [1, 3, 3, 1],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
    }


def add(*parents: str) -> dict:
    return {"type": "Elementwise", "parents": list(parents)}


POINT = {**conv("data"), "filter": [1, 1, -1, 4]}
# Three paths to the end: 3x3 then pooling; 1x1; nothing. A dead 3x3 convolution beside them.
LAYERS = {
    "a": conv("data"),
    "b": pool("a"),
    "c": POINT,
    "dead": conv("c"),
    "inner": add("c", "data"),
    "end": add("b", "inner"),
    "softmax": {"type": "Softmax", "parents": ["end"]},
}


def network(layers: dict):
    return paleo_json.read(text(layers))


def described(layers: dict) -> dict[str, float]:
    return path_structure.descriptors(network(layers))


def test_descriptors_by_hand():
    found = described(LAYERS)
    expected = {
        "spatial": 1, "pointwise": 1, "pooled": 1, "shortcuts": 2, "paths": 3,
        "weighted_longest": 1, "weighted_mean": pytest.approx(2 / 3), "weighted_shortest": 0,
        "spatial_longest": 1, "spatial_mean": pytest.approx(1 / 3),
        "pooled_longest": 1, "pooled_mean": pytest.approx(1 / 3),
        # The identity passes two sums; a path of a 3x3 convolution and pooling looks twice.
        "field": 2, "identity": 1, "direct": 0,
    }  # fmt: skip
    assert found == expected
    assert tuple(found) == path_structure.NAMES


def test_the_identity_is_direct_where_one_sum_reads_the_input():
    direct = {**LAYERS, "inner": add("c"), "end": add("b", "inner", "data")}
    assert (described(direct)["identity"], described(direct)["direct"]) == (1.0, 1.0)
    without = {**LAYERS, "inner": add("c"), "end": add("b", "inner")}
    assert (described(without)["identity"], described(without)["direct"]) == (0.0, 0.0)


def test_the_field_counts_pools_before_and_behind_weights_but_not_beside_them():
    chained = {"a": pool("data"), "b": {**POINT, "parents": ["a"]}, "c": pool("b"), "end": add("c")}
    assert described(chained)["field"] == 2
    beside = {"a": pool("data"), "b": POINT, "end": add("a", "b")}
    assert described(beside)["field"] == 0
    assert described({"a": pool("data"), "end": add("a")})["field"] == 0


def test_many_paths_count_by_their_doublings():
    layers = {"s0": add("data", "data")}
    for number in range(1, 9):
        layers[f"s{number}"] = add(f"s{number - 1}", f"s{number - 1}")
    found = {
        count: described(dict(list(layers.items())[:count]))["paths"] for count in (5, 6, 7, 9)
    }
    assert found == {5: 32, 6: 64, 7: 128, 9: 256}


def test_dead_layers_change_nothing():
    live = {name: layer for name, layer in LAYERS.items() if name != "dead"}
    assert described(live) == described(LAYERS)


def test_a_shortcut_is_an_addend_that_others_read_too_or_a_sum():
    # `end` adds up a branch of its own and a sum, `inner` a branch and the data that others read.
    assert described(LAYERS)["shortcuts"] == 2
    lonely = {name: layer for name, layer in LAYERS.items() if name not in ("dead", "inner")}
    lonely["end"] = add("b", "c")
    assert described(lonely)["shortcuts"] == 0
    lonely["end"] = add("b", "c", "a")
    assert described(lonely)["shortcuts"] == 1
