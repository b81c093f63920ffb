"""Fit NeuralPower's layer models to measured layers.

Shapes: N measured layers of one kind, P candidate terms, A penalties. All errors are relative: a
sample weighs 1 / (its measured value)^2, so that lasso minimises what RMSPE measures. Forms of
formula compete by 10-fold cross-validation in which everything that is learnt (the counted base,
means and deviations for standardising, coefficients, limits) is learnt from the other folds, and
the penalty for a fold is the best of the other folds.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import kinds, neuralpower_features, neuralpower_forms
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.neuralpower_model import FUSED, Error, Formula, KindFit, Model, Range

FOLDS = 10
# Fewer different layers of a kind than two for each fold say nothing about its errors.
LEAST_SAMPLES = 2 * FOLDS


class FitError(ValueError):
    """Measurements cannot be fitted; the message says which and what is allowed."""


class _Quantity(NamedTuple):
    """The winner for one quantity, its cross-validated predictions [N] and all errors [%]."""

    formula: Formula
    predicted: np.ndarray
    errors: dict[str, float]


def rmspe(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Return the root mean square percentage error [%]."""
    return float(100 * np.sqrt(np.mean((predicted / measured - 1) ** 2)))


def fit(
    table: LayerTable,
    runtime_ms: np.ndarray,
    power_w: np.ndarray | None = None,
    *,
    seed: int,
    mode: str = "inference",
    dtype: str = "fp32",
    device: str = "",
    driver: str = "",
    date: str = "",
    version: str = "",
    paleo_ms: np.ndarray | None = None,
    paleo_w: np.ndarray | None = None,
) -> Model:
    """Return layer models fitted to measurements; the same input gives the same model.

    Args:
      table: Measured layers [L], numpy.
      runtime_ms: Their runtimes [ms], [L].
      power_w: Power while each runs [W], [L]; NaN, or None for all, where there was no meter.
      seed: Seed of the folds.
      mode: Mode that they were measured in.
      dtype: Number format that they were measured in.
      device: What was measured.
      driver: Versions of what ran the layers.
      date: Day of the measurement.
      version: Version of the software that measured and fits.
      paleo_ms: Runtimes by Paleo's formula [ms], [L], whose errors are reported beside.
      paleo_w: Power by the physical model [W], [L], likewise.

    Raises:
      FitError: If the measurements are not positive numbers, one per layer, or no kind of layers
        has enough of them.
    """
    runtime = _checked("runtime_ms", runtime_ms, len(table), missing=False)
    given = np.full(len(table), np.nan) if power_w is None else power_w
    watts = _checked("power_w", given, len(table), missing=True)
    beside = {
        name: _checked(f"paleo_{unit}", column, len(table), missing=True)
        for name, unit, column in (("runtime", "ms", paleo_ms), ("power", "w", paleo_w))
        if column is not None
    }
    codes = kinds.kind_codes(table)
    fits = []
    # Only a fit needs this library. The matrices are small: several threads only wait for each
    # other, and one gives the same sums on every machine.
    import threadpoolctl

    for kind in neuralpower_features.HYPER_PARAMETERS:
        rows = np.flatnonzero(codes == kinds.CODES[kind])
        if len(rows) < LEAST_SAMPLES:
            continue
        part = LayerTable(**{name: column[rows] for name, column in vars(table).items()})
        known = {name: column[rows] for name, column in beside.items()}
        with threadpoolctl.threadpool_limits(limits=1):
            fits.append(_fit_kind(kind, part, runtime[rows], watts[rows], known, seed))
    found = tuple(each for each in fits if each is not None)
    if not found:
        raise FitError(
            f"{len(table)} layers were measured; at least {LEAST_SAMPLES} different ones of a kind "
            "are needed"
        )
    return Model(
        device=device,
        driver=driver,
        date=date,
        mode=mode,
        dtype=dtype,
        version=version,
        seed=seed,
        fits=found,
    )


def _checked(name: str, values: np.ndarray, length: int, *, missing: bool) -> np.ndarray:
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (length,):
        raise FitError(f"{name} has shape {column.shape}; ({length},) needed, one per layer")
    good = (np.isfinite(column) & (column > 0)) | (missing & np.isnan(column))
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise FitError(f"{name} of layer {row} is {column[row]}; a positive number needed")
    return column


