"""What a profile says where a fitted model gives runtime and power.

Shapes: L layers; numpy.
"""

from typing import Any

import numpy as np

from greennas_jax.costs import neuralpower
from greennas_jax.costs.estimates import Estimate
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.neuralpower_model import Model
from greennas_jax.costs.settings import CostSettings

Columns = dict[str, np.ndarray]

_OF_FORWARD = ("forward_compute_ms", "forward_memory_ms", "forward_overhead_ms")
REASON = (
    "a fitted model predicts what a layer takes as a whole: how it divides into passes, computing "
    "and moving is not known"
)
NO_PARTS = (
    "a fitted model predicts the energy of a layer as a whole: how it divides into arithmetic, "
    "movement and static power is not known"
)


def columns(physical: Columns, found: Estimate, mode: str) -> Columns:
    """Return the columns that differ from the physical model's [L], NaN where not known.

    Args:
      physical: All columns by the physical model.
      found: Time and energy by the model that is asked for.
      mode: The mode that is costed.
    """
    inference = mode == "inference"
    unknown = [name for name in physical if name.endswith("_ms") and name != "time_ms"]
    if inference:
        unknown = [name for name in unknown if name in _OF_FORWARD]
    changed = {name: np.where(found.fitted_time, np.nan, physical[name]) for name in unknown}
    busy = found.time_ms > 0
    watts = 1000 * found.energy_j / np.where(busy, found.time_ms, 1.0)
    changed |= {
        "time_ms": found.time_ms,
        "energy_j": found.energy_j,
        "power_w": np.where(busy, watts, 0.0),
    }
    return changed | ({"forward_ms": found.time_ms} if inference else {})


def provenances(found: Estimate, model: Model, physical: str) -> list[str]:
    """Return where each layer's figures come from.

    Args:
      found: Whose each figure is.
      model: The fitted model.
      physical: What is said of the physical model.
    """
    named = (
        f"NeuralPower, fitted to layers measured on '{model.device}' ({model.driver}, {model.date})"
    )
    texts = []
    for time, power in zip(found.fitted_time, found.fitted_power, strict=True):
        if not time:
            texts.append(physical)
        elif power:
            texts.append(f"predicted: runtime and power by {named}")
        else:
            texts.append(
                f"predicted: runtime by {named}; power was not measured: physical model at that "
                "runtime"
            )
    return texts


def outside(table: LayerTable, model: Model, settings: CostSettings) -> list[str | None]:
    """Return for each layer why the physical model answers; None where it does not."""
    return [
        None if reason is None else f"{reason}; the physical model answers"
        for reason in neuralpower.outside(table, model, settings)
    ]


def summary(model: Model) -> dict[str, Any]:
    """Return what was fitted and how well, as JSON values."""
    errors: dict[str, dict[str, float]] = {}
    for fit in model.fits:
        used = {entry.quantity: entry.rmspe for entry in fit.errors if entry.form == "used"}
        errors[fit.kind] = used
    return {
        "device": model.device,
        "driver": model.driver,
        "date": model.date,
        "version": model.version,
        "mode": model.mode,
        "dtype": model.dtype,
        "errors_percent": errors,
    }
