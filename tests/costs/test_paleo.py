import json
import pathlib

import numpy as np
import pytest

from greennas_jax.costs import counts, devices, gemm, layer_table, paleo
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json, parallel, shapes
from greennas_jax.spec.network import Layer

PARTS = (
    *("forward_compute", "forward_memory"),
    *("backward_data_compute", "backward_data_memory"),
    *("backward_filter_compute", "backward_filter_memory"),
)
SPLIT = ("syn_mp_3splits", "alex_v2_4gpu")
NETWORKS = (
    *("alex_v2", "nin", "vgg16", "cifar10_6conv", "resnet50"),
    *("inception_v3", "alex_v2_1gpu", "bvlc_googlenet_80"),
    *("syn_block_endpoint", "syn_conv_variants", "syn_deconv", "syn_misc_types"),
    *("syn_nb201_cell", "syn_residual", "syn_two_joints"),
)
# A device on which a MFLOP and a megabyte take a millisecond, and a clock takes a nanosecond.
ROUND = Device(
    clock_mhz=1.0,
    paleo_clock_mhz=1000.0,
    peak_gflops=1.0,
    bandwidth_gbs=1.0,
    tdp_w=100.0,
    static_w=10.0,
    pj_per_flop=0.0,
    pj_per_byte=0.0,
    name="round",
)


def original(**changes):
    return CostSettings(compat="paleo", **changes)


def load_figures(name):
    path = pathlib.Path(__file__).parent / "data" / name
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "case", load_figures("paleo_layers.json"), ids=lambda case: f"{case['network']}:{case['layer']}"
)
def test_layers_of_the_original(case):
    """Figures printed by the original program, GEMM, for layers of its own networks."""
    parents = ("data",) if case["reads_data"] else ("x",)
    layer = Layer(name="l", type=case["type"], parents=parents, attributes=case["attributes"])
    inputs = (tuple(case["input"]),)
    output = shapes.layer_output(layer, inputs, compat="paleo")
    table = layer_table.rows([layer], [shapes.Shapes(inputs, output)], compat="paleo")
    settings = original(ppp_comp=case["ppp_comp"])
    times = paleo.times(table, devices.load(case["device"]), settings)
    found = [float(getattr(times, part)[0]) for part in PARTS]
    assert found == pytest.approx(case["times_ms"], rel=1e-12, abs=0)


@pytest.mark.parametrize("ppp", ["1.0", "0.62"])
@pytest.mark.parametrize("device", ["TITAN_X", "K20X", "K80", "CPU_I7"])
@pytest.mark.parametrize("name", [*NETWORKS, *SPLIT])
def test_networks_of_the_original(shared, name, device, ppp):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    network = parallel.expand(network, compat="paleo").network
    table = layer_table.from_network(network, compat="paleo")
    settings = original(ppp_comp=float(ppp))
    times = paleo.times(table, devices.load(device), settings)
    order = list(shapes.infer(network, compat="paleo"))
    for layer in figures["layers"]:
        row = order.index(layer["name"])
        cost = layer["cost"][device][ppp]
        found = [float(getattr(times, part)[row]) for part in PARTS]
        expected = [
            cost[step][kind]
            for step in ("forward", "backward_data", "backward_filter")
            for kind in ("comp", "comm")
        ]
        assert found == pytest.approx(expected, rel=1e-12, abs=0), layer["name"]
        assert times.backward[row] == pytest.approx(cost["backward"]["total"], rel=1e-12, abs=0)


@pytest.mark.parametrize("kind", ["conv", "pool", "fc"])
def test_random_layers_of_the_original(shared, kind):
    cases = json.loads((shared / "paleo" / "random" / f"{kind}.json").read_text())["cases"]
    kinds = {"conv": "Convolution", "pool": "Pooling", "fc": "InnerProduct"}
    renamed = {"filters": "filter", "kernel": "ksize"}
    layers, sizes = [], []
    for case in cases:
        spec = case["spec"]
        attributes = {renamed.get(key, key): value for key, value in spec.items()}
        parents = ("x",) if spec.get("backprop", True) else ("data",)
        layers.append(Layer(name="c", type=kinds[kind], parents=parents, attributes=attributes))
        sizes.append(shapes.Shapes((tuple(spec["inputs"]),), tuple(case["outputs"])))
    table = layer_table.rows(layers, sizes, compat="paleo")
    for ppp in ("1.0", "0.62"):
        times = paleo.times(table, devices.load("titan_x"), original(ppp_comp=float(ppp)))
        for step in ("forward", "backward_data", "backward_filter"):
            costs = [case["cost"]["TITAN_X"][ppp][step] for case in cases]
            for part, key in (("compute", "comp"), ("memory", "comm")):
                expected = [np.nan if "error" in cost else cost[key] for cost in costs]
                found = getattr(times, f"{step}_{part}")
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


