import json
import math

import pytest

from greennas_jax.costs import devices, paleo, profile, profile_text
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError

TOTALS = {
    *("time_ms", "forward_ms", "backward_ms", "update_ms", "flops", "bytes", "parameters"),
    *("peak_memory_bytes", "power_w", "energy_j", "energy_per_example_j"),
}
LAYER = {
    *("name", "type", "input_shape", "output_shape", "flops", "bytes", "parameters"),
    *("forward_compute_ms", "forward_memory_ms"),
    *("backward_data_compute_ms", "backward_data_memory_ms"),
    *("backward_filter_compute_ms", "backward_filter_memory_ms"),
    *("power_w", "energy_j", "provenance"),
}
NETWORKS = ("alex_v2", "nin", "vgg16", "cifar10_6conv", "resnet50", "inception_v3")


def profile_of(network, device="titan_x", batch_size=None, **settings):
    return profile.profile(network, devices.load(device), CostSettings(**settings), batch_size)


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_schema_and_sums(every_type, mode, compat):
    found = profile_of(every_type, mode=mode, compat=compat)
    assert found["schema"] == "greennas.profile/1"
    assert (found["network"], found["device"]) == ("test", "titan_x")
    assert (found["batch_size"], found["mode"]) == (2, mode)
    assert set(found["totals"]) == TOTALS
    assert all(set(layer) >= LAYER for layer in found["layers"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    totals, layers = found["totals"], found["layers"]
    for name in ("time_ms", "forward_ms", "flops", "bytes", "parameters", "energy_j"):
        total = math.fsum(layer[name] for layer in layers)
        assert totals[name] == pytest.approx(total, rel=1e-12), name
    forward = math.fsum(
        layer["forward_compute_ms"] + layer["forward_memory_ms"] for layer in layers
    )
    assert totals["forward_ms"] == pytest.approx(forward, rel=1e-12)
    assert totals["power_w"] == pytest.approx(1000 * totals["energy_j"] / totals["time_ms"])
    assert totals["energy_per_example_j"] == pytest.approx(totals["energy_j"] / 2)
    if mode == "inference":
        assert totals["time_ms"] == totals["forward_ms"]
    else:
        parts = sum(totals[f"{name}_ms"] for name in ("forward", "backward", "update"))
        assert totals["time_ms"] == pytest.approx(parts)


def test_shapes_of_layers_with_one_and_several_parents(every_type):
    layers = {layer["name"]: layer for layer in profile_of(every_type)["layers"]}
    assert layers["conv"]["input_shape"] == [2, 8, 8, 4]
    assert layers["conv"]["output_shape"] == [2, 8, 8, 8]
    assert layers["sum"]["input_shape"] == [[2, 8, 8, 8], [2, 8, 8, 8]]
    assert isinstance(layers["conv"]["flops"], int)


def test_coverage_names_what_is_free_and_what_is_guessed(every_type):
    coverage = profile_of(every_type)["coverage"]
    free = [layer["name"] for layer in coverage["zero_cost_layers"]]
    assert free == ["data", "flat", "drop"]
    outside = coverage["out_of_range_layers"]
    assert [(layer["name"], layer["type"]) for layer in outside] == [("strange", "Strange")]
    reproduced = profile_of(every_type, compat="paleo")["coverage"]
    assert {"norm", "relu", "sum", "probability", "strange"} <= {
        layer["name"] for layer in reproduced["zero_cost_layers"]
    }
    assert [layer["name"] for layer in reproduced["out_of_range_layers"]] == ["depthwise"]


def test_every_figure_says_where_it_comes_from(every_type):
    found = profile_of(every_type)
    assert "predicted" in found["provenance"]
    assert "assumed: 0.65 x TDP" in found["provenance"]
    assert all(layer["provenance"] == found["provenance"] for layer in found["layers"])
    assert found["sources"]["peak_gflops"].startswith("Paleo")


def test_unknown_power_is_null_with_a_reason(every_type):
    text = {key: {"value": 100, "source": "test"} for key in devices.REQUIRED}
    device = devices.read(json.dumps({"name": "dark", **text}))
    found = profile.profile(every_type, device, CostSettings())
    assert found["totals"]["energy_j"] is None
    assert found["totals"]["power_w"] is None
    assert found["totals"]["time_ms"] > 0
    assert "'tdp_w'" in found["reasons"]["power"]
    assert all(layer["energy_j"] is None and layer["reason"] for layer in found["layers"])
    assert "-" in profile_text.text(found)


def test_a_gradient_the_original_refuses_is_null_with_a_reason(network_of):
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 8, 8, 3]},
        "even": {
            "type": "Convolution",
            "parents": ["data"],
            "filter": [2, 2, 3, 4],
            "strides": [1, 1, 1, 1],
            "padding": "SAME",
        },
    }
    network = network_of(layers)
    found = profile_of(network, compat="paleo")
    assert found["layers"][1]["backward_filter_compute_ms"] is None
    assert found["totals"]["backward_ms"] is None
    assert found["totals"]["forward_ms"] > 0
    assert "backward" in found["reasons"]
    with pytest.raises(ValueError, match="layer 'even': Paleo stops here"):
        profile_of(network, compat="paleo", mode="training")
    assert profile_of(network, mode="training")["totals"]["backward_ms"] > 0


