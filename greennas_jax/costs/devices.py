"""Devices as text: peak figures, where each comes from, and power coefficients.

A device file is JSON, `{"name": ..., "KEY": {"value": number, "source": text}, ...}`; the keys are
`FIGURES`. Beside them it may state

    "default_dtype": "bf16"                               the format of `peak_gflops`, else fp32
    "dtypes": {"fp16": {"peak_gflops": F, "pj_per_flop": F}}       other number formats
    "efficiency": {KIND: {DTYPE: {"compute": F, "memory": F,       attainable shares, else 1
                                  "overhead_us": F,                beside the device's, else 0
                                  "half_inputs": F, "half_outputs": F}}}         else 0
    "calibration": {...}                                           any JSON: when, where, how well

with KIND of `kinds.KINDS`, DTYPE of `dtypes.DTYPES` and F a figure. A file may leave out everything
about power but the TDP, and even that: what is assumed then is said in the device's sources.

Shapes: K kinds of layers.
"""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

from greennas_jax.costs import dtypes, figures, named_files, precisions
from greennas_jax.costs.figures import DeviceError, Figure
from greennas_jax.costs.precisions import Efficiency, Precision
from greennas_jax.spec import strict_json
from greennas_jax.spec.network import SpecError, shown

DEVICE_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "configs" / "devices"

REQUIRED = ("clock_mhz", "peak_gflops", "bandwidth_gbs")
FIGURES = (
    *(*REQUIRED, "paleo_clock_mhz", "tdp_w", "idle_w", "static_w"),
    *("pj_per_flop", "pj_per_byte", "overhead_us"),
)
OBJECTS = ("dtypes", "efficiency", "calibration")
_MAY_BE_ZERO = ("pj_per_flop", "pj_per_byte", "static_w", "idle_w", "overhead_us")

# Shares of the TDP, for devices that nobody measured: constant power, traffic at the peak
# bandwidth, arithmetic at the peak rate. The first two are the medians of GTX 580, GTX 680 and GTX
# Titan (0.50, 0.34, 0.49 and 0.40, 0.43, 0.31: Choi et al., "A roofline model of energy", IPDPS
# 2013, quoted from memory). Their third (0.65, 0.68, 0.55) is of hand-tuned kernels at the peak; it
# was chosen lower on the three Titan X rows of Cai et al. (NeuralPower, ACML 2017).
ASSUMED_STATIC_SHARE = 0.5
ASSUMED_TRAFFIC_SHARE = 0.4
ASSUMED_ARITHMETIC_SHARE = 0.35

figure = figures.figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """One device, in one number format. Its figures are differentiable, all else is static.

    Attributes:
      clock_mhz: Clock [MHz]: no step is shorter than one cycle.
      paleo_clock_mhz: The clock in Paleo's own table [MHz].
      peak_gflops: Peak rate in `dtype` [GFLOP/s].
      bandwidth_gbs: Peak bandwidth of the device memory [GB/s].
      tdp_w: Thermal design power [W]; infinite where not stated.
      static_w: Power while busy that neither FLOPs nor traffic explain [W]; NaN where unknown.
      pj_per_flop: Energy of a floating-point operation in `dtype` [pJ/FLOP].
      pj_per_byte: Energy of a byte moved to or from the device memory [pJ/byte].
      idle_w: Power while nothing runs [W]; None where not known.
      overhead_us: Time that each call of a layer takes beside its work [us].
      compute_efficiency: Attainable share of the peak rate in `dtype` by kind of layer [K].
      memory_efficiency: Attainable share of the bandwidth in `dtype` by kind of layer [K].
      kind_overhead_us: Time beside that, in `dtype` by kind of layer [us], [K].
      kind_half_inputs: Numbers that an output sums at which half of the attainable rate is reached,
        in `dtype` by kind of layer [K].
      kind_half_outputs: Outputs of a position, in a group, at which half of it is reached [K].
      name: The device's name, lower case.
      sources: Pairs of a figure's name and where it comes from.
      power_known: Whether the device states enough for a power estimate.
      dtype: The number format that the figures are for.
      precisions: What the device states for every format it computes in, the default one first.
      calibration: The file's record of its calibration as JSON text; empty where there is none.
    """

    clock_mhz: float
    paleo_clock_mhz: float
    peak_gflops: float
    bandwidth_gbs: float
    tdp_w: float
    static_w: float
    pj_per_flop: float
    pj_per_byte: float
    idle_w: float | None = None
    overhead_us: float = 0.0
    compute_efficiency: Efficiency = precisions.UNSTATED
    memory_efficiency: Efficiency = precisions.UNSTATED
    kind_overhead_us: Efficiency = precisions.NO_EXTRA
    kind_half_inputs: Efficiency = precisions.NO_EXTRA
    kind_half_outputs: Efficiency = precisions.NO_EXTRA
    name: str
    sources: tuple[tuple[str, str], ...] = ()
    power_known: bool = True
    dtype: str = "fp32"
    precisions: tuple[Precision, ...] = ()
    calibration: str = ""

    def replace(self, **changes: Any) -> "Device":
        """Return a copy with some figures changed."""
        return dataclasses.replace(self, **changes)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Return the number formats that the device states, the default one first."""
        return tuple(each.dtype for each in self.precisions) or (self.dtype,)

    def at(self, dtype: str) -> "Device":
        """Return the device with its figures in a number format; itself where it is in it.

        Changed or traced figures that depend on the format are those of one format only: another
        one's are as the file states them.

        Raises:
          DeviceError: If the device does not state the format; those it does are listed.
        """
        if dtype == self.dtype:
            return self
        for each in self.precisions:
            if each.dtype == dtype:
                break
        else:
            raise DeviceError(
                f"device '{self.name}' states no peak in {dtype!r}; "
                f"allowed: {', '.join(self.dtypes)}"
            )
        kept = {
            name: source
            for name, source in self.sources
            if name.partition(".")[0] not in precisions.FIGURES
        }
        own = {name: getattr(each, name) for name in precisions.FIGURES}
        sources = tuple((kept | dict(each.sources)).items())
        return self.replace(dtype=dtype, sources=sources, **own)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Return the power figures that nobody measured, each with what is assumed."""
        return tuple(
            f"{name} {getattr(self, name):g} ({source})"
            for name, source in self.sources
            if self.power_known and source.startswith("assumed")
            if name in ("static_w", "pj_per_flop", "pj_per_byte")
        )


