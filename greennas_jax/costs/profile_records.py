"""What a profile says of each layer: its figures, where they come from, what they leave out.

Shapes: L layers; numpy.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from greennas_jax.costs import breakdown, conv_algorithms, kinds, paleo, power, profile_fitted
from greennas_jax.costs.layer_table import Operation
from greennas_jax.costs.profile_case import Case
from greennas_jax.costs.profile_columns import Columns
from greennas_jax.spec.network import SOURCE_TYPE


def number(value: float) -> int | float | None:
    """Return a JSON number: whole where it is, None where it is not known."""
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def of_layers(
    case: Case, columns: Columns, provenances: Sequence[str], reason: str
) -> list[dict[str, Any]]:
    """Return one record per layer, in topological order.

    Args:
      case: What is profiled.
      columns: Every figure [L].
      provenances: Where those of each layer come from.
      reason: Why figures are not known, said where one is not.
    """
    records = []
    codes = kinds.kind_codes(case.table)
    for index, layer in enumerate(case.layers):
        inputs, output = case.shapes[layer.name]
        figures = {name: number(column[index]) for name, column in columns.items()}
        several = len(layer.parents) > 1
        record = {
            "name": layer.name,
            "type": layer.type,
            "kind": kinds.KINDS[int(codes[index])],
            "input_shape": [list(shape) for shape in inputs] if several else list(inputs[0]),
            "output_shape": list(output),
            **figures,
            "energy_parts_j": None,
            "provenance": provenances[index],
        }
        if None in figures.values():
            record["reason"] = reason
        records.append(record)
    return records


def name_fastest(case: Case, records: list[dict[str, Any]]) -> None:
    """Add to the record of each convolution which algorithm each pass uses."""
    known = conv_algorithms.names()
    fastest: Mapping[str, np.ndarray] = paleo.fastest(case.table, case.device, case.settings)
    for row, record in enumerate(records):
        if record["type"] == "Convolution":
            chosen = {step: known[int(best[row])] for step, best in fastest.items()}
            record["conv_algorithms"] = chosen


def coverage(case: Case, columns: Columns) -> dict[str, list[dict[str, str]]]:
    """Return the layers that cost nothing, and those that the model does not really describe."""
    free, outside = [], []
    layers, table, settings = case.layers, case.table, case.settings
    reasons: list[str | None] = [None] * len(layers)
    if case.model is not None:
        reasons = profile_fitted.outside(table, case.model, settings)
    for index, layer in enumerate(layers):
        named = {"name": layer.name, "type": layer.type}
        if layer.name in case.run.idle and layer.type != SOURCE_TYPE:
            free.append(named | {"reason": "does not run for one more token"})
        elif columns["time_ms"][index] == 0:
            free.append(named)
        unknown = int(table.operation[index]) == Operation.UNKNOWN
        if unknown and settings.compat is None:
            outside.append(
                named | {"reason": "type not known; assumed to read and write its tensor once"}
            )
        if case.as_original and table.groups[index] > 1:
            outside.append(named | {"reason": "Paleo ignores groups"})
        if case.dropped[index]:
            outside.append(named | {"reason": "Paleo leaves this layer out without a message"})
        if reasons[index] and columns["time_ms"][index] > 0:
            outside.append(named | {"reason": reasons[index]})
    return {"zero_cost_layers": free, "out_of_range_layers": outside}


def break_down(
    case: Case, records: list[dict[str, Any]], fitted: np.ndarray
) -> dict[str, Any] | None:
    """Add to each layer what its energy is spent on; return the sums of them.

    Args:
      case: What is profiled.
      records: The layers' records, which are added to.
      fitted: Layers whose energy is a fitted model's and has no parts, bool [L]; where there are
        any, the sums are not known.

    Raises:
      DeviceError: If the device does not state its power.
    """
    found = breakdown.of_layers(case.table, case.times, case.device, case.settings)
    found = {
        name: power.Parts(*(np.where(case.dropped, 0.0, part) for part in parts))
        for name, parts in found.items()
    }
    for row, parts in enumerate(breakdown.of_rows(found)):
        records[row]["energy_parts_j"] = None if fitted[row] else parts
    if fitted.any():
        return None
    milliseconds = np.where(case.dropped, 0.0, paleo.of_mode(case.times, case.settings.mode))
    names = [entry["name"] for entry in records]
    return breakdown.record(found, case.table, milliseconds, names, case.device)


def provenance(case: Case) -> str:
    """Return where the physical model's figures come from: model, device, coefficients."""
    rules = "as published" if case.as_original else "corrected"
    time = f"predicted: Paleo's model {rules}, device '{case.device.name}'"
    if case.measured_ms is not None:
        time = (
            f"time measured elsewhere, {case.measured_ms:g} ms in all, shared out as {time} "
            f"({case.predicted_ms:.4g} ms in all)"
        )
    if not case.device.power_known:
        return time
    assumed = case.device.assumptions
    if not assumed:
        return f"{time}; energy predicted: physical model, the device's coefficients"
    return f"{time}; energy predicted from assumed coefficients: {', '.join(assumed)}"
