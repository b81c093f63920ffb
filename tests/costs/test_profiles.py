import json
import math

import pytest

from greennas_jax.costs import devices, paleo, profile, profile_text
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError

TOTALS = {
    *("time_ms", "forward_ms", "backward_ms", "update_ms", "flops", "bytes", "parameters"),
    *("weight_flops", "attention_flops"),
    *("weight_bytes", "activation_bytes", "peak_memory_bytes"),
    *("peak_memory_inference_bytes", "peak_memory_training_bytes"),
    *("power_w", "energy_j", "energy_per_example_j"),
}
LAYER = {
    *("name", "type", "input_shape", "output_shape", "flops", "bytes", "parameters"),
    *("forward_compute_ms", "forward_memory_ms"),
    *("backward_data_compute_ms", "backward_data_memory_ms"),
    *("backward_filter_compute_ms", "backward_filter_memory_ms"),
    *("power_w", "energy_j", "provenance"),
}
NETWORKS = (
    *("alex_v2", "nin", "vgg16", "cifar10_6conv", "resnet50", "inception_v3"),
    *("alex_v2_1gpu", "bvlc_googlenet_80", "syn_block_endpoint", "syn_conv_variants"),
    *("syn_deconv", "syn_misc_types", "syn_nb201_cell", "syn_residual", "syn_two_joints"),
)


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
    ignored = {layer["name"]: layer["reason"] for layer in reproduced["out_of_range_layers"]}
    assert ignored.pop("depthwise") == "Paleo ignores groups"
    # The walk ends where "conv" is joined again.
    assert next(iter(ignored)) == "joined"
    assert set(ignored.values()) == {"Paleo leaves this layer out without a message"}


def test_every_figure_says_where_it_comes_from(every_type):
    found = profile_of(every_type)
    assert "predicted" in found["provenance"]
    assert "assumed: 0.5 x TDP" in found["provenance"]
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


def test_every_split_of_a_model_parallel_is_costed(network_of):
    inner = {"a": {"type": "InnerProduct", "parents": [], "num_outputs": 6}}
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 8]},
        "split": {"type": "ModelParallel", "parents": ["data"], "splits": 2, "layers": inner},
    }
    found = profile_of(network_of(layers))
    # Two halves of 8 * 6 weights and 6 biases.
    assert [layer["parameters"] for layer in found["layers"]] == [0, 27, 27]
    layers["split"]["splits"] = 4
    with pytest.raises(SpecError, match="4 splits do not divide the 6 outputs of layer 'split/a'"):
        profile_of(network_of(layers))


DATA = {"type": "Input", "parents": [], "tensor": [2, 16, 16, 3]}
CONVOLUTION = {
    "type": "Convolution",
    "parents": ["data"],
    "filter": [3, 3, 3, 8],
    "strides": [1, 1, 1, 1],
    "padding": "SAME",
}
ALONE = {"type": "Concatenate", "parents": ["data"], "dim": 3}
INSIDE = {"inner": {**CONVOLUTION, "parents": []}}
BLOCK = {"type": "Block", "parents": ["data"], "layers": INSIDE}
SPLIT = {"type": "ModelParallel", "parents": ["data"], "layers": INSIDE}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**CONVOLUTION, "padding": "FULL"}, ("'a'", "'FULL'", '"VALID", "SAME" or [ph, pw]')),
        ({**CONVOLUTION, "padding": [1]}, ("'a'", "[1]", "[ph, pw]")),
        ({**CONVOLUTION, "padding": [-1, 0]}, ("'a'", "[-1, 0]", "[ph, pw]")),
        ({**CONVOLUTION, "padding": None}, ("'a'", "None", "[ph, pw]")),
        (
            {**CONVOLUTION, "padding": [2, 0], "filter": [21, 3, 3, 8]},
            ("'a'", "kernel [21, 3]", "[2, 16, 16, 3]", "at most the padded input [20, 16]"),
        ),
        (ALONE, ("'a'", "Concatenate has one parent", "two or more")),
        ({**BLOCK, "endpoint": "outer"}, ("'a'", "'endpoint' is 'outer'", "one of its layers")),
        ({**SPLIT, "splits": 3}, ("'a'", "3 splits do not divide the 8", "'a/inner'", "divisor")),
        ({**SPLIT, "splits": 0}, ("'a'", "'splits' is 0", "from 1")),
    ],
)
def test_bad_layers_are_one_clear_line(network_of, entry, words):
    with pytest.raises(SpecError) as caught:
        profile_of(network_of({"data": DATA, "a": entry}))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_peak_memory_of_either_mode(every_type):
    inference, training = (
        profile_of(every_type, mode=mode)["totals"] for mode in ("inference", "training")
    )
    for found in (inference, training):
        assert found["peak_memory_inference_bytes"] == inference["peak_memory_bytes"]
        assert found["peak_memory_training_bytes"] == training["peak_memory_bytes"]


