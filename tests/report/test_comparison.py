import json

import pytest

from greennas_jax.costs import devices
from greennas_jax.costs import profile as profiles
from greennas_jax.costs.settings import CostSettings
from greennas_jax.report import comparison
from greennas_jax.spec import paleo_json

UNIT = {"strides": [1, 1, 1, 1], "padding": "VALID"}
SAME = {"strides": [1, 1, 1, 1], "padding": "SAME"}


def network(**layers):
    return paleo_json.read(json.dumps({"name": "net", "layers": layers}))


def layer(kind, *parents, **attributes):
    return {"type": kind, "parents": list(parents), **attributes}


def source(*shape):
    return layer("Input", tensor=list(shape))


def conv(parent, *filters, window=SAME, **attributes):
    return layer("Convolution", parent, filter=list(filters), **window, **attributes)


def dense(parent, width):
    return layer("InnerProduct", parent, num_outputs=width)


def profile(net, energies=None, parameters=None, **changes):
    """Return a profile with the energies [J] given by name and 1 J elsewhere."""
    energies, parameters = energies or {}, parameters or {}
    rows = [
        {
            "name": one.name,
            "type": one.type,
            "energy_j": energies.get(one.name, 1.0),
            "parameters": parameters.get(one.name, 0),
        }
        for one in net.layers
    ]
    return {"device": "d", "batch_size": 1, "mode": "inference", "layers": rows, **changes}


def compared(given, found):
    changes = comparison.compare(given, found, profile(given), profile(found))
    return {change.layer: change for change in changes}


