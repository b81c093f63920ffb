import json
import math

import pytest

from greennas_jax.costs import devices, kinds

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


F = {"value": 400, "source": "measured"}


def text(**changes):
    return json.dumps({k: v for k, v in (STATED | changes).items() if v is not None})


def shares(kind="pooling", dtype="fp32", share="compute", value=0.5):
    stated = {"value": value, "source": "measured"}
    return text(efficiency={kind: {dtype: {share: stated}}})


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
    # 0.5 of 250 W; 0.4 of them for 336.5 GB/s, 0.35 of them for 6144 GFLOP/s.
    assert device.static_w == 125
    assert device.pj_per_byte == pytest.approx(100 / 336.5e9 * 1e12)
    assert device.pj_per_flop == pytest.approx(87.5 / 6144e9 * 1e12)
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
    # As of a TDP of 10 W: 4 W for 10 GB/s, 3.5 W for 100 GFLOP/s.
    assert device.pj_per_byte == pytest.approx(400)
    assert device.pj_per_flop == pytest.approx(35)
    assert "twice the static power" in device.assumptions[0]


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
        (text(clock_mhz={"value": 0, "source": "x"}), "a number needed, one from"),
        (text(clock_mhz={"value": -1, "source": "x"}), "a number needed, one from"),
        (
            text(idle_w={"value": -1, "source": "x"}),
            "'idle_w' has value -1; a number needed, 0, or one",
        ),
        (text(overhead_us={"value": -1, "source": "x"}), "'overhead_us' has value -1"),
        (text(default_dtype="fp64"), "'default_dtype' is 'fp64'; allowed: fp32, tf32, bf16"),
        (text(default_dtype=16), "'default_dtype' is 16; allowed: fp32"),
        (text(calibration="today"), "'calibration' is 'today'; an object needed"),
        (text(dtypes=[]), "'dtypes' is \\[\\]; an object of fp32, tf32"),
        (text(dtypes={"fp8": {}}), "'dtypes' has the key 'fp8', not known; allowed: fp32"),
        (text(dtypes={"fp32": {"peak_gflops": F}}), "'fp32', the default format"),
        (text(dtypes={"bf16": {"pj_per_flop": F}}), "'dtypes': 'bf16': 'peak_gflops' is missing"),
        (text(dtypes={"bf16": {"peak_gflops": 5}}), "'bf16': 'peak_gflops' is 5"),
        (text(dtypes={"bf16": {"peak": F}}), "'bf16' has the key 'peak', not known"),
        (shares(kind="convolutions"), "'efficiency' has the key 'convolutions', not known"),
        (shares(dtype="fp8"), "'pooling' has the key 'fp8', not known"),
        (shares(dtype="bf16"), "'pooling': 'bf16' has no peak; stated: fp32"),
        (shares(share="time"), "'pooling': 'fp32' has the key 'time', not known"),
        (shares(value=0), "'compute' has value 0; a number needed, one from 1e-30"),
        (shares(value=-0.5), "'compute' has value -0.5; a number needed, one from 1e-30"),
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


def test_number_formats():
    half = {"peak_gflops": F, "pj_per_flop": {"value": 0.5, "source": "paper"}}
    narrow = {"value": 0.25, "source": "timed"}
    device = devices.read(
        text(
            dtypes={"fp16": half, "int8": {"peak_gflops": F}},
            efficiency={"pooling": {"fp16": {"memory": narrow}}},
        )
    )
    assert (device.dtype, device.dtypes) == ("fp32", ("fp32", "fp16", "int8"))
    assert device.at("fp32") is device
    assert set(device.compute_efficiency) == set(device.memory_efficiency) == {1.0}
    found = device.at("fp16")
    assert (found.peak_gflops, found.pj_per_flop, found.dtype) == (400, 0.5, "fp16")
    assert found.memory_efficiency[kinds.KINDS.index("pooling")] == 0.25
    assert sum(found.memory_efficiency) == len(kinds.KINDS) - 0.75
    assert dict(found.sources)["pj_per_flop"] == "paper"
    assert dict(found.sources)["memory_efficiency.pooling"] == "timed"
    assert "memory_efficiency.pooling" not in dict(found.at("int8").sources)
    assert found.at("fp32") == device


def test_another_default_format():
    device = devices.read(text(default_dtype="bf16"))
    assert device.dtypes == ("bf16",)
    with pytest.raises(devices.DeviceError, match="states no peak in 'fp32'; allowed: bf16"):
        device.at("fp32")


@pytest.mark.parametrize(
    ("asked", "configured", "chosen"),
    [(None, "fp32", "bf16"), (None, "int8", "int8"), ("fp32", "fp32", "fp32")],
)
def test_fp32_gives_way_unless_it_is_asked_for(asked, configured, chosen):
    tensor = devices.read(text(default_dtype="bf16"))
    assert devices.chosen_dtype(tensor, asked, configured) == chosen
    assert devices.chosen_dtype(devices.read(text()), None) == "fp32"


def test_a_calibration_is_kept():
    device = devices.read(text(calibration={"date": "2026-01-01", "errors": {"time": 0.1}}))
    assert json.loads(device.calibration)["errors"] == {"time": 0.1}
    assert hash(device) == hash(device.replace())


def test_idle_power_is_known_or_not():
    assert devices.read(text()).idle_w is None
    assert devices.read(text(idle_w={"value": 0, "source": "meter"})).idle_w == 0