def test_summary_has_what_every_layer_holds(every_type):
    found = profile_of(every_type)
    layers = {layer["name"]: layer for layer in found["layers"]}
    # 3*3*4*8 weights, 8 biases, 8 scales and 8 offsets; 2*8*8*8 outputs; 4 B each.
    assert layers["conv"]["weight_bytes"] == 4 * (288 + 24)
    assert layers["conv"]["activation_bytes"] == 4 * 1024
    lines = profile_text.summary_text(found).splitlines()
    (line,) = [line for line in lines if line.startswith("conv ")]
    assert line.split() == ["conv", "Convolution", "2x8x8x8", "312", "0.001248", "0.004096"]
    assert sum(line.startswith("  training") for line in lines) == 1


def test_the_fastest_algorithm_is_named(every_type):
    found = profile_of(every_type, conv_algorithm="fastest")
    named = [layer["name"] for layer in found["layers"] if "conv_algorithms" in layer]
    assert named == ["conv", "depthwise"]
    assert set(found["layers"][1]["conv_algorithms"]) == {
        *("forward", "backward_data", "backward_filter")
    }
    assert found["totals"]["time_ms"] <= profile_of(every_type)["totals"]["time_ms"]


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
        assert found["weight_bytes"] == figures["weights_in_bytes"]
        assert found["activation_bytes"] == figures["activation_bytes"]
        settings = {"compat": "paleo", "mode": "training", "ppp_comp": float(ppp)}
        overlapped = profile_of(network, device, pipelined=True, **settings)["totals"]
        for key in ("forward", "backward"):
            pipelined = expected[key]["pipelined"]
            assert overlapped[f"{key}_ms"] == pytest.approx(pipelined, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "batch", "printed"),
    [("vgg16", 64, 345.83), ("alex_v2", 128, 33.16), ("nin", 128, 45.68)],
)
def test_the_original_in_the_table_of_neuralpower(shared, name, batch, printed):
    """Forward times of Paleo on a Titan X in Cai et al., ACML 2017, to the printed digit."""
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    found = profile_of(network, batch_size=batch, compat="paleo")
    assert round(found["totals"]["forward_ms"], 2) == printed
    assert f"{printed:.2f} ms" in profile_text.summary_text(found)


def test_what_the_original_leaves_out_is_costed(shared):
    network = paleo_json.load(shared / "paleo" / "nets" / "syn_nb201_cell.json")
    figures = json.loads((shared / "paleo" / "layers" / "syn_nb201_cell.json").read_text())
    reproduced = profile_of(network, compat="paleo")
    left_out = {"n3", "after", "fc"}
    assert left_out == set(figures["dropped_layers"])
    outside = {layer["name"] for layer in reproduced["coverage"]["out_of_range_layers"]}
    assert outside == left_out
    times = {layer["name"]: layer["time_ms"] for layer in reproduced["layers"]}
    assert {name for name in left_out if times[name] == 0} == left_out
    times = {layer["name"]: layer["time_ms"] for layer in profile_of(network)["layers"]}
    assert all(times[name] > 0 for name in left_out)


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