def chosen_dtype(device: Device, asked: str | None, configured: str = "fp32") -> str:
    """Return the number format that a program computes in.

    Args:
      device: The device.
      asked: What is asked for; None for no wish.
      configured: What holds without a wish; fp32, the usual default, gives way to the device's own
        default where the device does not compute in fp32.
    """
    if asked is not None:
        return asked
    gives_way = configured == "fp32" and configured not in device.dtypes
    return device.dtypes[0] if gives_way else configured


def names() -> tuple[str, ...]:
    """Return the names of the devices in configs/devices, sorted."""
    return named_files.names(DEVICE_FOLDER)


def load(name_or_path: str | os.PathLike[str]) -> Device:
    """Return a device by its name (in any case) or from a file, in its default number format.

    Raises:
      DeviceError: If the device is not known, or its file malformed.
      OSError: If a file cannot be read.

    Examples:
      >>> load("Titan_X").dtypes
      ('fp32',)
      >>> load("v100").at("fp16").dtype
      'fp16'
    """
    text, origin = named_files.read(name_or_path, DEVICE_FOLDER, "device", DeviceError)
    return read(text, origin=origin)


def read(text: str, *, origin: str = "<text>") -> Device:
    """Return the device that a device file's text states, in its default number format.

    Raises:
      DeviceError: If the text is not JSON, or a figure is missing, unknown or out of range.
    """
    where = f"device file {origin}"
    try:
        stated = strict_json.parse(text)
    except SpecError as error:
        raise DeviceError(f"{where}: {error}") from None
    if not isinstance(stated, dict) or not isinstance(stated.get("name"), str):
        raise DeviceError(f"{where}: an object with a 'name' is needed")
    allowed = ("name", *FIGURES, "default_dtype", *OBJECTS)
    unknown = [key for key in stated if key not in allowed]
    if unknown:
        raise DeviceError(
            f"{where}: key {shown(unknown[0])} is not known; allowed: {', '.join(allowed)}"
        )
    missing = [key for key in REQUIRED if key not in stated]
    if missing:
        raise DeviceError(f"{where}: '{missing[0]}' is missing")
    found = {
        key: figures.figure(stated[key], f"{where}: '{key}'", zero_allowed=key in _MAY_BE_ZERO)
        for key in FIGURES
        if key in stated
    }
    return _complete(stated, found, where)


def _complete(stated: dict[str, Any], found: dict[str, Figure], where: str) -> Device:
    """Return a device whose unstated power coefficients are the stated assumptions."""
    default = stated.get("default_dtype", "fp32")
    if default not in dtypes.DTYPES:
        raise DeviceError(
            f"{where}: 'default_dtype' is {default!r}; allowed: {', '.join(dtypes.DTYPES)}"
        )
    calibration = stated.get("calibration")
    if not isinstance(calibration, dict | None):
        raise DeviceError(f"{where}: 'calibration' is {calibration!r}; an object needed")
    rates = {key: found.pop(key) for key in ("peak_gflops", "pj_per_flop") if key in found}
    power_known = "tdp_w" in found or "static_w" in found
    at_peak = _assume(found)
    formats = precisions.read(default, rates, stated, at_peak, where)
    own = {name: getattr(formats[0], name) for name in precisions.FIGURES}
    return Device(
        name=stated["name"].lower(),
        **{key: value for key, (value, _) in found.items()},
        **own,
        sources=(*((key, source) for key, (_, source) in found.items()), *formats[0].sources),
        power_known=power_known,
        dtype=default,
        precisions=formats,
        calibration="" if calibration is None else json.dumps(calibration, sort_keys=True),
    )


def _assume(found: dict[str, Figure]) -> Figure:
    """Fill in what a file leaves out; return the power of arithmetic at the peak rate [W]."""
    found.setdefault("paleo_clock_mhz", found["clock_mhz"])
    # Without a TDP the shares are those of the one that the static power would be the share of.
    base = "TDP" if "tdp_w" in found else "twice the static power"
    static = found.get("static_w", (math.nan, ""))[0]
    watts = found["tdp_w"][0] if "tdp_w" in found else static / ASSUMED_STATIC_SHARE

    def share(of: float, what: str = "") -> str:
        return f"assumed: {of:g} x {base}{what}, not calibrated"

    found.setdefault("static_w", (ASSUMED_STATIC_SHARE * watts, share(ASSUMED_STATIC_SHARE)))
    found.setdefault(
        "pj_per_byte",
        (
            1000 * ASSUMED_TRAFFIC_SHARE * watts / found["bandwidth_gbs"][0],
            share(ASSUMED_TRAFFIC_SHARE, " / peak bandwidth"),
        ),
    )
    found.setdefault("tdp_w", (math.inf, "not stated"))
    return ASSUMED_ARITHMETIC_SHARE * watts, share(ASSUMED_ARITHMETIC_SHARE, " / peak rate")