def _fit_kind(
    kind: str,
    table: LayerTable,
    runtime: np.ndarray,
    watts: np.ndarray,
    beside: Mapping[str, np.ndarray],
    seed: int,
) -> KindFit | None:
    """Return the fit of one kind from its measured layers [N]; None if too few differ."""
    operations = sorted({Operation(int(code)).name for code in table.operation})
    found = neuralpower_features.values(table, operations)
    ranges = _ranges(kind, operations, found)
    numbers = distinct(found, ranges)
    if numbers.max() + 1 < LEAST_SAMPLES:
        return None
    folds = folds_of(numbers, seed)
    time = _best(neuralpower_forms.runtime_forms(kind, ranges), found, ranges, runtime, folds)
    errors = [Error("runtime", form, value) for form, value in time.errors.items()]
    metered = np.flatnonzero(~np.isnan(watts))
    power = None
    if len(np.unique(numbers[metered])) >= LEAST_SAMPLES:
        part = {name: column[metered] for name, column in found.items()}
        forms = neuralpower_forms.power_forms(kind, ranges)
        power = _best(forms, part, ranges, watts[metered], folds[metered])
        errors += [Error("power", form, value) for form, value in power.errors.items()]
        errors += _energy_errors(time, power, runtime * watts, metered, folds)
    errors += _errors_beside(beside, runtime, watts)
    return KindFit(
        kind=kind,
        operations=tuple(operations),
        fused=tuple(sorted(part for part in FUSED if getattr(table, part).mean() > 0.5)),
        samples=len(runtime),
        ranges=ranges,
        runtime=time.formula,
        power=None if power is None else power.formula,
        errors=tuple(errors),
    )


def _ranges(
    kind: str, operations: Sequence[str], found: Mapping[str, np.ndarray]
) -> tuple[Range, ...]:
    """Return the measured range of every feature of a kind."""
    names = neuralpower_features.of_kind(kind, operations)
    return tuple(Range(name, float(found[name].min()), float(found[name].max())) for name in names)


def distinct(found: Mapping[str, np.ndarray], ranges: Sequence[Range]) -> np.ndarray:
    """Return a number for each layer, equal where layers agree in all features, int [N]."""
    rows = np.stack([found[limits.feature] for limits in ranges], axis=-1)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)


def folds_of(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each layer, int [N].

    Args:
      numbers: Numbers of the layers from 0 [N]; those that agree share a fold, lest a layer that
        was measured twice be predicted from itself.
      seed: Decides which others do.
    """
    return (np.random.default_rng(seed).permutation(numbers.max() + 1) % FOLDS)[numbers]


def _best(
    forms: Sequence[neuralpower_forms.Form],
    found: Mapping[str, np.ndarray],
    ranges: Sequence[Range],
    measured: np.ndarray,
    folds: np.ndarray,
) -> _Quantity:
    """Return the form with the least cross-validated error."""
    tried = {}
    for form in forms:
        result = neuralpower_forms.cross_validate(form, found, ranges, measured, folds)
        tried[form.name] = result, rmspe(result.predicted, measured)
    errors = {name: error for name, (_, error) in tried.items()}
    used = min(errors, key=errors.__getitem__)
    result = tried[used][0]
    return _Quantity(result.formula, result.predicted, {**errors, "used": errors[used]})


def _energy_errors(
    time: _Quantity,
    power: _Quantity,
    energy: np.ndarray,
    metered: np.ndarray,
    folds: np.ndarray,
) -> list[Error]:
    """Return the errors of runtime x power, both predicted without the layer's fold."""
    measured = energy[metered]
    constant = neuralpower_forms.cross_validate(
        neuralpower_forms.CONSTANT, {}, (), measured, folds[metered]
    )
    return [
        Error("energy", "constant", rmspe(constant.predicted, measured)),
        Error("energy", "used", rmspe(time.predicted[metered] * power.predicted, measured)),
    ]


def _errors_beside(
    beside: Mapping[str, np.ndarray], runtime: np.ndarray, watts: np.ndarray
) -> list[Error]:
    """Return the errors of Paleo's formula and the physical power, where they are given."""
    measured = {"runtime": runtime, "power": watts, "energy": runtime * watts}
    told = dict(beside)
    if len(told) == 2:
        told["energy"] = told["runtime"] * told["power"]
    found = []
    for quantity, predicted in told.items():
        both = ~np.isnan(predicted) & ~np.isnan(measured[quantity])
        if both.any():
            error = rmspe(predicted[both], measured[quantity][both])
            found.append(Error(quantity, "paleo", error))
    return found
