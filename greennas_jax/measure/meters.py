"""Meters: joules between a start and a stop, or the reason why nobody knows them.

A meter is a record of named calls, so that any counter can stand behind it: NVML (through Zeus),
RAPL (through Zeus, or read from the kernel's files), a fake one. Nothing is imported before it is
asked for.
"""

import importlib
import importlib.util
import math
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

POWERCAP = pathlib.Path("/sys/class/powercap")
MICROJOULE = 1e-6

# NVML's energy counter moves every 20 to 100 ms (Yang et al., "Part-time power measurements",
# SC 2024); RAPL's about every millisecond (Intel's manual, volume 3, section 16.10).
NVML_PERIOD_S = 0.1
RAPL_PERIOD_S = 0.001
# No device that can be metered here draws more: a reading above is nonsense.
MOST_WATTS = 1e5


class Meter(NamedTuple):
    """What measures energy.

    Attributes:
      source: Its name, for example "NVML (zeus), GPU 0".
      period_s: How often its counter moves [s].
      start: Starts a window and returns what `stop` needs.
      stop: Ends the window and returns its energy [J].
      reason: Why there is no meter; None where there is one.
    """

    source: str
    period_s: float
    start: Callable[[], Any]
    stop: Callable[[Any], float]
    reason: str | None = None

    @property
    def present(self) -> bool:
        """Return whether it measures anything."""
        return self.reason is None


class Reading(NamedTuple):
    """Energy of a window.

    Attributes:
      joules: Energy [J]; None where it is not known.
      source: The meter's name, or why the energy is not known.
    """

    joules: float | None
    source: str


def absent(reason: str) -> Meter:
    """Return the meter of a machine without one."""
    return Meter("none", 0.0, lambda: None, lambda _: math.nan, reason)


class Window(NamedTuple):
    """A window that was begun: its meter, what `stop` needs, and why it failed, if it did."""

    meter: Meter
    token: Any
    failure: str | None


def begin(meter: Meter) -> Window:
    """Return a window that begins now; a meter that fails gives a reason instead."""
    if meter.reason is not None:
        return Window(meter, None, meter.reason)
    # Drivers and files fail in ways of their own; a run is worth more than its watts.
    try:
        return Window(meter, meter.start(), None)
    except Exception as error:
        return Window(meter, None, _failed(meter, error))


def end(window: Window, took: float) -> Reading:
    """Return the energy of a window that ends now.

    Args:
      window: The window.
      took: Its length [s].
    """
    meter = window.meter
    if window.failure is not None:
        return Reading(None, window.failure)
    try:
        joules = float(meter.stop(window.token))
    except Exception as error:
        return Reading(None, _failed(meter, error))
    if not (0 < joules <= MOST_WATTS * took):
        return Reading(
            None, f"meter {meter.source} gave {joules:g} J in {took:.3g} s: not credible"
        )
    return Reading(joules, meter.source)


def read(meter: Meter, seconds: Callable[[], float]) -> Reading:
    """Return the energy used while something runs; a meter that fails gives a reason instead.

    Args:
      meter: The meter.
      seconds: Runs it and returns how long it took [s].
    """
    window = begin(meter)
    return end(window, seconds())


def _failed(meter: Meter, error: Exception) -> str:
    told = " ".join(str(error).split()) or type(error).__name__
    return f"meter {meter.source} failed: {told}"


class _Domain(NamedTuple):
    """One RAPL counter: its file and the value [uJ] after which it starts again from zero."""

    energy: pathlib.Path
    wraps_at: int


def _domains(folder: pathlib.Path) -> list[_Domain]:
    """Return the packages' counters, and those of their memory, which they do not contain."""
    found = []
    for path in sorted(folder.glob("*rapl:*")):
        name = (path / "name").read_text(encoding="ascii").strip()
        if name.startswith("package") or name == "dram":
            limit = int((path / "max_energy_range_uj").read_text(encoding="ascii"))
            found.append(_Domain(path / "energy_uj", limit))
    return found


