"""A device's figures fitted to whole networks: their times and energies, no layer measured alone.

Time of a network: the sum over kinds of layers of overhead x passes + FLOPs / (peak x share) +
bytes / (bandwidth x share). Energy: static W x time + FLOPs x pJ/FLOP + bytes x pJ/byte. Both are
found by non-negative least squares on the relative error, cross-validated over networks (see
`fitting`); what the networks do not tell apart goes to either of two terms.

Shapes: n networks, K kinds of layers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import kinds, paleo, passes
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.measure import calibration, fitting
from greennas_jax.measure.calibration import Peaks, Shares, Watts


class Work(NamedTuple):
    """What networks do, by kind of layer.

    Attributes:
      calls: Passes that do any work, float64 [n, K].
      flops: FLOPs [n, K].
      moved: Bytes moved [n, K].
    """

    calls: np.ndarray
    flops: np.ndarray
    moved: np.ndarray


def work(tables: Sequence[LayerTable], settings: CostSettings) -> Work:
    """Return what networks do in a mode, as the costs count it.

    Args:
      tables: The networks' layers.
      settings: Mode, number format, convolution algorithm.
    """
    found = np.zeros((3, len(tables), len(kinds.KINDS)))
    for row, table in enumerate(tables):
        code = np.asarray(kinds.kind_codes(table))
        for step in passes.of_mode(paleo.work(table, settings), settings.mode):
            flops, moved = np.asarray(step.flops), np.asarray(passes.moved_bytes(step))
            busy = (flops > 0) | (moved > 0)
            for amount, values in zip(found[:, row], (busy, flops, moved), strict=True):
                np.add.at(amount, code, values)
    return Work(*found)


def times(
    done: Work, runtime_ms: np.ndarray, peaks: Peaks, settings: CostSettings, *, seed: int
) -> list[Shares]:
    """Return what each kind attains, fitted to the networks' times.

    Args:
      done: What the networks do.
      runtime_ms: Their times [ms], [n].
      peaks: What shares are of.
      settings: What was measured.
      seed: Of the folds.

    Returns:
      One entry for every kind that a network has; the errors are those of whole networks.
    """
    used = [int(kind) for kind in np.flatnonzero(done.calls.any(axis=0))]
    terms = np.concatenate([_terms(done, peaks, kind) for kind in used], axis=1)
    wanted = np.asarray(runtime_ms, float)
    found = fitting.solve(terms, wanted)
    fitted = fitting.rmspe(terms @ found, wanted)
    crossed = fitting.crossed(terms, wanted, seed)
    return [
        Shares(
            kind=kinds.KINDS[kind],
            dtype=settings.dtype,
            mode=settings.mode,
            overhead_us=1000 * float(overhead),
            compute=calibration.share(float(compute), done.flops[:, kind]),
            memory=calibration.share(float(memory), done.moved[:, kind]),
            half_inputs=0.0,
            half_outputs=0.0,
            rows=len(wanted),
            fitted=fitted,
            crossed=crossed,
        )
        for kind, (overhead, compute, memory) in zip(used, found.reshape(-1, 3), strict=True)
    ]


def _terms(done: Work, peaks: Peaks, kind: int) -> np.ndarray:
    """Return calls and times at the peaks [ms] of one kind, float64 [n, 3]."""
    compute = 1000 * done.flops[:, kind] / (calibration.GIGA * peaks.gflops)
    memory = 1000 * done.moved[:, kind] / (calibration.GIGA * peaks.gbs)
    return np.stack([done.calls[:, kind], compute, memory], axis=1)


def power(
    done: Work, runtime_ms: np.ndarray, energy_j: np.ndarray, source: str, *, seed: int
) -> Watts:
    """Return the coefficients of measured power.

    Args:
      done: What the networks do.
      runtime_ms: Their times [ms], [n].
      energy_j: Their energies [J], [n].
      source: The meter.
      seed: Of the folds.
    """
    seconds = np.asarray(runtime_ms, float) / 1000
    wanted = np.asarray(energy_j, float) / seconds
    dynamic = [calibration.PICOJOULE * amount.sum(axis=1) / seconds for amount in done[1:]]
    terms = np.stack([np.ones(len(wanted)), *dynamic], axis=1)
    static, of_flop, of_byte = (float(value) for value in fitting.solve(terms, wanted))
    crossed = fitting.crossed(terms, wanted, seed)
    return Watts(static, of_flop, of_byte, len(wanted), crossed, source)
