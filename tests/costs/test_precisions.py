"""Number formats and attainable shares in the costs that follow from them."""

import dataclasses

import jax
import numpy as np
import pytest

from greennas_jax.costs import counts, devices, kinds, layer_table, paleo, scaling, traffic
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.links import Link
from greennas_jax.costs.precisions import Precision
from greennas_jax.costs.settings import CostSettings

HALF = Precision(dtype="fp16", peak_gflops=4.0, pj_per_flop=1.0)
# A device on which a MFLOP and a megabyte take a millisecond.
ROUND = devices.Device(
    clock_mhz=1e9,
    paleo_clock_mhz=1e9,
    peak_gflops=1.0,
    bandwidth_gbs=1.0,
    tdp_w=100.0,
    static_w=10.0,
    pj_per_flop=0.0,
    pj_per_byte=0.0,
    name="round",
    precisions=(HALF,),
)


def dense(row):
    """Return 2e6 FLOP on 1e4 elements each of input, weights and output."""
    return row("InnerProduct", (100, 100), num_outputs=100, use_bias=False)


def with_shares(device, **shares):
    compute, memory = np.ones(len(kinds.KINDS)), np.ones(len(kinds.KINDS))
    for kind, (computing, moving) in shares.items():
        compute[kinds.CODES[kind]], memory[kinds.CODES[kind]] = computing, moving
    return device.replace(
        compute_efficiency=tuple(compute.tolist()), memory_efficiency=tuple(memory.tolist())
    )


def test_bytes_of_every_pass_by_hand(row):
    work = traffic.work(dense(row), CostSettings(mode="training", dtype="bf16"))
    sizes = [float(step.operands[0].size[0]) for step in work]
    # 3e4 elements of 2 B; the weights' gradient in 4 B. The update moves 5 x 4 B of fp32 and
    # writes the copy of 2 B.
    assert sizes == [60_000, 60_000, 80_000, 220_000]


def test_memory_by_hand(row):
    table, half = dense(row), CostSettings(dtype="fp16")
    training = dataclasses.replace(half, mode="training")
    assert counts.weight_bytes(table, half)[0] == 20_000
    # Weight, gradient and momentum in fp32, and the copy that is computed with.
    assert counts.weight_bytes(table, training)[0] == 1e4 * (12 + 2)
    assert counts.weight_bytes(table, CostSettings(mode="training"))[0] == 1e4 * 12
    assert counts.activation_bytes(table, CostSettings(dtype="int8"))[0] == 10_000


def test_bytes_beside_the_tensors_follow(convolution):
    table = convolution((2, 8, 8, 4), [3, 3, 4, 8], use_bias=False)
    for algorithm in ("im2col", "fft", "tiled_fft"):
        full, half = (
            traffic.work(table, CostSettings(dtype=dtype, conv_algorithm=algorithm)).forward
            for dtype in ("fp32", "fp16")
        )
        assert half.operands[0].size[0] == full.operands[0].size[0] / 2
        assert half.flops[0] == full.flops[0]


def test_time_in_a_narrower_format(row):
    times = paleo.times(dense(row), ROUND, CostSettings(dtype="fp16"))
    # 2e6 FLOP at 4 GFLOP/s, 6e4 B at 1 GB/s.
    assert times.forward_compute[0] == pytest.approx(0.5, rel=1e-12)
    assert times.forward_memory[0] == pytest.approx(0.06, rel=1e-12)


def test_a_format_that_is_not_stated_is_refused(row):
    with pytest.raises(devices.DeviceError, match="no peak in 'bf16'; allowed: fp16"):
        paleo.times(dense(row), ROUND, CostSettings(dtype="bf16"))


def test_time_with_efficiency_and_overhead_by_hand(row):
    device = with_shares(ROUND, inner_product=(0.5, 0.25), convolution=(0.1, 0.1))
    device = device.replace(overhead_us=50.0)
    times = paleo.times(dense(row), device, CostSettings(ppp_comp=0.5))
    # 2e6 FLOP at a quarter of 1 GFLOP/s, 1.2e5 B at an eighth of 1 GB/s, 50 us.
    assert times.forward_compute[0] == pytest.approx(8.0, rel=1e-12)
    assert times.forward_memory[0] == pytest.approx(0.96, rel=1e-12)
    assert times.forward[0] == pytest.approx(9.01, rel=1e-12)
    pipelined = paleo.times(dense(row), device, CostSettings(ppp_comp=0.5, pipelined=True))
    assert pipelined.forward[0] == pytest.approx(8.05, rel=1e-12)
    # Two gradients of the forward pass's work, each its own call.
    assert times.backward[0] == pytest.approx(2 * 9.01, rel=1e-12)


def test_nothing_done_has_no_overhead(row):
    device = ROUND.replace(overhead_us=50.0)
    view = row("Reshape", (2, 4), output_shape=[2, 2, 2])
    times = paleo.times(view, device, CostSettings(mode="training"))
    assert paleo.of_mode(times, "training")[0] == 0


def test_the_original_knows_neither(row):
    slow = with_shares(ROUND, inner_product=(0.5, 0.5)).replace(overhead_us=50.0)
    original = CostSettings(compat="paleo", mode="training")
    for part in ("forward", "backward", "update"):
        found, plain = (
            getattr(paleo.times(dense(row), device, original), part) for device in (slow, ROUND)
        )
        assert found[0] == plain[0]


def test_gradients_reach_the_shares(every_type, as_jax):
    table = as_jax(layer_table.from_network(every_type))

    def total(device):
        return paleo.times(table, device, CostSettings()).forward.sum()

    found = jax.grad(total)(with_shares(ROUND, pooling=(0.5, 0.5)))
    plain = jax.grad(total)(ROUND)
    used = set(np.asarray(kinds.kind_codes(table)).tolist()) - {kinds.CODES["free"]}
    for code, (compute, memory) in enumerate(
        zip(found.compute_efficiency, found.memory_efficiency, strict=True)
    ):
        # What moves data moves it faster at a larger share.
        assert (memory < 0) == (code in used)
        assert compute <= 0
    # time = work / share: at half the share the slope is four times as steep.
    pooling = kinds.CODES["pooling"]
    ratio = found.memory_efficiency[pooling] / plain.memory_efficiency[pooling]
    assert float(ratio) == pytest.approx(4.0, rel=1e-5)
    assert float(found.overhead_us) > 0


def test_shares_as_an_array(every_type):
    table = layer_table.from_network(every_type)
    halves = np.full(len(kinds.KINDS), 0.5)
    device = ROUND.replace(compute_efficiency=halves, memory_efficiency=halves)
    found = paleo.times(table, device, CostSettings()).forward
    np.testing.assert_allclose(found, paleo.times(table, ROUND, CostSettings(ppp_comp=0.5)).forward)


def test_scaling_in_a_narrower_format(network_of):
    network = network_of(
        {
            "data": {"type": "Input", "parents": [], "tensor": [4, 100]},
            "dense": {"type": "InnerProduct", "parents": ["data"], "num_outputs": 100},
        }
    )
    job = scaling.Job(
        network=network,
        device=ROUND,
        fabric=Fabric(link=Link(bandwidth_gbits=8.0, latency_us=0.0, name="wire")),
        costs=CostSettings(mode="training", dtype="fp16"),
        settings=scaling.ScalingSettings(),
        batch=4,
    )
    found = scaling.study(job, [1, 2])
    assert found["settings"]["dtype"] == "fp16"
    # Gradients are summed in fp32: two messages of half of 10,100 x 4 B at 1 GB/s.
    assert found["points"][1]["all_reduce_ms"]["ring"] == pytest.approx(0.0404)