GIVEN = network(
    data=source(2, 8, 8, 3),
    conv1=conv("data", 5, 5, 3, 8),
    conv2=conv("conv1", 3, 3, 8, 16),
    pool=layer("Pooling", "conv2", ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
    fc1=dense("pool", 20),
    fc2=dense("fc1", 10),
    softmax=layer("Softmax", "fc2", num_classes=10),
)


def test_the_given_network_is_kept_as_it_is():
    changes = comparison.compare(GIVEN, GIVEN, profile(GIVEN), profile(GIVEN))
    assert [change.layer for change in changes] == [one.name for one in GIVEN.layers]
    assert {change.change for change in changes} == {"kept"}
    assert all(change.before == change.after and change.saved_j == 0 for change in changes)
    # The pool leaves 4 x 4 x 16 = 256 features.
    assert [change.before for change in changes] == [
        "input",
        "conv 5x5 3->8",
        "conv 3x3 8->16",
        "max pool 2x2",
        "inner product 256->20",
        "inner product 20->10",
        "softmax",
    ]


def test_every_kind_of_change_is_told_with_its_energy():
    found = network(
        data=source(2, 8, 8, 3),
        conv1=conv("data", 3, 3, 3, 8),
        **{
            "conv2/depthwise": conv("conv1", 3, 3, 8, 8, groups=8, use_bias=False),
            "conv2": conv("conv2/depthwise", 1, 1, 8, 12, window=UNIT),
        },
        pool=layer("Pooling", "conv2", ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
        fc2=dense("pool", 10),
        softmax=layer("Softmax", "fc2", num_classes=10),
    )
    before = profile(
        GIVEN,
        {"data": 0.0, "conv1": 7.0, "conv2": 9.0, "pool": 0.5, "fc1": 2.0, "softmax": 0.25},
        {"conv1": 608, "conv2": 1168, "fc1": 5140, "fc2": 210},
    )
    after = profile(
        found,
        {"data": 0.0, "conv1": 3.0, "conv2/depthwise": 1.5, "conv2": 2.5, "pool": 0.5, "fc2": 4.0}
        | {"softmax": 0.25},
        {"conv1": 224, "conv2/depthwise": 72, "conv2": 108, "fc2": 1930},
    )
    changes = {c.layer: c for c in comparison.compare(GIVEN, found, before, after)}
    assert {name: change.change for name, change in changes.items()} == {
        "data": "kept",
        "conv1": "smaller kernel",
        "conv2": "replaced",
        "pool": "kept (narrower input)",
        "fc1": "removed",
        # It reads 4 x 4 x 12 = 192 features where it read 20.
        "fc2": "kept (other input)",
        "softmax": "kept",
    }
    assert changes["conv2"] == comparison.LayerChange(
        layer="conv2",
        type="Convolution",
        change="replaced",
        before="conv 3x3 8->16",
        after="separable 3x3 8->12",
        energy_before_j=9.0,
        energy_after_j=4.0,
        saved_j=5.0,
        parameters_before=1168,
        parameters_after=180,
    )
    assert (changes["fc1"].after, changes["fc1"].saved_j) == ("-", 2.0)
    assert (changes["fc1"].energy_after_j, changes["fc1"].parameters_after) == (0, 0)
    assert changes["fc2"].after == "inner product 192->10"
    assert changes["fc2"].saved_j == 1.0 - 4.0
    assert sum(change.energy_after_j for change in changes.values()) == 11.75


@pytest.mark.parametrize(
    ("inserted", "last", "after"),
    [
        (
            {
                "conv2/reduce": conv("conv1", 1, 1, 8, 4, window=UNIT, use_bias=False),
                "conv2/spatial": conv("conv2/reduce", 3, 3, 4, 4, use_bias=False),
            },
            conv("conv2/spatial", 1, 1, 4, 16, window=UNIT),
            "bottleneck 3x3 8->4->16",
        ),
        ({}, conv("conv1", 3, 3, 8, 16, groups=4), "conv, 4 groups 3x3 8->16"),
        ({}, layer("AvgPool", "conv1", ksize=[1, 3, 3, 1], **SAME), "average pool 3x3"),
        ({}, conv("conv1", 3, 3, 8, 24), "conv 3x3 8->24"),
        ({}, conv("conv1", 7, 1, 8, 16), "conv 7x1 8->16"),
        ({}, conv("conv1", 3, 3, 8, 16, activation_fn="relu"), "conv 3x3 8->16"),
    ],
)
def test_replacements(inserted, last, after):
    layers = {one.name: one for one in GIVEN.layers}
    rest = {
        name: layer(one.type, *one.parents, **one.attributes)
        for name, one in layers.items()
        if name not in ("data", "conv1", "conv2")
    }
    found = network(
        data=source(2, 8, 8, 3), conv1=conv("data", 5, 5, 3, 8), **inserted, conv2=last, **rest
    )
    changes = compared(GIVEN, found)
    assert (changes["conv2"].change, changes["conv2"].after) == ("replaced", after)
    assert changes["conv2"].energy_after_j == 1 + len(inserted)
    assert list(changes) == list(layers)


def test_narrowing_is_the_layers_own_and_not_its_readers():
    found = network(
        data=source(2, 8, 8, 3),
        conv1=conv("data", 5, 5, 3, 4),
        conv2=conv("conv1", 3, 3, 4, 16),
        pool=layer("Pooling", "conv2", ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
        fc1=dense("pool", 5),
        fc2=dense("fc1", 10),
        softmax=layer("Softmax", "fc2", num_classes=10),
    )
    changes = compared(GIVEN, found)
    assert {name: change.change for name, change in changes.items()} == {
        "data": "kept",
        "conv1": "narrowed",
        "conv2": "kept (narrower input)",
        "pool": "kept",
        "fc1": "narrowed",
        "fc2": "kept (narrower input)",
        "softmax": "kept",
    }
    assert changes["conv2"].after == "conv 3x3 4->16"


def test_kernel_wins_over_width():
    found = network(
        data=source(2, 8, 8, 3),
        conv1=conv("data", 3, 3, 3, 4),
        conv2=conv("conv1", 3, 3, 4, 16),
        pool=layer("Pooling", "conv2", ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
        fc1=dense("pool", 20),
        fc2=dense("fc1", 10),
        softmax=layer("Softmax", "fc2", num_classes=10),
    )
    assert compared(GIVEN, found)["conv1"].change == "smaller kernel"


def test_a_depthwise_layer_follows_its_input():
    def made(width):
        return network(
            data=source(1, 8, 8, 3),
            first=conv("data", 3, 3, 3, width),
            deep=conv("first", 3, 3, width, width, groups=width),
            last=conv("deep", 1, 1, width, 10),
        )

    changes = compared(made(8), made(6))
    assert changes["first"].change == "narrowed"
    assert changes["deep"].change == "kept (narrower input)"
    assert (changes["deep"].before, changes["deep"].after) == (
        "depthwise 3x3 8->8",
        "depthwise 3x3 6->6",
    )
    assert changes["last"].change == "kept (narrower input)"


def test_given_groups_shrink_with_the_widths():
    def made(width, groups):
        return network(
            data=source(1, 8, 8, 3),
            first=conv("data", 3, 3, 3, width),
            grouped=conv("first", 3, 3, width, 16, groups=groups),
        )

    # gcd(4, 6, 16) = 2 groups are all that six channels allow.
    assert compared(made(8, 4), made(6, 2))["grouped"].change == "kept (narrower input)"
    assert compared(made(8, 4), made(8, 2))["grouped"].change == "replaced"


def test_a_kernel_that_covers_its_input_follows_the_inputs_size():
    def made(kernel, cover):
        return network(
            data=source(1, 8, 8, 3),
            first=conv("data", kernel, kernel, 3, 4, window=UNIT),
            cover=conv("first", cover, cover, 4, 10, window=UNIT),
        )

    # VALID: 8 - 5 + 1 = 4 and 8 - 3 + 1 = 6.
    changes = compared(made(5, 4), made(3, 6))
    assert changes["first"].change == "smaller kernel"
    assert changes["cover"].change == "kept (other input)"


def test_pooling_in_front_counts_to_the_layer():
    given = network(data=source(1, 4, 4, 8), fc=dense("data", 10))
    found = network(
        data=source(1, 4, 4, 8),
        **{"fc/pool": layer("AvgPool", "data", ksize=[1, 4, 4, 1], **UNIT)},
        fc=dense("fc/pool", 10),
    )
    change = compared(given, found)["fc"]
    assert (change.change, change.before) == ("replaced", "inner product 128->10")
    assert (change.after, change.energy_after_j) == ("pooled inner product 8->10", 2.0)


def test_a_given_layer_may_be_called_like_an_insertion():
    given = network(
        data=source(1, 4, 4, 8),
        a=conv("data", 3, 3, 8, 8),
        **{"a/pool": layer("AvgPool", "a", ksize=[1, 4, 4, 1], **UNIT)},
        b=dense("a/pool", 10),
    )
    changes = compared(given, given)
    assert {change.change for change in changes.values()} == {"kept"}
    assert list(changes) == ["data", "a", "a/pool", "b"]


def test_a_dropped_residual_block_is_removed_and_a_foreign_layer_is_added():
    def made(**layers):
        return network(
            data=source(1, 4, 4, 8), **layers, last=conv(list(layers)[-1], 1, 1, 8, 2, window=UNIT)
        )

    stem = conv("data", 3, 3, 8, 8)
    given = made(stem=stem, f=conv("stem", 3, 3, 8, 8), add=layer("Elementwise", "stem", "f"))
    changes = compared(given, made(stem=stem))
    assert [change.change for change in changes.values()] == [
        *("kept", "kept", "removed", "removed", "kept")
    ]
    added = compared(made(stem=stem), given)
    assert list(added) == ["data", "stem", "last", "f", "add"]
    assert (added["f"].change, added["f"].before, added["f"].after) == (
        *("added", "-"),
        "conv 3x3 8->8",
    )
    assert (added["f"].energy_before_j, added["f"].saved_j) == (0, -1)


def test_unknown_energy_stays_unknown():
    after = profile(GIVEN, {"conv1": None})
    changes = comparison.compare(GIVEN, GIVEN, profile(GIVEN), after)
    assert (changes[1].energy_before_j, changes[1].energy_after_j, changes[1].saved_j) == (
        *(1.0, None),
        None,
    )
    assert changes[2].saved_j == 0


def test_rows_add_up_to_the_profiles(specs):
    given = paleo_json.load(specs / "lenet5.json")
    text = json.loads((specs / "lenet5.json").read_text())
    text["layers"]["conv2"]["filter"] = [3, 3, 6, 12]
    text["layers"]["fc2"]["num_outputs"] = 40
    found = paleo_json.read(json.dumps(text))
    device = devices.load("titan_x")
    before, after = (profiles.profile(net, device, CostSettings(), 8) for net in (given, found))
    changes = comparison.compare(given, found, before, after)
    energies = [sum(c.energy_before_j for c in changes), sum(c.energy_after_j for c in changes)]
    totals = [before["totals"]["energy_j"], after["totals"]["energy_j"]]
    assert energies == pytest.approx(totals, rel=1e-12)
    assert sum(c.saved_j for c in changes) == pytest.approx(totals[0] - totals[1], rel=1e-9)
    assert sum(c.parameters_before for c in changes) == before["totals"]["parameters"]
    assert sum(c.parameters_after for c in changes) == after["totals"]["parameters"]
    kept = {c.layer for c in changes if c.change.startswith("kept")}
    assert kept == {c.layer for c in changes} - {"conv2", "fc2"}


@pytest.mark.parametrize("key", ["device", "batch_size", "mode", "settings"])
def test_unlike_profiles_are_refused(key):
    with pytest.raises(ValueError, match=f"profiles differ in '{key}'"):
        comparison.compare(GIVEN, GIVEN, profile(GIVEN), profile(GIVEN, **{key: "other"}))


def test_a_profile_of_another_network_is_refused():
    other = profile(GIVEN)
    other["layers"] = other["layers"][1:]
    with pytest.raises(ValueError, match="layer 'data' is missing in the profile"):
        comparison.compare(GIVEN, GIVEN, profile(GIVEN), other)
    other["layers"] = [*profile(GIVEN)["layers"], {"name": "x", "energy_j": 1, "parameters": 0}]
    with pytest.raises(ValueError, match="layer 'x' is missing in the network"):
        comparison.compare(GIVEN, GIVEN, other, profile(GIVEN))
