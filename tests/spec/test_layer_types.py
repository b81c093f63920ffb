import json

import jax
import numpy as np
import pytest

from greennas_jax.accuracy import extract, forward, initial, live, masks, proxies, template
from greennas_jax.build import flax_network
from greennas_jax.costs import devices, profile, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.export import flax_source
from greennas_jax.spaces import edits, factors
from greennas_jax.spec import layer_types, layers, paleo_json, structure
from greennas_jax.spec.layer_types import LayerType, Parameter, Work
from greennas_jax.spec.network import SpecError

SCALE = LayerType(
    name="ScaleForTest",
    output=lambda layer, inputs: inputs[0],
    view=lambda layer: layers.flag(layer, "squared", False),
    parameters=lambda layer, inputs, output: {"gamma": Parameter(output[-1:], 0.5, 0.25)},
    work=lambda layer, inputs, output: Work(flops=float(np.prod(output)), elements=10.0),
    forward=lambda squared, roles, inputs: inputs[0] * roles["gamma"] ** (2 if squared else 1),
    pointwise=True,
)
# The mean over all places, squeezed to `hidden` numbers and back, gates the channels.
GATE = LayerType(
    name="GateForTest",
    output=lambda layer, inputs: inputs[0],
    view=lambda layer: layers.whole_number(layer, "hidden"),
    parameters=lambda layer, inputs, output: {
        "reduce": Parameter((output[-1], layer.attributes["hidden"]), 0.5),
        "expand": Parameter((layer.attributes["hidden"], output[-1]), 0.5),
        "shift": Parameter(output[-1:], mean=1.0),
    },
    work=lambda layer, inputs, output: Work(flops=3.0 * np.prod(output)),
    forward=lambda hidden, roles, inputs: (
        inputs[0]
        * (inputs[0].mean((1, 2)) @ roles["reduce"] @ roles["expand"] + roles["shift"])[
            :, None, None
        ]
    ),
    kind="inner_product",
)
COSTED = LayerType(name="CostedForTest", output=lambda layer, inputs: (inputs[0][0], 7))
DEVICE = devices.load("titan_x")


@pytest.fixture(scope="module", autouse=True)
def _registered():
    before = dict(layer_types._TYPES)
    for each in (SCALE, GATE, COSTED):
        layer_types.register(each)
    yield
    layer_types._TYPES.clear()
    layer_types._TYPES.update(before)


def conv(parent, inputs, outputs):
    return {
        "parents": [parent],
        "type": "Convolution",
        "filter": [3, 3, inputs, outputs],
        "padding": "SAME",
        "strides": [1, 1, 1, 1],
        "activation_fn": "relu",
    }


def network(**changes):
    spec = {
        "data": {"parents": [], "type": "Input", "tensor": [16, 8, 8, 1]},
        "c1": conv("data", 1, 16),
        "scale": {"parents": ["c1"], "type": "ScaleForTest"},
        "c2": conv("scale", 16, 16),
        "c3": conv("c2", 16, 16),
        "gate": {"parents": ["c3"], "type": "GateForTest", "hidden": 4},
        "fc": {"parents": ["gate"], "type": "InnerProduct", "num_outputs": 10},
        "softmax": {"parents": ["fc"], "type": "Softmax"},
    }
    for name, values in changes.items():
        spec[name] = values
    return paleo_json.read(json.dumps({"name": "extended", "layers": spec}))


def test_costs_are_what_the_type_states():
    rows = {}
    for mode in ("inference", "training"):
        found = profile.profile(network(), DEVICE, CostSettings(mode=mode))
        rows[mode] = {row["name"]: row for row in found["layers"]}
        assert found["totals"]["energy_j"] > 0
    scale, gate = rows["inference"]["scale"], rows["inference"]["gate"]
    # 16 images of 8 x 8 x 16: 16,384 numbers in and out, 16 parameters, 10 more, 4 bytes each.
    assert (scale["flops"], scale["parameters"]) == (16_384, 16)
    assert scale["bytes"] == 4 * (16_384 + 16_384 + 16 + 10)
    assert (gate["flops"], gate["parameters"]) == (3 * 16_384, 16 * 4 + 4 * 16 + 16)
    # Forward, data gradient, parameters' gradient, and 4 operations an update.
    assert rows["training"]["scale"]["flops"] == 3 * 16_384 + 4 * 16
    assert structure.parameter_count(network()) == sum(
        row["parameters"] for row in rows["inference"].values()
    )


