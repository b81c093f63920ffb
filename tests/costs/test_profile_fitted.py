import json

import pytest

from greennas_jax.costs import devices, layer_table, neuralpower, profile, profile_text, terms
from greennas_jax.costs.settings import CostSettings
from tests.costs import fitted_models

LAYERS = {
    "data": {"type": "Input", "parents": [], "tensor": [4, 16, 16, 3]},
    "conv": {
        "type": "Convolution",
        "parents": ["data"],
        "filter": [3, 3, 3, 8],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        "use_bias": False,
    },
    "wide": {
        "type": "Convolution",
        "parents": ["conv"],
        "filter": [11, 11, 8, 8],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
    },
    "pool": {
        "type": "Pooling",
        "parents": ["wide"],
        "ksize": [1, 2, 2, 1],
        "strides": [1, 2, 2, 1],
        "padding": "VALID",
    },
    "drop": {"type": "Dropout", "parents": ["pool"], "dropout_keep_prob": 0.5},
    "dense": {"type": "InnerProduct", "parents": ["drop"], "num_outputs": 10, "use_bias": False},
}
MODEL = fitted_models.model(
    fitted_models.fit("convolution", "CONVOLUTION"),
    fitted_models.fit(
        "inner_product",
        "INNER_PRODUCT",
        runtime=fitted_models.RELATIVE,
        power=None,
        **fitted_models.WIDE,
    ),
)
TRAINED = fitted_models.model(fitted_models.fit("convolution", "CONVOLUTION"), mode="training")


@pytest.fixture
def network(network_of):
    return network_of(LAYERS)


def profiled(network, **changes):
    settings = CostSettings(**{"power": MODEL} | changes)
    found = profile.profile(network, devices.load("titan_x"), settings)
    json.dumps(found, allow_nan=False)
    return found, {layer["name"]: layer for layer in found["layers"]}


def figures(layer):
    """A layer's record without what its energy is spent on, which is told of all or of none."""
    return {key: value for key, value in layer.items() if key != "energy_parts_j"}


def test_fitted_layers_and_the_others(network):
    found, layers = profiled(network)
    _, physical = profiled(network, power="physical")
    predicted = neuralpower.predict(layer_table.from_network(network), MODEL)
    assert layers["conv"]["time_ms"] == pytest.approx(predicted.runtime_ms[1])
    assert layers["conv"]["power_w"] == pytest.approx(predicted.power_w[1])
    joule = predicted.power_w[1] * predicted.runtime_ms[1] / 1000
    assert layers["conv"]["energy_j"] == pytest.approx(joule)
    assert layers["conv"]["flops"] == physical["conv"]["flops"]
    for name in ("data", "wide", "pool", "drop"):
        assert figures(layers[name]) == figures(physical[name])
    times = [layer["time_ms"] for layer in found["layers"]]
    assert found["totals"]["time_ms"] == pytest.approx(sum(times))
    assert found["totals"]["forward_ms"] == pytest.approx(sum(times))
    assert found["totals"]["energy_j"] == pytest.approx(
        sum(layer["energy_j"] for layer in found["layers"])
    )
    assert found["totals"]["backward_ms"] is not None


def test_the_profile_is_what_the_terms_say(network):
    found, _ = profiled(network)
    table = layer_table.from_network(network)
    for name, key in (("time", "time_ms"), ("energy", "energy_j")):
        cost = terms.get(name).function(table, devices.load("titan_x"), CostSettings(power=MODEL))
        assert [layer[key] for layer in found["layers"]] == pytest.approx(cost.tolist())


def test_provenance_of_each_layer(network):
    found, layers = profiled(network)
    assert layers["conv"]["provenance"] == (
        "predicted: runtime and power by NeuralPower, fitted to layers measured on 'bench' "
        "(driver 1, 2025-01-31)"
    )
    assert "power was not measured: physical model" in layers["dense"]["provenance"]
    assert layers["wide"]["provenance"] == found["provenance"]
    assert found["settings"]["power"] == str(MODEL)
    assert found["fitted"]["errors_percent"]["convolution"] == {"runtime": 12.5}
    assert (found["fitted"]["device"], found["fitted"]["date"]) == ("bench", "2025-01-31")


def test_layers_out_of_range_are_listed(network):
    found, _ = profiled(network)
    # The input is free, and so is dropout in inference.
    assert found["coverage"]["out_of_range_layers"] == [
        {
            "name": "wide",
            "type": "Convolution",
            "reason": "kernel 11 was not measured, only 1 to 7; the physical model answers",
        },
        {
            "name": "pool",
            "type": "Pooling",
            "reason": "no pooling was measured; the physical model answers",
        },
    ]


def test_parts_of_a_fitted_time_are_not_known(network):
    found, layers = profiled(network)
    for name in ("forward_compute_ms", "forward_memory_ms", "forward_overhead_ms"):
        assert layers["conv"][name] is None
        assert layers["wide"][name] is not None
    assert layers["conv"]["backward_ms"] is not None
    assert "as a whole" in layers["conv"]["reason"]
    assert "as a whole" in found["reasons"]["passes"]


def test_training_by_a_fit_of_training_steps(network):
    found, layers = profiled(network, power=TRAINED, mode="training")
    assert layers["conv"]["time_ms"] > 0
    assert layers["conv"]["energy_j"] > 0
    for name in ("forward_ms", "backward_ms", "update_ms", "backward_data_compute_ms"):
        assert layers["conv"][name] is None
        assert layers["wide"][name] is not None
    assert found["totals"]["backward_ms"] is None
    assert found["totals"]["energy_j"] > 0
    assert list(found["reasons"]) == ["passes", "breakdown"]
    assert "backward" not in found["reasons"]


def test_another_mode_is_all_physical(network):
    found, layers = profiled(network, mode="training")
    _, physical = profiled(network, mode="training", power="physical")
    assert layers == physical
    outside = {layer["name"]: layer["reason"] for layer in found["coverage"]["out_of_range_layers"]}
    assert set(outside) == {"conv", "wide", "pool", "drop", "dense"}
    assert outside["conv"].startswith("layers were measured in inference and fp32, not in training")


def test_the_text_and_the_explanation(network):
    device = devices.load("titan_x")
    settings = CostSettings(power=MODEL)
    found = profile.profile(network, device, settings, explained=True)
    physical = profile.profile(network, device, CostSettings(), explained=True)
    assert found["explain"] == physical["explain"]
    lines = profile_text.text(found).splitlines()
    assert any("kernel 11 was not measured" in line for line in lines)
    trained = CostSettings(power=TRAINED, mode="training")
    assert "-" in profile_text.text(profile.profile(network, device, trained))
