"""A device's figures fitted to measured layers.

Shapes: R measured layers, K kinds.

Time of a layer, as the costs predict it: overhead x passes + FLOPs x slowdown / (peak x share) +
bytes / (bandwidth x share), slowdown (1 + half inputs / numbers summed) (1 + half outputs /
outputs), with five such figures for each kind and number format. They are found by non-negative
least squares on the relative error, which is what RMSPE measures; see `fitting`. Errors are
cross-validated: each tenth of the layers is predicted by a fit to the others.

Power, where it was measured: static W + (FLOPs x pJ/FLOP + bytes x pJ/byte) / time, likewise.
"""

import collections
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.costs import kinds, paleo, passes
from greennas_jax.costs.settings import CostSettings
from greennas_jax.measure import fitting, measurements
from greennas_jax.measure.measurements import Measurement

# With fewer layers than this of a kind a fit of three figures says nothing about its errors.
LEAST_ROWS = 6
GIGA = 1e9
PICOJOULE = 1e-12
# A share this small stands for a term that the fit found no use for; no share may be zero.
LARGEST_SHARE = 1e6


class Peaks(NamedTuple):
    """What shares are shares of.

    Attributes:
      gflops: Peak rate [GFLOP/s].
      gbs: Bandwidth [GB/s].
    """

    gflops: float
    gbs: float


class Amounts(NamedTuple):
    """What layers do in their mode.

    Attributes:
      calls: Passes that do any work [R].
      flops: FLOPs [R].
      moved: Bytes moved [R].
      kind: Kinds, int [R].
      summed: Numbers that an output sums [R].
      outputs: Outputs of a position, in a group [R].
    """

    calls: np.ndarray
    flops: np.ndarray
    moved: np.ndarray
    kind: np.ndarray
    summed: np.ndarray
    outputs: np.ndarray


class Shares(NamedTuple):
    """What was fitted for one kind of layer in one number format.

    Attributes:
      kind: The kind.
      dtype: The number format.
      mode: What was measured: "inference" or "training".
      overhead_us: Time of a pass beside its work [us].
      compute: Attainable share of the peak rate; None where no time goes with FLOPs.
      memory: Attainable share of the bandwidth; None where no time goes with bytes.
      half_inputs: Numbers that an output sums at which half of the rate is reached.
      half_outputs: Outputs of a position, in a group, at which half of it is reached.
      rows: Layers that it was fitted to.
      fitted: RMSPE over them [%].
      crossed: Cross-validated RMSPE [%].
    """

    kind: str
    dtype: str
    mode: str
    overhead_us: float
    compute: float | None
    memory: float | None
    half_inputs: float
    half_outputs: float
    rows: int
    fitted: float
    crossed: float


class Watts(NamedTuple):
    """What was fitted to measured power.

    Attributes:
      static_w: Power while busy that neither FLOPs nor traffic explain [W].
      pj_per_flop: Energy of an operation [pJ/FLOP].
      pj_per_byte: Energy of a byte [pJ/byte].
      rows: Layers that it was fitted to.
      power: Cross-validated RMSPE of the power [%].
      source: The meter.
    """

    static_w: float
    pj_per_flop: float
    pj_per_byte: float
    rows: int
    power: float
    source: str


def amounts(rows: Sequence[Measurement]) -> Amounts:
    """Return what measured layers compute and move, as the costs count it."""
    table = measurements.table(rows)
    found = np.zeros((3, len(rows)))
    for mode, dtype in {(row.case.mode, row.case.dtype) for row in rows}:
        here = np.array([(row.case.mode, row.case.dtype) == (mode, dtype) for row in rows])
        work = paleo.work(table, CostSettings(mode=mode, dtype=dtype))
        for step in passes.of_mode(work, mode):
            flops, moved = step.flops, passes.moved_bytes(step)
            busy = (flops > 0) | (moved > 0)
            found += np.where(here, np.stack([busy, flops, moved]), 0.0)
    kind = np.asarray(kinds.kind_codes(table))
    return Amounts(found[0], found[1], found[2], kind, *paleo.product_sizes(table))


def share(coefficient: float, terms: np.ndarray) -> float | None:
    """Return 1 / coefficient, None where the term takes no time."""
    if not terms.any() or coefficient <= 1 / LARGEST_SHARE:
        return None
    return 1 / coefficient


