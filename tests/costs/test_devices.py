import json
import math

import pytest

from greennas_jax.costs import devices

# Paleo's device table: clock MHz, GFLOP/s, GB/s.
PALEO = {
    "titan_x": (1000, 6144, 336.5),
    "k20": (1000, 3520, 208),
    "k20x": (1000, 3935, 250),
    "k40": (745, 4290, 288),
    "k80": (560, 5600, 480),
    "geforce_780_ti": (875, 5040, 336),
    "geforce_750_m": (941, 722.7, 80),
    "cpu_i7": (210000, 289, 68),
}
STATED = {
    "name": "Mine",
    "clock_mhz": {"value": 1000, "source": "measured"},
    "peak_gflops": {"value": 100, "source": "measured"},
    "bandwidth_gbs": {"value": 10, "source": "measured"},
}


def text(**changes):
    return json.dumps({k: v for k, v in (STATED | changes).items() if v is not None})


def test_all_of_paleos_devices_are_there():
    assert set(PALEO) <= set(devices.names())


@pytest.mark.parametrize("name", PALEO)
def test_figures_are_paleos(name):
    device = devices.load(name)
    found = (device.paleo_clock_mhz, device.peak_gflops, device.bandwidth_gbs)
    assert found == PALEO[name]
    assert device.name == name


def test_the_clock_of_the_processor_is_put_right():
    assert devices.load("cpu_i7").clock_mhz == 3500


def test_vendors_tdp():
    found = {name: devices.load(name).tdp_w for name in ("titan_x", "k20", "k20x", "k40", "k80")}
    assert found == {"titan_x": 250, "k20": 225, "k20x": 235, "k40": 235, "k80": 300}


def test_names_in_any_case():
    assert devices.load("TITAN_X") == devices.load("titan_x")


def test_unstated_coefficients_are_stated_assumptions():
    device = devices.load("titan_x")
    # 0.65 * 250 W.
    assert (device.static_w, device.pj_per_byte, device.pj_per_flop) == (162.5, 438, 0)
    assert len(device.assumptions) == 3
    assert all("assumed" in assumption for assumption in device.assumptions)
    assert all(source for _, source in device.sources)


def test_an_unknown_device_lists_the_known():
    with pytest.raises(devices.DeviceError, match="'v101' is not known; allowed: .*titan_x"):
        devices.load("v101")


def test_a_device_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(text(static_w={"value": 5, "source": "meter"}), encoding="utf-8")
    device = devices.load(path)
    assert (device.name, device.static_w, device.power_known) == ("mine", 5, True)
    assert math.isinf(device.tdp_w)


def test_a_device_without_power_says_so():
    device = devices.read(text())
    assert not device.power_known
    assert math.isnan(device.static_w)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "an object with a 'name'"),
        (text(name=3), "an object with a 'name'"),
        (text(clock_mhz=None), "'clock_mhz' is missing"),
        (text(watts={"value": 1, "source": "x"}), "key 'watts' is not known; allowed: name"),
        (text(clock_mhz=5), "'clock_mhz' is 5"),
        (text(clock_mhz={"value": 0, "source": "x"}), "above 0 needed"),
        (text(clock_mhz={"value": -1, "source": "x"}), "above 0 needed"),
        (text(clock_mhz={"value": "5", "source": "x"}), "a number needed"),
        (text(clock_mhz={"value": True, "source": "x"}), "a number needed"),
        (text(clock_mhz={"value": 5, "source": ""}), "states no source"),
        (text().replace("1000", "1e999"), "finite numbers"),
    ],
)
def test_malformed_files_are_named(stated, message):
    with pytest.raises(devices.DeviceError, match=message):
        devices.read(stated, origin="mine.json")


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(devices.DeviceError, match="byte 0 is not UTF-8"):
        devices.load(path)
    with pytest.raises(OSError):
        devices.load(tmp_path / "absent.json")
