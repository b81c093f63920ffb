"""Runtime and power of layers by fitted polynomials: NeuralPower (Cai et al., ACML 2017).

Shapes: L layers. A prediction holds where every feature of a layer lies between the smallest and
the largest that was measured for its kind; elsewhere the physical model answers (`estimates`).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import kinds, layer_table, neuralpower_features
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.neuralpower_model import Formula, KindFit, Model, Range
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array

# Single precision must not push the extreme measured layers out of range.
RANGE_SLACK = 1e-5


class Prediction(NamedTuple):
    """What a model says about layers.

    Attributes:
      runtime_ms: Runtime [ms], [L]; NaN out of range.
      power_w: Power while the layer runs [W], [L]; NaN out of range and where it was not measured.
      in_range: Whether the model holds for the layer, bool [L].
    """

    runtime_ms: Array
    power_w: Array
    in_range: Array


def predict(table: LayerTable, model: Model) -> Prediction:
    """Return runtime and power of every layer, whatever the mode.

    Args:
      table: Layers [L], numpy (float64) or JAX (differentiable; a layer's gradient is that of its
        own kind's formula, and zero out of range).
      model: The fitted model.
    """
    xp = table.namespace
    codes = kinds.kind_codes(table)
    runtime = power = xp.full_like(table.batch, np.nan)
    holds = xp.zeros_like(codes, dtype=bool)
    for fit in model.fits:
        rows = codes == kinds.CODES[fit.kind]
        if xp is np:
            part = np.flatnonzero(rows)
            if not part.size:
                continue
            runtime, power, holds = (column.copy() for column in (runtime, power, holds))
            runtime[part], power[part], holds[part] = _of_kind(_rows(table, part), fit)
            continue
        found = _of_kind(table, fit)
        inside = rows & found.in_range
        runtime = xp.where(inside, found.runtime_ms, runtime)
        power = xp.where(inside, found.power_w, power)
        holds = holds | inside
    return Prediction(runtime, power, holds)


def _rows(table: LayerTable, rows: np.ndarray) -> LayerTable:
    return LayerTable(**{name: column[rows] for name, column in vars(table).items()})


def _of_kind(table: LayerTable, fit: KindFit) -> Prediction:
    """Return the prediction for layers taken to be of one kind [L]."""
    found = neuralpower_features.values(table)
    inside = _inside(table, fit, found)
    xp = layer_table.array_namespace(inside)
    ranges = {limits.feature: limits for limits in fit.ranges}
    # Out of range every feature is a measured one, lest an infinity there spoil the gradient.
    safe = {name: xp.where(inside, found[name], ranges[name].upper) for name in ranges}
    runtime = xp.where(inside, evaluate(fit.runtime, safe, ranges), np.nan)
    power = xp.full_like(runtime, np.nan)
    if fit.power is not None:
        power = xp.where(inside, evaluate(fit.power, safe, ranges), np.nan)
    return Prediction(runtime, power, inside)


def _inside(table: LayerTable, fit: KindFit, found: Mapping[str, Array]) -> Array:
    """Return whether layers are of measured operations and in range, bool [L]."""
    inside = table.is_any(*(Operation[name] for name in fit.operations))
    for feature, lower, upper in fit.ranges:
        value = found[feature]
        inside = inside & (value >= lower * (1 - RANGE_SLACK))
        inside = inside & (value <= upper * (1 + RANGE_SLACK))
    return inside


def evaluate(formula: Formula, found: Mapping[str, Array], ranges: Mapping[str, Range]) -> Array:
    """Return the value of a formula [L].

    Args:
      formula: The formula.
      found: Features by name, each [L] and in range.
      ranges: Their measured ranges, by name.
    """
    value = formula.constant + neuralpower_features.total(formula.terms, found, ranges)
    xp = layer_table.array_namespace(value)
    if formula.form == "logarithmic":
        value = xp.exp2(value)
    value = xp.clip(value, formula.lowest, formula.highest)
    if formula.counted:
        value = value * neuralpower_features.total(formula.counted, found, ranges)
    return value


def measured_so(model: Model, settings: CostSettings) -> bool:
    """Return whether a model was measured in the mode and the number format that is costed."""
    return (model.mode, model.dtype) == (settings.mode, settings.dtype)


def outside(table: LayerTable, model: Model, settings: CostSettings) -> list[str | None]:
    """Return why the model does not answer for each layer; None where it does or need not.

    Args:
      table: Layers [L], numpy.
      model: The fitted model.
      settings: What is costed.
    """
    fits = {fit.kind: fit for fit in model.fits}
    names = [kinds.KINDS[code] for code in kinds.kind_codes(table)]
    found = neuralpower_features.values(table)
    return [
        _why_outside(row, name, fits.get(name), table, found, model, settings)
        for row, name in enumerate(names)
    ]


def _why_outside(
    row: int,
    kind: str,
    fit: KindFit | None,
    table: LayerTable,
    found: Mapping[str, np.ndarray],
    model: Model,
    settings: CostSettings,
) -> str | None:
    if kind == "free":
        return None
    if not measured_so(model, settings):
        return (
            f"layers were measured in {model.mode} and {model.dtype}, "
            f"not in {settings.mode} and {settings.dtype}"
        )
    if fit is None:
        return f"no {kind.replace('_', ' ')} was measured"
    operation = Operation(int(table.operation[row])).name
    if operation not in fit.operations:
        return f"{operation.lower().replace('_', ' ')} was not measured"
    for feature, lower, upper in fit.ranges:
        value = float(found[feature][row])
        if not lower * (1 - RANGE_SLACK) <= value <= upper * (1 + RANGE_SLACK):
            return f"{feature} {value:g} was not measured, only {lower:g} to {upper:g}"
    return None
