import json
import math

import numpy as np
import pytest

from greennas_jax.costs import breakdown, devices, kinds, layer_table, paleo, power, profile
from greennas_jax.costs.settings import CostSettings

PARTS = ("arithmetic_j", "movement_j", "static_j")


def found_of(network, device, mode="training", **settings):
    chosen = CostSettings(mode=mode, **settings)
    table = layer_table.from_network(network)
    times = paleo.times(table, device, chosen)
    return table, times, breakdown.of_layers(table, times, device, chosen)


def total(amounts):
    return math.fsum(amounts[part] for part in PARTS)


def test_parts_by_hand(row):
    device = (
        devices.load("titan_x")
        .replace(clock_mhz=1e9, peak_gflops=1.0, bandwidth_gbs=1.0, static_w=100.0, tdp_w=1e4)
        .replace(pj_per_flop=1e5, pj_per_byte=2e5)
    )
    table = row("InnerProduct", (100, 100), num_outputs=100, use_bias=False)
    settings = CostSettings(mode="training")
    found = breakdown.of_layers(table, paleo.times(table, device, settings), device, settings)
    # 2e6 FLOP at 1e5 pJ; 3 x 4e4 B at 2e5 pJ; 2.12 ms of 100 W.
    assert [float(part[0]) for part in found["forward"]] == pytest.approx([0.2, 0.024, 0.212])
    # Two gradients of the same work; then 4 FLOP and 20 B for each of 1e4 weights.
    assert [float(part[0]) for part in found["backward"]] == pytest.approx([0.4, 0.048, 0.424])
    assert [float(part[0]) for part in found["update"]] == pytest.approx([0.004, 0.04, 0.024])


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("pj_per_byte", [300.0, 1e6])
@pytest.mark.parametrize("pipelined", [False, True])
def test_parts_add_up_to_the_energy(every_type, mode, pj_per_byte, pipelined):
    device = devices.load("titan_x").replace(pj_per_byte=pj_per_byte)
    table, times, found = found_of(every_type, device, mode, pipelined=pipelined)
    settings = CostSettings(mode=mode, pipelined=pipelined)
    expected = power.energy(table, times, device, settings)
    assert set(found) == {"forward"} if mode == "inference" else set(breakdown.PASSES)
    np.testing.assert_allclose(sum(p.total for p in found.values()), expected, rtol=1e-12)
    assert all((part >= 0).all() for parts in found.values() for part in parts)


def test_the_limit_keeps_the_ratio_of_the_parts(every_type):
    device = devices.load("titan_x")
    free, hot = device.replace(tdp_w=math.inf), device.replace(tdp_w=140.0)
    _, times, unlimited = found_of(every_type, free)
    _, _, limited = found_of(every_type, hot)
    milliseconds = paleo.of_mode(times, "training")
    for name, parts in limited.items():
        before = unlimited[name]
        with np.errstate(invalid="ignore"):
            ratio = parts.movement / parts.total, before.movement / before.total
        np.testing.assert_allclose(*ratio, rtol=1e-12)
    at = breakdown.limited(limited, milliseconds, hot)
    assert at.any()
    assert not breakdown.limited(unlimited, milliseconds, free).any()
    drawn = sum(parts.total for parts in limited.values())
    np.testing.assert_allclose(drawn[at], 0.14 * milliseconds[at], rtol=1e-12)


@pytest.mark.parametrize(
    ("figure", "part"),
    [("pj_per_flop", "arithmetic"), ("pj_per_byte", "movement"), ("static_w", "static")],
)
def test_each_coefficient_is_one_part(every_type, figure, part):
    device = devices.load("titan_x").replace(tdp_w=math.inf)
    twice = device.replace(**{figure: 2 * getattr(device, figure)})
    before, after = (found_of(every_type, each)[2] for each in (device, twice))
    for name, parts in after.items():
        for own in power.Parts._fields:
            factor = 2 if own == part else 1
            np.testing.assert_array_equal(getattr(parts, own), factor * getattr(before[name], own))