def _microjoules(domains: Sequence[_Domain]) -> list[int]:
    return [int(domain.energy.read_text(encoding="ascii")) for domain in domains]


def rapl(folder: str | os.PathLike[str] = POWERCAP) -> Meter:
    """Return the meter of the processor's packages and memory, from the kernel's files.

    A counter that stops below its start went past its limit once.

    Args:
      folder: The kernel's folder of power domains.
    """
    base = pathlib.Path(folder)
    try:
        domains = _domains(base)
        _microjoules(domains)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        return absent(f"no meter: RAPL in {base} cannot be read ({told})")
    if not domains:
        return absent(f"no meter: no RAPL domain in {base}")

    def stop(before: list[int]) -> float:
        after = _microjoules(domains)
        total = 0
        for domain, old, new in zip(domains, before, after, strict=True):
            total += new - old if new >= old else new - old + domain.wraps_at
        return total * MICROJOULE

    return Meter("RAPL (powercap)", RAPL_PERIOD_S, lambda: _microjoules(domains), stop)


def zeus(accelerator: int | None, module: Any = None) -> Meter:
    """Return Zeus's meter of one GPU, or of the processor.

    Args:
      accelerator: Number of the GPU; None for the processor's packages and memory.
      module: Stands in for `zeus.monitor`.
    """
    if module is None:
        if importlib.util.find_spec("zeus") is None:
            return absent("no meter: zeus is not installed (pip install 'greennas-jax[measure]')")
    # The package talks to drivers as it is imported and as a monitor is made.
    try:
        module = module or importlib.import_module("zeus.monitor")
        chosen = {"gpu_indices": [], "cpu_indices": None}
        if accelerator is not None:
            chosen = {"gpu_indices": [accelerator], "cpu_indices": []}
        monitor = module.ZeusMonitor(**chosen)
        # Where there is no such device a window has no entry for it, whatever was asked for.
        monitor.begin_window("probe", sync_execution=False)
        probe = monitor.end_window("probe", sync_execution=False, cancel=True)
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        return absent(f"no meter: zeus finds none ({told})")
    if accelerator is not None and accelerator not in probe.gpu_energy:
        return absent(f"no meter: no NVML device {accelerator}")
    if accelerator is None and not monitor.cpu_indices:
        return absent("no meter: zeus finds no RAPL domain")
    return _monitored(monitor, accelerator)


def _monitored(monitor: Any, accelerator: int | None) -> Meter:
    def start() -> str:
        # What is timed is waited for by the caller; Zeus would wait for another framework.
        monitor.begin_window("window", sync_execution=False)
        return "window"

    def stop(name: str) -> float:
        found = monitor.end_window(name, sync_execution=False)
        if accelerator is not None:
            return found.gpu_energy[accelerator]
        return sum((found.cpu_energy or {}).values()) + sum((found.dram_energy or {}).values())

    if accelerator is not None:
        return Meter(f"NVML (zeus), GPU {accelerator}", NVML_PERIOD_S, start, stop)
    return Meter("RAPL (zeus)", RAPL_PERIOD_S, start, stop)


def find(
    platform: str,
    accelerator: int = 0,
    *,
    folder: str | os.PathLike[str] = POWERCAP,
    module: Any = None,
) -> Meter:
    """Return the meter of the device that computes, or the reason why there is none.

    Args:
      platform: "cpu", "gpu" or another of JAX's platforms.
      accelerator: Number of the GPU.
      folder: The kernel's folder of power domains.
      module: Stands in for `zeus.monitor`.
    """
    if platform not in ("cpu", "gpu"):
        return absent(f"no meter: none is known for a {platform}")
    if platform == "gpu":
        return zeus(accelerator, module)
    files = rapl(folder)
    if files.present:
        return files
    other = zeus(None, module)
    return other if other.present else absent(f"{files.reason}; {other.reason}")