def test_batch_size(every_type):
    assert profile_of(every_type, batch_size=32)["batch_size"] == 32
    with pytest.raises(ValueError, match="batch_size is 0"):
        profile_of(every_type, batch_size=0)


def test_model_parallel_is_refused(network_of):
    inner = {"a": {"type": "InnerProduct", "parents": [], "num_outputs": 3}}
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 8]},
        "split": {"type": "ModelParallel", "parents": ["data"], "splits": 2, "layers": inner},
    }
    with pytest.raises(SpecError, match="ModelParallel"):
        profile_of(network_of(layers))


@pytest.mark.parametrize("device", ["TITAN_X", "K20X", "K80", "CPU_I7"])
@pytest.mark.parametrize("name", NETWORKS)
def test_totals_of_the_original(shared, name, device):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    for ppp in ("1.0", "0.62"):
        found = profile_of(network, device, compat="paleo", mode="training", ppp_comp=float(ppp))[
            "totals"
        ]
        expected = figures["totals"][device][ppp]
        for key in ("forward", "backward"):
            assert found[f"{key}_ms"] == pytest.approx(expected[key]["total"], rel=1e-12)
        assert found["update_ms"] == pytest.approx(expected["apply_updates"]["total"], rel=1e-12)
        assert found["parameters"] == figures["num_params"]


def test_text_has_every_layer_and_the_totals(every_type):
    found = profile_of(every_type)
    text = profile_text.text(found)
    assert all(layer["name"] in text for layer in found["layers"])
    assert "energy per example" in text
    assert "costed at zero: data (Input), flat (Reshape), drop (Dropout)" in text
    assert "strange: type not known" in text
    assert max(len(line) for line in profile_text.totals_text(found).splitlines()) < 80


def test_figures_are_four_digits():
    assert profile_text._figure(0.00012345678) == "0.0001235"
    assert profile_text._figure(1234567.0) == "1,234,567"
    assert profile_text._figure(2e9, 1e9) == "2"
    assert profile_text._figure(None) == "-"


def test_update_of_a_network_without_parameters(network_of):
    only = {"data": {"type": "Input", "parents": [], "tensor": [1, 8]}}
    found = profile_of(network_of(only), compat="paleo", mode="training")["totals"]
    device = devices.load("titan_x")
    assert (
        found["update_ms"] == found["time_ms"] == pytest.approx(sum(paleo.update_times(0, device)))
    )
    assert profile_of(network_of(only))["totals"]["power_w"] == 0