def test_every_reference_network_is_compared(shared):
    present = {path.stem for path in (shared / "paleo" / "layers").glob("*.json")}
    failing = {name for name in present if name.startswith("syn_fail")}
    assert present - failing == {*NETWORKS, *SPLIT}


def test_forward_by_hand(convolution):
    table = convolution((1, 4, 4, 2), [3, 3, 2, 5], use_bias=False)
    times = paleo.times(table, ROUND, original())
    # 2 * 3*3*2 * 4*4*5 = 2880 FLOP at 1 GFLOP/s; padded 6*6*2, 3*3*2*5 and 4*4*5 elements of 4 B.
    assert times.forward_compute[0] == pytest.approx(2880e-6)
    gigabyte = 2.0**30
    assert times.forward_memory[0] == pytest.approx(4 * (72 + 90 + 80) / gigabyte * 1000)


def test_the_share_of_the_peak_divides_both_times(convolution):
    table = convolution((1, 4, 4, 2), [3, 3, 2, 5])
    half = paleo.times(table, ROUND, CostSettings(ppp_comp=0.5, ppp_comm=0.25))
    full = paleo.times(table, ROUND, CostSettings())
    np.testing.assert_allclose(half.forward_compute, 2 * full.forward_compute)
    np.testing.assert_allclose(half.forward_memory, 2 * full.forward_memory)


def test_gigabytes_are_decimal_unless_paleo_is_reproduced(row):
    table = row("Pooling", (1, 1000, 1000, 1), **window(1))
    # 4 MB in, 4 MB out, at 1 GB/s.
    fast = ROUND.replace(clock_mhz=1e9)
    assert paleo.times(table, fast, CostSettings()).forward_memory[0] == pytest.approx(8.0)
    expected = 8e6 / 2**30 * 1000
    assert paleo.times(table, ROUND, original()).forward_memory[0] == pytest.approx(expected)


def window(size):
    return {"ksize": [1, size, size, 1], "strides": [1, size, size, 1], "padding": "VALID"}


def test_no_step_is_shorter_than_a_clock(row):
    table = row("InnerProduct", (1, 1), num_outputs=1)
    # 2 FLOP would take 2e-6 ms, 4 B 4e-6 ms; a clock of 1 MHz takes 1e-3 ms.
    times = paleo.times(table, ROUND, CostSettings())
    assert (times.forward_compute[0], times.forward_memory[0]) == (1e-3, 1e-3)
    # The original floors each of the three operands; its clock of 1 GHz takes 1e-6 ms.
    slow = ROUND.replace(paleo_clock_mhz=1.0)
    assert paleo.times(table, slow, original()).forward_memory[0] == pytest.approx(3e-3)


def test_first_layer_has_no_data_gradient(convolution):
    for settings in (CostSettings(), original()):
        first = paleo.times(
            convolution((1, 4, 4, 2), [3, 3, 2, 5], parents=("data",)), ROUND, settings
        )
        later = paleo.times(convolution((1, 4, 4, 2), [3, 3, 2, 5]), ROUND, settings)
        assert first.backward_data_compute[0] == first.backward_data_memory[0] == 0
        assert later.backward_data_compute[0] > 0
        assert first.backward_filter_compute[0] == later.backward_filter_compute[0] > 0


@pytest.mark.parametrize("kind", ["BatchNorm", "LRN", "ReLU", "Softmax", "Elementwise"])
def test_layers_that_are_free_in_the_original_are_charged(row, kind):
    inputs = [(1, 8, 8, 16)] * (2 if kind == "Elementwise" else 1)
    table = row(kind, *inputs, parents=("x", "y")[: len(inputs)])
    assert paleo.times(table, ROUND, original()).forward[0] == 0
    assert paleo.times(table, ROUND, CostSettings()).forward[0] > 0


def test_a_convolution_the_original_refuses(convolution):
    # An even SAME kernel: the filter gradient's shape is wrong.
    table = convolution((1, 8, 8, 2), [2, 2, 2, 4])
    found = paleo.times(table, ROUND, original())
    assert np.isnan(found.backward_filter_compute[0])
    assert np.isfinite(found.forward[0])
    with pytest.raises(ValueError, match="layer '0': Paleo stops here"):
        paleo.times(table, ROUND, original(mode="training"))
    with pytest.raises(ValueError, match="layer 'stem': Paleo stops here"):
        paleo.check(table, original(mode="training"), ("stem",))
    corrected = paleo.times(table, ROUND, CostSettings(mode="training"))
    assert np.isfinite(paleo.of_mode(corrected, "training")).all()