def test_the_kind_decides_the_efficiency():
    half = tuple(0.5 if index == 3 else 1.0 for index in range(11))
    slow = DEVICE.replace(compute_efficiency=half)
    names = [
        {row["name"]: row["forward_compute_ms"] for row in found["layers"]}
        for found in (profile.profile(network(), each, CostSettings()) for each in (DEVICE, slow))
    ]
    np.testing.assert_allclose(names[1]["gate"], 2 * names[0]["gate"])
    np.testing.assert_allclose(names[1]["scale"], names[0]["scale"])


def test_under_the_original_rules_the_type_is_one_that_paleo_does_not_know():
    found = profile.profile(network(), DEVICE, CostSettings(compat="paleo"))
    zero = {row["name"] for row in found["coverage"]["zero_cost_layers"]}
    assert {"scale", "gate"} <= zero


def test_every_string_of_a_space_costs_what_its_network_costs():
    space = edits.build(network())
    names = {position.name for position in space.positions}
    # What the gate reads keeps its width; what the scale reads does not.
    assert "c2.width" in names and "c1.width" in names and "c3.width" not in names
    wanted = [terms.get(name) for name in ("energy", "parameters", "flops")]
    tables = space.factors(DEVICE, wanted, CostSettings())
    tokens = space.sample(np.random.default_rng(0), 12)
    exact = factors.exact(tables, tokens.T)
    for row, costs in zip(tokens, np.asarray(exact).T, strict=True):
        variant = space.decode(row)
        totals = profile.profile(variant, DEVICE, CostSettings())["totals"]
        np.testing.assert_allclose(
            costs, [totals[key] for key in ("energy_j", "parameters", "flops")], rtol=2e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lax", "im2col"])
def test_a_child_of_the_template_computes_what_its_rebuilt_network_computes(method):
    given = network()
    plan, key = template.make(given), jax.random.key(0)
    images = jax.random.normal(key, (3, 8, 8, 1))
    space = edits.build(given)
    for row in space.sample(np.random.default_rng(1), 3):
        variant = space.decode(row)
        child = masks.describe(given, plan, variant)
        drawn = initial.scaled(initial.draw(plan, key), child)
        mode = live.Mode(False, method)
        own, _ = forward.run(plan, child, drawn, initial.statistics(plan), images, mode)
        module = flax_network.build(variant, key, convolution=method)
        extract.assign(module, extract.weights(plan, child, variant, drawn))
        rebuilt, _ = flax_network.apply(module, {}, images)
        np.testing.assert_allclose(own, rebuilt, rtol=3e-4, atol=1e-5)


def test_parameters_begin_as_the_type_says():
    module = flax_network.build(network(), jax.random.key(0))
    found = module.named_modules()["gate"].roles()
    np.testing.assert_array_equal(found["shift"], np.ones(16))
    assert found["reduce"].shape == (16, 4)
    assert 0.3 < float(np.std(found["reduce"])) < 0.7


def test_training_free_scores_are_finite():
    oracle = proxies.make(network(), batch_size=4, seed=0)
    (trial,) = oracle.evaluate([network()], [0])
    assert np.isfinite(trial.accuracy)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"parents": ["c3"], "type": "GateForTest"}, "'hidden' is missing"),
        ({"parents": ["c3"], "type": "GateForTest", "hidden": True}, "'hidden' is True"),
        ({"parents": ["c3", "c2"], "type": "ScaleForTest"}, "has 2 parents; one needed"),
    ],
)
def test_a_layer_that_does_not_fit_is_named(layer, words):
    with pytest.raises(SpecError, match=words) as error:
        network(gate=layer)
    assert "layer 'gate'" in str(error.value)


def test_a_type_that_is_only_costed_cannot_be_executed():
    end = {"parents": ["c3"], "type": "CostedForTest"}
    found = network(gate=end)
    assert structure.parameter_count(found) > 0
    with pytest.raises(SpecError, match="'CostedForTest' is registered without a forward pass"):
        flax_network.build(found, jax.random.key(0))
    with pytest.raises(SpecError, match="cannot be written as Flax source"):
        flax_source.write(network())


def test_names_are_taken_once():
    for name in ("Convolution", "Block", "ModelParallel", "ScaleForTest"):
        with pytest.raises(ValueError, match=f"'{name}' is already registered"):
            layer_types.register(LayerType(name=name, output=SCALE.output))


def test_a_pointwise_type_keeps_the_shape():
    wrong = LayerType(name="Wrong", output=lambda layer, inputs: (1, 1), pointwise=True)
    layer = network().by_name()["scale"]
    with pytest.raises(SpecError, match="a pointwise type keeps it"):
        layer_types.output(wrong, layer, ((2, 3),))
