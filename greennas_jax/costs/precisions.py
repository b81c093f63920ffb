"""What a device states for one number format: peak rate, energy, attainable shares.

Shapes: K kinds of layers, in the order of `kind_names.KINDS`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from greennas_jax.costs import dtypes, figures, kind_names
from greennas_jax.costs.figures import DeviceError, Figure

SHARES = ("compute", "memory")
# What a device may state of a kind beside its shares; 0 where it does not.
EXTRAS = ("overhead_us", "half_inputs", "half_outputs")
# The figures that depend on the format.
FIGURES = (
    *("peak_gflops", "pj_per_flop"),
    *("compute_efficiency", "memory_efficiency"),
    *("kind_overhead_us", "kind_half_inputs", "kind_half_outputs"),
)

Efficiency = tuple[float, ...]
UNSTATED: Efficiency = (1.0,) * len(kind_names.KINDS)
NO_EXTRA = (0.0,) * len(kind_names.KINDS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Precision:
    """A device's figures in one number format.

    Attributes:
      dtype: The format, one of `dtypes.DTYPES`.
      peak_gflops: Peak rate [GFLOP/s].
      pj_per_flop: Energy of an operation [pJ/FLOP].
      compute_efficiency: Attainable share of the peak rate by kind of layer, 1 where not stated
        [K].
      memory_efficiency: Attainable share of the bandwidth by kind of layer [K].
      kind_overhead_us: Time that a call takes beside the device's own overhead, by kind of layer
        [us], [K].
      kind_half_inputs: Numbers that an output sums at which half of the attainable rate is reached,
        by kind of layer [K].
      kind_half_outputs: Outputs of a position, in a group, at which half of it is reached [K].
      sources: Pairs of a figure's name and where it comes from.
    """

    dtype: str
    peak_gflops: float
    pj_per_flop: float
    compute_efficiency: Efficiency = UNSTATED
    memory_efficiency: Efficiency = UNSTATED
    kind_overhead_us: Efficiency = NO_EXTRA
    kind_half_inputs: Efficiency = NO_EXTRA
    kind_half_outputs: Efficiency = NO_EXTRA
    sources: tuple[tuple[str, str], ...] = ()


def read(
    default: str,
    rates: Mapping[str, Figure],
    stated: Mapping[str, Any],
    at_peak: Figure,
    where: str,
) -> tuple[Precision, ...]:
    """Return every number format that a device file states, the default one first.

    Args:
      default: The format of the figures that stand outside "dtypes".
      rates: Those figures, `peak_gflops` and perhaps `pj_per_flop`.
      stated: The file's object; "dtypes" and "efficiency" are read.
      at_peak: Power of the arithmetic at the peak rate [W], for formats that state no energy of an
        operation.
      where: The file, for messages.

    Raises:
      DeviceError: If a format or a kind is not known, or a figure malformed or out of range.
    """
    found = {default: dict(rates)}
    if "dtypes" in stated:
        inside = f"{where}: 'dtypes'"
        for dtype, entry in figures.entries(stated["dtypes"], inside, dtypes.DTYPES).items():
            if dtype == default:
                raise DeviceError(
                    f"{inside} has '{dtype}', the default format; its figures stand outside"
                )
            found[dtype] = _rates(entry, f"{inside}: '{dtype}'")
    shares = _efficiency(stated, where, found)
    for own in found.values():
        watts, source = at_peak
        own.setdefault("pj_per_flop", (1000 * watts / own["peak_gflops"][0], source))
    return tuple(_precision(dtype, own, shares) for dtype, own in found.items())


def _rates(entry: Any, where: str) -> dict[str, Figure]:
    allowed = ("peak_gflops", "pj_per_flop")
    given = figures.entries(entry, where, allowed)
    if "peak_gflops" not in given:
        raise DeviceError(f"{where}: 'peak_gflops' is missing")
    return {
        key: figures.figure(value, f"{where}: '{key}'", zero_allowed=key == "pj_per_flop")
        for key, value in given.items()
    }


def _efficiency(
    stated: Mapping[str, Any], where: str, known: Mapping[str, Any]
) -> dict[tuple[str, str, str], Figure]:
    """Return what is stated of each kind, by (dtype, one of SHARES or EXTRAS, kind)."""
    found = {}
    if "efficiency" not in stated:
        return found
    inside, allowed = f"{where}: 'efficiency'", (*SHARES, *EXTRAS)
    for kind, formats in figures.entries(stated["efficiency"], inside, kind_names.KINDS).items():
        of_kind = f"{inside}: '{kind}'"
        for dtype, shares in figures.entries(formats, of_kind, dtypes.DTYPES).items():
            if dtype not in known:
                raise DeviceError(f"{of_kind}: '{dtype}' has no peak; stated: {', '.join(known)}")
            of_format = f"{of_kind}: '{dtype}'"
            for share, entry in figures.entries(shares, of_format, allowed).items():
                found[dtype, share, kind] = figures.figure(
                    entry, f"{of_format}: '{share}'", zero_allowed=share in EXTRAS
                )
    return found


def _precision(
    dtype: str, rates: dict[str, Figure], shares: dict[tuple[str, str, str], Figure]
) -> Precision:
    own = {
        (f"kind_{share}" if share in EXTRAS else f"{share}_efficiency") + f".{kind}": stated
        for (of, share, kind), stated in shares.items()
        if of == dtype
    }
    compute, memory = (
        tuple(shares.get((dtype, share, kind), (1.0, ""))[0] for kind in kind_names.KINDS)
        for share in SHARES
    )
    extras = {
        f"kind_{name}": tuple(
            shares.get((dtype, name, kind), (0.0, ""))[0] for kind in kind_names.KINDS
        )
        for name in EXTRAS
    }
    return Precision(
        dtype=dtype,
        peak_gflops=rates["peak_gflops"][0],
        pj_per_flop=rates["pj_per_flop"][0],
        compute_efficiency=compute,
        memory_efficiency=memory,
        **extras,
        sources=tuple((key, source) for key, (_, source) in (rates | own).items()),
    )