def test_more_channels_cost_no_part_less(convolution):
    device = devices.load("titan_x")
    settings = CostSettings(mode="training")
    last = [0.0, 0.0, 0.0]
    for width in (8, 16, 64, 256):
        table = convolution((2, 8, 8, 8), [3, 3, 8, width])
        found = breakdown.of_layers(table, paleo.times(table, device, settings), device, settings)
        parts = [sum(float(p[i][0]) for p in found.values()) for i in range(3)]
        assert all(new > old for new, old in zip(parts, last, strict=True))
        last = parts


def test_unknown_power_is_refused(every_type):
    with pytest.raises(devices.DeviceError, match="states no power"):
        found_of(every_type, devices.load("titan_x").replace(power_known=False))


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_sums_of_a_profile(every_type, mode, compat):
    settings = CostSettings(mode=mode, compat=compat)
    found = profile.profile(every_type, devices.load("titan_x"), settings)
    told, energy = found["breakdown"], found["totals"]["energy_j"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert total(told["total"]) == pytest.approx(energy, rel=1e-12)
    for groups in (told["passes"], told["kinds"]):
        for part in (*PARTS, "energy_j"):
            summed = math.fsum(group[part] for group in groups.values())
            assert summed == pytest.approx(told["total"][part], rel=1e-12, abs=1e-18)
    for layer in found["layers"]:
        steps = layer["energy_parts_j"].values()
        assert sum(map(total, steps)) == pytest.approx(layer["energy_j"], rel=1e-12, abs=1e-24)
    of_kind = {kind: 0 for kind in kinds.KINDS}
    for layer in found["layers"]:
        of_kind[layer["kind"]] += 1
    assert {kind: of["layers"] for kind, of in told["kinds"].items()} == {
        kind: count for kind, count in of_kind.items() if count
    }
    times = math.fsum(of["time_ms"] for of in told["kinds"].values())
    assert times == pytest.approx(found["totals"]["time_ms"], rel=1e-12)


def test_idle_power_is_known_or_a_reason(every_type):
    known = profile.profile(every_type, devices.load("titan_x"), CostSettings())
    idle = known["breakdown"]["idle"]
    # 15 W.
    assert idle["energy_j"] == pytest.approx(0.015 * known["totals"]["time_ms"], rel=1e-12)
    assert idle["energy_j"] < known["breakdown"]["total"]["static_j"]
    unknown = profile.profile(every_type, devices.load("cpu_i7"), CostSettings())
    assert unknown["breakdown"]["idle"] == {
        "power_w": None,
        "energy_j": None,
        "reason": "device 'cpu_i7' does not state 'idle_w'",
    }


def test_no_breakdown_of_unknown_power(every_type):
    found = profile.profile(every_type, devices.load("tpu_v5e"), CostSettings(dtype="bf16"))
    assert found["breakdown"] is None
    assert "tdp_w" in found["reasons"]["power"]
    assert all(layer["energy_parts_j"] is None for layer in found["layers"])
    assert found["totals"]["time_ms"] > 0


def test_a_measured_time_in_a_profile(every_type):
    device = devices.load("titan_x")
    before = profile.profile(every_type, device, CostSettings())
    found = profile.profile(every_type, device, CostSettings(), measured_ms=7.0)
    assert found["totals"]["time_ms"] == pytest.approx(7.0, rel=1e-12)
    assert found["settings"]["measured_ms"] == 7.0
    assert found["provenance"].startswith("time measured elsewhere, 7 ms in all, shared out")
    for part in ("arithmetic_j", "movement_j"):
        assert found["breakdown"]["total"][part] == before["breakdown"]["total"][part]
    # 125 W for 7 ms.
    assert found["breakdown"]["total"]["static_j"] == pytest.approx(0.875, rel=1e-12)
    with pytest.raises(ValueError, match="the measured time is -1"):
        profile.profile(every_type, device, CostSettings(), measured_ms=-1.0)


def test_no_measured_time_for_splits_of_the_original(network_of):
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [4, 8]},
        "block": {
            "type": "ModelParallel",
            "parents": ["data"],
            "splits": 2,
            "layers": {"fc": {"type": "InnerProduct", "parents": [], "num_outputs": 4}},
        },
    }
    with pytest.raises(ValueError, match="without ModelParallel"):
        profile.profile(
            network_of(layers),
            devices.load("titan_x"),
            CostSettings(compat="paleo"),
            measured_ms=1.0,
        )