def test_a_deconvolution_the_original_cannot_build(row):
    table = row(
        "Deconvolution",
        (1, 4, 4, 2),
        filter=[3, 3, 5, 2],
        strides=[1, 1, 1, 1],
        padding="VALID",
        output_shape=[1, 6, 6, 5],
    )
    with pytest.raises(ValueError, match="Paleo stops here"):
        paleo.times(table, ROUND, original())
    # True FLOPs: each of 4*4 pixels of 2 channels meets 3*3*5 weights.
    assert paleo.totals(table, CostSettings())[0][0] == 2 * 4 * 4 * 2 * 3 * 3 * 5


def test_update_of_a_whole_network():
    device = devices.load("titan_x")
    # AlexNet v2 has 50,303,912 parameters; the original prints these two times.
    expected = (0.016374971354166667, 1.6706984429267329)
    assert paleo.update_times(50303912, device) == pytest.approx(expected, rel=1e-14)
    # Three floors of one clock for nothing.
    assert paleo.update_times(0, device) == pytest.approx((0, 3e-6))


def test_the_update_is_shared_out_by_parameters(row, joined):
    device = devices.load("titan_x")
    table = joined(
        row("InnerProduct", (1, 1), num_outputs=1), row("InnerProduct", (1, 5), num_outputs=1)
    )
    # 2 and 6 parameters; 16 FLOP and 3 * 32 B are far below a clock of 1e-6 ms each.
    found = paleo.network_times(table, device, original())
    assert found.update_compute.tolist() == pytest.approx([0.25e-6, 0.75e-6])
    assert found.update_memory.tolist() == pytest.approx([0.75e-6, 2.25e-6])
    empty = paleo.network_times(row("ReLU", (1, 1)), device, original())
    assert empty.update[0] == pytest.approx(3e-6)


def test_pipelined_layers_take_the_longer_of_computing_and_moving(every_type):
    table = layer_table.from_network(every_type)
    settings = CostSettings(mode="training", pipelined=True)
    found = paleo.times(table, ROUND, settings)
    np.testing.assert_array_equal(
        found.forward, np.maximum(found.forward_compute, found.forward_memory)
    )
    compute = found.backward_data_compute + found.backward_filter_compute
    memory = found.backward_data_memory + found.backward_filter_memory
    np.testing.assert_array_equal(found.backward, np.maximum(compute, memory))
    total = found.forward + found.backward + found.update
    np.testing.assert_array_equal(paleo.of_mode(found, "training"), total)


def test_an_open_size_that_the_original_leaves_open(network_of):
    # The size stays -1, so 2 * 4 * -1 * 3 FLOP and all negative bytes give the floor.
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [4, 2, 2, 5]},
        "flat": {"type": "Reshape", "parents": ["data"], "output_shape": [-1, -1]},
        "dense": {"type": "InnerProduct", "parents": ["flat"], "num_outputs": 3},
    }
    network = network_of(layers)
    table = layer_table.from_network(network, compat="paleo")
    assert counts.parameters(table, original())[2] == 0
    found = paleo.times(table, devices.load("titan_x"), original())
    assert found.forward_compute[2] == 1e-6
    assert paleo.totals(layer_table.from_network(network), CostSettings())[0][2] == 2 * 4 * 20 * 3


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "outputs"),
    [
        # The original stops at all of these: even SAME kernels, and windows that leave more
        # than one pixel over.
        (8, 2, 1, "SAME", 8),
        (224, 11, 4, "SAME", 56),
        (9, 3, 4, "VALID", 2),
        (10, 4, 3, [1, 1], 3),
        (8, 1, 5, "SAME", 2),
    ],
)
def test_legal_convolutions_that_the_original_refuses(
    convolution, size, kernel, stride, padding, outputs
):
    text = ((2, size, size, 3), [kernel, kernel, 3, 5])
    table = convolution(*text, stride=stride, padding=padding, use_bias=False)
    unbuilt, data, filters = gemm.refusals(table)
    assert (unbuilt | data | filters)[0]
    work = paleo.work(table, CostSettings(mode="training"))
    product = 2 * kernel**2 * 3 * outputs**2 * 5 * 2
    assert [float(step.flops[0]) for step in work[:3]] == [product] * 3
    times = paleo.times(table, ROUND, CostSettings(mode="training"))
    assert np.isfinite(paleo.of_mode(times, "training")).all()


def test_time_of_the_mode_is_the_sum_of_its_passes(every_type):
    table = layer_table.from_network(every_type)
    times = paleo.times(table, ROUND, CostSettings(mode="training"))
    np.testing.assert_allclose(paleo.of_mode(times, "inference"), times.forward)
    total = times.forward + times.backward + times.update
    np.testing.assert_allclose(paleo.of_mode(times, "training"), total)
