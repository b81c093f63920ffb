"""Runtime and power of layers by fitted polynomials: NeuralPower (Cai et al., ACML 2017).

Shapes: L layers. A prediction holds where every feature of a layer lies between the smallest and
the largest that was measured for its kind; elsewhere the physical model answers (`estimates`).
"""

import math
from collections.abc import Iterable, Mapping
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
    found = neuralpower_features.values(table, _marked(model))
    runtime = power = xp.full_like(table.batch, np.nan)
    holds = xp.zeros_like(codes, dtype=bool)
    for fit in model.fits:
        rows = codes == kinds.CODES[fit.kind]
        inside = rows & _inside(table, fit, found)
        holds = holds | inside
        runtime = xp.where(inside, _where(inside, fit.runtime, found, fit.ranges), runtime)
        if fit.power is not None:
            power = xp.where(inside, _where(inside, fit.power, found, fit.ranges), power)
    return Prediction(runtime, power, holds)


def _marked(model: Model) -> tuple[str, ...]:
    """Return the operations that formulas tell apart."""
    return tuple(sorted({name for fit in model.fits for name in fit.operations[1:]}))


def _where(
    inside: Array, formula: Formula, found: Mapping[str, Array], ranges: Iterable[Range]
) -> Array:
    """Return a formula's value in range [L]; elsewhere the value means nothing."""
    xp = layer_table.array_namespace(inside)
    limits = {entry.feature: entry for entry in ranges}
    if xp is np:
        # Traced code has to compute every row; here the others are left alone.
        rows = np.flatnonzero(inside)
        value = np.full(inside.shape, np.nan)
        value[rows] = evaluate(formula, {name: found[name][rows] for name in limits}, limits)
        return value
    # Out of range every feature is a measured one, lest an infinity there spoil the gradient.
    safe = {name: xp.where(inside, found[name], limits[name].upper) for name in limits}
    return evaluate(formula, safe, limits)


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
        # Nothing above the highest value is kept, and a power of two may overflow.
        value = xp.exp2(xp.minimum(value, 1 + math.log2(formula.highest)))
    value = xp.clip(value, formula.lowest, formula.highest)
    if formula.counted:
        value = value * neuralpower_features.total(formula.counted, found, ranges)
    return value


def measured_so(model: Model, settings: CostSettings) -> bool:
    """Return whether a model was measured in the mode and the number format that is costed.

    All modes but training make one forward pass; how they differ stands in the layers.
    """
    trained = model.mode == "training"
    return trained == settings.trains and model.dtype == settings.dtype


def outside(table: LayerTable, model: Model, settings: CostSettings) -> list[str | None]:
    """Return why the model does not answer for each layer; None where it does or need not.

    Args:
      table: Layers [L], numpy.
      model: The fitted model.
      settings: What is costed.
    """
    fits = {fit.kind: fit for fit in model.fits}
    names = [kinds.KINDS[code] for code in kinds.kind_codes(table)]
    found = neuralpower_features.values(table, _marked(model))
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
