import dataclasses
import math

import pytest

from greennas_jax.costs import devices, explain, kinds, profile, profile_text
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json

NETWORKS = ("alexnet", "mobilenet_v1", "resnet20_cifar10")


def explained(network, device="titan_x", **settings):
    return profile.profile(network, devices.load(device), CostSettings(**settings), explained=True)


def rules_of(found, name):
    layer = next(layer for layer in found["explain"]["layers"] if layer["name"] == name)
    return [reason["rule"] for reason in layer["reasons"]]


@pytest.mark.parametrize("algorithm", ["gemm", "fft", "fastest"])
@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("name", NETWORKS)
def test_reasons_add_up_to_the_difference_of_both_profiles(specs, name, mode, algorithm):
    network = paleo_json.load(specs / f"{name}.json")
    settings = {"mode": mode, "conv_algorithm": algorithm, "pipelined": algorithm == "fft"}
    found = explained(network, **settings)
    try:
        reproduced = explained(network, compat="paleo", **settings)
    except ValueError as error:
        assert "Paleo stops here" in str(error)  # noqa: PT017 -- either way is checked
        reproduced = None
    told = {layer["name"]: layer for layer in found["explain"]["layers"]}
    ours = {layer["name"]: layer["time_ms"] for layer in found["layers"]}
    assert found["explain"]["default_ms"] == pytest.approx(found["totals"]["time_ms"])
    if reproduced is None:
        assert found["explain"]["paleo_ms"] is None
        return
    assert found["explain"]["paleo_ms"] == pytest.approx(reproduced["totals"]["time_ms"])
    for layer in reproduced["layers"]:
        theirs, default = layer["time_ms"], ours[layer["name"]]
        if layer["name"] not in told:
            assert theirs == pytest.approx(default, rel=1e-10)
            continue
        entry = told[layer["name"]]
        assert entry["paleo_ms"] == pytest.approx(theirs, rel=1e-10)
        assert entry["default_ms"] == pytest.approx(default, rel=1e-10)
        total = math.fsum(reason["difference_ms"] for reason in entry["reasons"])
        assert total == pytest.approx(entry["difference_ms"], rel=1e-9, abs=1e-15)
        assert entry["difference_ms"] == pytest.approx(default - theirs, rel=1e-9, abs=1e-12)


def test_each_layer_has_its_reasons(every_type):
    found = explained(every_type)
    assert rules_of(found, "conv") == ["gigabyte", "padding", "followers"]
    assert "groups" in rules_of(found, "depthwise")
    for name in ("norm", "relu", "sum", "joined", "lrn", "up", "probability", "strange"):
        assert rules_of(found, name) == ["free"]
    assert "deconvolution" in rules_of(found, "back")
    assert "dropout" in rules_of(found, "drop")
    assert all(layer["name"] not in ("data", "flat") for layer in found["explain"]["layers"])
    training = explained(every_type, mode="training")
    assert {"gradient", "update"} <= set(rules_of(training, "depthwise"))
    assert rules_of(training, "pool")[-1] == "pooling"


def test_what_a_gigabyte_makes(network_of):
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 1000, 1000, 4]},
        "pool": {
            "type": "AvgPool",
            "parents": ["data"],
            "ksize": [1, 2, 2, 1],
            "strides": [1, 2, 2, 1],
            "padding": "VALID",
        },
    }
    found = explained(network_of(layers))["explain"]
    # 16 MB in and 4 MB out at 336.5 GB/s of 10^9 and of 2^30 bytes.
    expected = 20e6 / 336.5e9 * 1000 * (1 - 1e9 / 2**30)
    assert found["rules"]["gigabyte"]["difference_ms"] == pytest.approx(expected)
    assert found["layers"][0]["difference_ms"] == pytest.approx(expected)


def test_what_the_original_leaves_out_or_refuses(network_of):
    convolution = {
        "type": "Convolution",
        "parents": ["data"],
        "filter": [2, 2, 3, 3],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
    }
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 8, 8, 3]},
        "conv": convolution,
        "twice": {"type": "Elementwise", "parents": ["conv", "conv"]},
        "last": {**convolution, "parents": ["twice"]},
    }
    found = explained(network_of(layers))
    assert rules_of(found, "last")[0] == "dropped"
    training = explained(network_of(layers), mode="training")
    assert rules_of(training, "conv")[0] == "refused"
    assert training["explain"]["paleo_ms"] is None
    entry = training["explain"]["layers"][0]
    assert (entry["paleo_ms"], entry["difference_ms"]) == (None, None)
    assert entry["default_ms"] > 0


def test_text_names_layers_rules_and_amounts(every_type):
    found = explained(every_type)
    text = profile_text.explain_text(found)
    told = found["explain"]
    assert all(layer["name"] in text for layer in told["layers"])
    assert all(explain.REASONS[rule] in text for rule in told["rules"])
    assert "15 of 17 layers differ" in text


def test_nothing_is_explained_unasked(every_type):
    assert "explain" not in profile.profile(every_type, devices.load("k80"), CostSettings())


def test_what_the_device_attains_is_a_reason(every_type):
    half = (0.5,) * len(kinds.KINDS)
    device = devices.load("k80").replace(compute_efficiency=half, overhead_us=7.0)
    found = profile.profile(every_type, device, CostSettings(mode="training"), explained=True)
    told = found["explain"]
    assert told["default_ms"] == pytest.approx(found["totals"]["time_ms"], rel=1e-12)
    assert "attainable" in told["rules"]
    for layer in told["layers"]:
        if layer["difference_ms"] is not None:
            changes = sum(reason["difference_ms"] for reason in layer["reasons"])
            assert changes == pytest.approx(layer["difference_ms"], rel=1e-9)


def test_other_number_formats_are_refused(every_type):
    device = devices.load("k80")
    half = dataclasses.replace(device.precisions[0], dtype="fp16")
    device = device.replace(precisions=(*device.precisions, half))
    with pytest.raises(ValueError, match="dtype is 'fp16'; allowed where"):
        profile.profile(every_type, device, CostSettings(dtype="fp16"), explained=True)
