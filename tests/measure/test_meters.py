import math
import types

import pytest

from greennas_jax.measure import meters
from tests.measure import fakes

DOMAINS = {
    "intel-rapl:0": ("package-0", 1_000_000, 5_000_000),
    "intel-rapl:0:0": ("core", 400_000, 5_000_000),
    "intel-rapl:0:1": ("dram", 200_000, 5_000_000),
    "intel-rapl:1": ("psys", 9_000_000, 99_000_000),
}


def set_energy(folder, domain, value):
    (folder / domain / "energy_uj").write_text(f"{value}\n")


def test_rapl_adds_package_and_memory_and_wraps(tmp_path):
    fakes.powercap(tmp_path, DOMAINS)
    meter = meters.rapl(tmp_path)

    def run():
        # The package's counter goes from 1.0 J past its limit of 5 J to 0.5 J: 4.5 J. Memory 1 J.
        set_energy(tmp_path, "intel-rapl:0", 500_000)
        set_energy(tmp_path, "intel-rapl:0:1", 1_200_000)
        set_energy(tmp_path, "intel-rapl:0:0", 4_000_000)
        set_energy(tmp_path, "intel-rapl:1", 20_000_000)
        return 2.0

    assert meters.read(meter, run) == meters.Reading(pytest.approx(5.5), "RAPL (powercap)")


def test_a_counter_that_disappears_gives_its_reason_and_the_run_goes_on(tmp_path):
    fakes.powercap(tmp_path, DOMAINS)
    meter = meters.rapl(tmp_path)
    ran = []

    def run():
        (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
        ran.append(1)
        return 1.0

    found = meters.read(meter, run)
    assert found.joules is None
    assert found.source.startswith("meter RAPL (powercap) failed: ")
    again = meters.read(meter, run_nothing := lambda: ran.append(2) or 1.0)
    assert run_nothing is not None
    assert again.joules is None
    assert ran == [1, 2]


@pytest.mark.parametrize("joules", [-1.0, 0.0, math.nan, math.inf, 1e9])
def test_nonsense_is_no_energy(joules):
    meter = meters.Meter("odd", 0.1, lambda: None, lambda _: joules)
    found = meters.read(meter, lambda: 1.0)
    assert found.joules is None
    assert "not credible" in found.source


def test_no_domain_and_no_permission(tmp_path):
    assert meters.rapl(tmp_path).reason == f"no meter: no RAPL domain in {tmp_path}"
    fakes.powercap(tmp_path, {"intel-rapl:0": ("package-0", "secret", 5)})
    assert "cannot be read" in (meters.rapl(tmp_path).reason or "")


class Monitor:
    """Zeus's monitor of one GPU that draws 250 W and two packages that draw 30 and 20 W."""

    def __init__(self, gpu_indices=None, cpu_indices=None):
        self.gpus = gpu_indices
        self.cpu_indices = [0, 1] if cpu_indices is None else cpu_indices

    def begin_window(self, key, sync_execution=True):
        assert not sync_execution

    def end_window(self, key, sync_execution=True, cancel=False):
        cpu = {0: 30.0, 1: 20.0} if self.cpu_indices else None
        return types.SimpleNamespace(
            gpu_energy=dict.fromkeys(self.gpus, 250.0), cpu_energy=cpu, dram_energy=None
        )


def test_zeus_meters_the_gpu_or_the_processor(tmp_path):
    module = types.SimpleNamespace(ZeusMonitor=Monitor)
    gpu = meters.find("gpu", 1, module=module)
    assert meters.read(gpu, lambda: 1.0) == meters.Reading(250.0, "NVML (zeus), GPU 1")
    cpu = meters.find("cpu", folder=tmp_path, module=module)
    assert meters.read(cpu, lambda: 1.0) == meters.Reading(50.0, "RAPL (zeus)")


def test_the_reasons_of_a_machine_without_meters(tmp_path):
    def broken(**_):
        raise RuntimeError("no driver")

    module = types.SimpleNamespace(ZeusMonitor=broken)
    assert meters.find("gpu", module=module).reason == "no meter: zeus finds none (no driver)"
    found = meters.find("cpu", folder=tmp_path, module=module)
    assert not found.present
    assert "no RAPL domain" in (found.reason or "")
    assert meters.find("tpu").reason == "no meter: none is known for a tpu"
