"""Devices as text: peak figures, where each comes from, and power coefficients.

A device file is JSON, `{"name": ..., "KEY": {"value": number, "source": text}, ...}`; the keys are
`FIGURES`. A file may leave out everything about power but the TDP, and even that: what is assumed
then is said in the device's sources.
"""

import dataclasses
import math
import os
import pathlib
from typing import Any

from greennas_jax.costs import named_files
from greennas_jax.spec import strict_json
from greennas_jax.spec.network import SpecError

DEVICE_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "configs" / "devices"

REQUIRED = ("clock_mhz", "peak_gflops", "bandwidth_gbs")
FIGURES = (*REQUIRED, "paleo_clock_mhz", "tdp_w", "static_w", "pj_per_flop", "pj_per_byte")

# Titan X draws nearly flat power plus traffic (rows of Cai et al., NeuralPower, ACML 2017).
ASSUMED_STATIC_SHARE = 0.65
# Choi et al., "A roofline model of energy", IPDPS 2013: GTX 680.
ASSUMED_PJ_PER_BYTE = 438.0
ASSUMED_PJ_PER_FLOP = 0.0


class DeviceError(ValueError):
    """A device is not known or its file is not valid; the message says what is allowed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """One device. The figures are differentiable; the name and the sources are static.

    Attributes:
      clock_mhz: Clock [MHz]: no step is shorter than one cycle.
      paleo_clock_mhz: The clock in Paleo's own table [MHz].
      peak_gflops: Peak rate in single precision [GFLOP/s].
      bandwidth_gbs: Peak bandwidth of the device memory [GB/s].
      tdp_w: Thermal design power [W]; infinite where not stated.
      static_w: Power while busy that neither FLOPs nor traffic explain [W]; NaN where unknown.
      pj_per_flop: Energy of a floating-point operation [pJ/FLOP].
      pj_per_byte: Energy of a byte moved to or from the device memory [pJ/byte].
      name: The device's name, lower case.
      sources: Pairs of a figure's name and where it comes from.
      power_known: Whether the device states enough for a power estimate.
    """

    clock_mhz: float
    paleo_clock_mhz: float
    peak_gflops: float
    bandwidth_gbs: float
    tdp_w: float
    static_w: float
    pj_per_flop: float
    pj_per_byte: float
    name: str
    sources: tuple[tuple[str, str], ...] = ()
    power_known: bool = True

    def replace(self, **changes: Any) -> "Device":
        """Return a copy with some figures changed."""
        return dataclasses.replace(self, **changes)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Return the power figures that nobody measured, each with what is assumed."""
        return tuple(
            f"{name} {getattr(self, name):g} ({source})"
            for name, source in self.sources
            if source.startswith("assumed") and name in ("static_w", "pj_per_flop", "pj_per_byte")
        )


def names() -> tuple[str, ...]:
    """Return the names of the devices in configs/devices, sorted."""
    return named_files.names(DEVICE_FOLDER)


def load(name_or_path: str | os.PathLike[str]) -> Device:
    """Return a device by its name (in any case) or from a file.

    Raises:
      DeviceError: If the device is not known, or its file malformed.
      OSError: If a file cannot be read.
    """
    text, origin = named_files.read(name_or_path, DEVICE_FOLDER, "device", DeviceError)
    return read(text, origin=origin)


def read(text: str, *, origin: str = "<text>") -> Device:
    """Return the device that a device file's text states.

    Raises:
      DeviceError: If the text is not JSON, or a figure is missing, unknown or not positive.
    """
    try:
        stated = strict_json.parse(text)
    except SpecError as error:
        raise DeviceError(f"device file {origin}: {error}") from None
    if not isinstance(stated, dict) or not isinstance(stated.get("name"), str):
        raise DeviceError(f"device file {origin}: an object with a 'name' is needed")
    unknown = [key for key in stated if key not in ("name", *FIGURES)]
    if unknown:
        raise DeviceError(
            f"device file {origin}: key '{unknown[0]}' is not known; allowed: name, "
            + ", ".join(FIGURES)
        )
    missing = [key for key in REQUIRED if key not in stated]
    if missing:
        raise DeviceError(f"device file {origin}: '{missing[0]}' is missing")
    figures = {
        key: figure(
            stated[key],
            f"device file {origin}: '{key}'",
            zero_allowed=key.startswith(("pj_per", "static")),
        )
        for key in FIGURES
        if key in stated
    }
    return _complete(stated["name"].lower(), figures)


def figure(entry: Any, where: str, *, zero_allowed: bool) -> tuple[float, str]:
    """Return the value and the source of a figure, `{"value": number, "source": text}`.

    Args:
      entry: The figure as stated.
      where: The file and the figure, for messages.
      zero_allowed: Whether the value may be zero.

    Raises:
      DeviceError: If it is malformed, out of range, or without a source.
    """
    if not isinstance(entry, dict) or set(entry) != {"value", "source"}:
        raise DeviceError(f'{where} is {entry!r}; {{"value": number, "source": text}} needed')
    value, source = entry["value"], entry["source"]
    least = 0 if zero_allowed else math.ulp(0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DeviceError(f"{where} has value {value!r}; a number needed")
    if not (math.isfinite(value) and value >= least):
        raise DeviceError(f"{where} has value {value!r}; a finite number above 0 needed")
    if not isinstance(source, str) or not source:
        raise DeviceError(f"{where} states no source")
    return float(value), source


def _complete(name: str, figures: dict[str, tuple[float, str]]) -> Device:
    """Return a device whose unstated power coefficients are the stated assumptions."""
    clock = figures["clock_mhz"]
    figures.setdefault("paleo_clock_mhz", clock)
    power_known = "tdp_w" in figures or "static_w" in figures
    if "static_w" not in figures:
        tdp = figures["tdp_w"][0] if power_known else math.nan
        source = f"assumed: {ASSUMED_STATIC_SHARE:g} x TDP, not calibrated"
        figures["static_w"] = ASSUMED_STATIC_SHARE * tdp, source
    figures.setdefault("tdp_w", (math.inf, "not stated"))
    figures.setdefault(
        "pj_per_byte", (ASSUMED_PJ_PER_BYTE, "assumed: GTX 680, Choi et al. 2013, not calibrated")
    )
    figures.setdefault(
        "pj_per_flop",
        (ASSUMED_PJ_PER_FLOP, "assumed: power is flat plus traffic, not calibrated"),
    )
    sources = tuple((key, source) for key, (_, source) in figures.items())
    values = {key: value for key, (value, _) in figures.items()}
    return Device(name=name, sources=sources, power_known=power_known, **values)
