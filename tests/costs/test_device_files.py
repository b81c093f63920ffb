"""The figures in configs/devices, against what is published and against physics."""

import math

import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, paleo, power
from greennas_jax.costs.settings import CostSettings

# Vendors' figures: format, TFLOP/s, GB/s, W.
PUBLISHED = {
    "gtx_1070": ("fp32", 6.463, 256, 150),
    "p100": ("fp32", 10.6, 732, 300),
    "v100": ("fp16", 125, 900, 300),
    "a100_40gb": ("bf16", 312, 1555, 400),
    "a100_80gb": ("fp32", 19.5, 2039, 400),
    "h100": ("bf16", 989.4, 3350, 700),
    "h200": ("fp32", 67, 4800, 700),
    "tpu_v2": ("bf16", 45, 600, 280),
    "tpu_v3": ("bf16", 123, 900, 450),
    "tpu_v4": ("bf16", 275, 1200, 192),
    "jetson_tx2": ("fp16", 1.333, 59.7, 15),
    "cortex_m4": ("fp32", 0.00024, 0.48, 0.078),
    "epyc_7763": ("fp32", 5.0176, 204.8, 280),
    "xeon_platinum_8380": ("fp32", 5.888, 204.8, 270),
}
# W with nothing running, read by drivers and meters.
IDLE = {"titan_x": 15, "gtx_1070": 8, "k80": 60, "v100": 40, "h100": 72, "tpu_v4": 90}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    dtype, teraflops, bandwidth, watts = PUBLISHED[name]
    device = devices.load(name).at(dtype)
    found = (device.peak_gflops / 1000, device.bandwidth_gbs, device.tdp_w)
    assert found == pytest.approx((teraflops, bandwidth, watts), rel=1e-12)


def test_idle_power():
    assert {name: devices.load(name).idle_w for name in IDLE} == IDLE
    assert devices.load("xeon_platinum_8380").idle_w is None


@pytest.mark.parametrize("name", devices.names())
def test_every_file_obeys_physics(name):
    for dtype in devices.load(name).dtypes:
        device = devices.load(name).at(dtype)
        assert device.name == name
        assert all(source for _, source in device.sources)
        assert 0 < device.peak_gflops < math.inf
        assert device.paleo_clock_mhz > 0
        if not device.power_known:
            continue
        assert (device.idle_w or 0) <= device.static_w <= device.tdp_w
        # No arithmetic at the peak rate draws more than the TDP, nor does traffic: Choi et al.
        at_rate = device.pj_per_flop * device.peak_gflops / 1000
        at_bandwidth = device.pj_per_byte * device.bandwidth_gbs / 1000
        assert 0 < at_rate <= device.tdp_w
        assert 0 <= at_bandwidth <= device.tdp_w
        # A processor of 2008 to 2022 spends more than its multipliers alone do at 7 nm.
        assert device.pj_per_flop > 0.1


def test_narrower_formats_are_faster():
    for name in devices.names():
        device = devices.load(name)
        for dtype in device.dtypes:
            assert device.at(dtype).peak_gflops >= device.peak_gflops


def test_a_device_of_unknown_power_gives_times_alone(every_type):
    device = devices.load("tpu_v5e")
    table, settings = layer_table.from_network(every_type), CostSettings(dtype="bf16")
    times = paleo.times(table, device, settings)
    assert times.forward.sum() > 0
    assert device.assumptions == ()
    with pytest.raises(devices.DeviceError, match="'tpu_v5e' states no power"):
        power.energy(table, times, device, settings)


def test_training_runs_on_a_tpu():
    """Measured W per chip at achieved TFLOP/s, Patterson et al. 2021, table 4."""
    device = devices.load("tpu_v3")
    for rate, watts in ((45.6, 310), (42.3, 289)):
        flops = np.array([rate * 1e12])
        # A second of work; how many bytes it moved is not published: none, and all it can.
        low = power.of_work(flops, np.zeros(1), np.array([1000.0]), device)[0]
        high = power.of_work(flops, np.array([900e9]), np.array([1000.0]), device)[0]
        assert low < watts < high


def test_a_toaster_draws_its_heating_element(every_type):
    device, settings = devices.load("toaster_oven"), CostSettings()
    table = layer_table.from_network(every_type)
    times = paleo.times(table, device, settings)
    joules = power.energy(table, times, device, settings).sum()
    assert joules / (times.forward.sum() / 1000) == pytest.approx(1500, rel=1e-3)