def times(rows: Sequence[Measurement], peaks: dict[str, Peaks], *, seed: int) -> list[Shares]:
    """Return what each kind attains in each number format.

    Layers measured in inference are fitted where there are any, else those in training.

    Args:
      rows: Measured layers.
      peaks: What shares are of, by number format.
      seed: Of the folds.
    """
    amount = amounts(rows)
    found = []
    groups = sorted({(int(k), row.case.dtype) for k, row in zip(amount.kind, rows, strict=True)})
    for code, dtype in groups:
        modes = np.array([row.case.mode for row in rows])
        own = (amount.kind == code) & np.array([row.case.dtype == dtype for row in rows])
        mode = "inference" if (own & (modes == "inference")).any() else "training"
        own &= modes == mode
        if own.sum() < LEAST_ROWS:
            continue
        terms = _terms(amount, peaks[dtype])[own]
        wanted = np.array([row.runtime_ms for row in rows])[own]
        fit = fitting.time(terms, wanted)
        found.append(
            Shares(
                kind=kinds.KINDS[code],
                dtype=dtype,
                mode=mode,
                overhead_us=1000 * float(fit.coefficients[0]),
                compute=share(float(fit.coefficients[1]), terms[:, 1]),
                memory=share(float(fit.coefficients[2]), terms[:, 2]),
                half_inputs=fit.half_inputs,
                half_outputs=fit.half_outputs,
                rows=int(own.sum()),
                fitted=fitting.rmspe(fit(terms), wanted),
                crossed=fitting.crossed(terms, wanted, seed, fitting.time),
            )
        )
    return found


def enough(rows: Sequence[Measurement]) -> bool:
    """Return whether any kind of layers can be fitted."""
    kind = amounts(rows).kind
    groups = collections.Counter(
        (int(code), row.case.dtype, row.case.mode) for code, row in zip(kind, rows, strict=True)
    )
    return max(groups.values(), default=0) >= LEAST_ROWS


def _terms(amount: Amounts, peaks: Peaks) -> np.ndarray:
    """Return calls, times at the peaks [ms], and sizes of products, float64 [R, 5]."""
    compute = 1000 * amount.flops / (GIGA * peaks.gflops)
    memory = 1000 * amount.moved / (GIGA * peaks.gbs)
    return np.stack([amount.calls, compute, memory, amount.summed, amount.outputs], axis=1)


def power(rows: Sequence[Measurement], *, seed: int) -> Watts | str:
    """Return the coefficients of measured power, or why there are none.

    Args:
      rows: Measured layers; those without a measured power do not count.
      seed: Of the folds.
    """
    metered = [row for row in rows if row.power_w is not None]
    if len(metered) < LEAST_ROWS:
        reasons = sorted({row.power_source for row in rows if row.power_w is None})
        return "; ".join(reasons) or f"fewer than {LEAST_ROWS} layers with a measured power"
    amount = amounts(metered)
    seconds = np.array([row.runtime_ms for row in metered]) / 1000
    wanted = np.array([row.power_w for row in metered], dtype=np.float64)
    dynamic = [PICOJOULE * each / seconds for each in (amount.flops, amount.moved)]
    terms = np.stack([np.ones(len(metered)), *dynamic], axis=1)
    static, of_flop, of_byte = (float(value) for value in fitting.solve(terms, wanted))
    sources = sorted({row.power_source for row in metered})
    error = fitting.crossed(terms, wanted, seed)
    return Watts(static, of_flop, of_byte, len(metered), error, ", ".join(sources))


def best(rows: Sequence[Measurement]) -> list[Measurement]:
    """Return each layer once: of several measurements the one with the least time.

    Whatever else a machine does can only add to a time; the least of several is the one that was
    disturbed least.
    """
    found: dict[object, Measurement] = {}
    for row in rows:
        known = found.get(row.case)
        if known is None or row.runtime_ms < known.runtime_ms:
            found[row.case] = row
    return list(found.values())


def errors_of(fit: Shares) -> dict[str, Any]:
    """Return how well a fit holds, as JSON values; errors are RMSPE [%]."""
    return {
        "mode": fit.mode,
        "rows": fit.rows,
        "fitted": fit.fitted,
        "cross_validated": fit.crossed,
    }
