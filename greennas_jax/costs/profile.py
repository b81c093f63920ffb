"""The figures of one network on one device, per layer and in total, as JSON values."""

import dataclasses
import math
from typing import Any

import numpy as np

from greennas_jax.costs import (
    conv_algorithms,
    estimates,
    explain,
    memory,
    profile_case,
    profile_columns,
    profile_fitted,
    profile_records,
    profile_sequences,
)
from greennas_jax.costs.devices import Device
from greennas_jax.costs.profile_case import Case, Extent
from greennas_jax.costs.profile_columns import Columns
from greennas_jax.costs.settings import WHOLE_MODES, CostSettings
from greennas_jax.spec.network import Network

SCHEMA = "greennas.profile/1"

Reasons = dict[str, str]

_SUMMED = (
    *("time_ms", "forward_ms", "backward_ms", "update_ms"),
    *("flops", "weight_flops", "attention_flops"),
    *("bytes", "parameters", "weight_bytes", "activation_bytes"),
)


def profile(
    network: Network,
    device: Device,
    settings: CostSettings,
    batch_size: int | None = None,
    *,
    sequence_length: int | None = None,
    context: int | None = None,
    explained: bool = False,
    measured_ms: float | None = None,
) -> dict[str, Any]:
    """Return a network's profile, `greennas.profile/1`.

    Times of all passes are given in either mode; `time_ms`, `flops`, `bytes`, power and energy are
    those of the passes that the mode makes. A figure nobody knows is None, and `reasons` says why.

    Args:
      network: The network.
      device: The device.
      settings: What is costed, and by which rules.
      batch_size: Replaces the batch size of every input where given.
      sequence_length: Replaces the length of every sequence that is read where given.
      context: Tokens that a new one attends to, itself included, in the mode "decode"; by default
        the sequence's length.
      explained: Whether to say, under "explain", where and why the default differs from the
        original Paleo.
      measured_ms: The time of the mode's passes in all, measured elsewhere [ms]: layers share it
        as they are predicted to, and energy is what is drawn in that time.

    Raises:
      SpecError: If the network's shapes disagree, splits do not divide a layer, or the mode is for
        other networks.
      ValueError: If the batch size or a length is not positive, the device does not state the
        number format, or the original Paleo is to be reproduced and refuses a layer.
    """
    profile_sequences.check(settings, explained=explained)
    extent = Extent(batch_size, sequence_length, context)
    case = profile_case.prepare(network, device, settings, extent, measured_ms)
    reasons: Reasons = {}
    columns, provenances, fitted = _figures(case, reasons)
    totals = _totals(case, columns, reasons)
    records = profile_records.of_layers(case, columns, provenances, "; ".join(reasons.values()))
    broken_down = None
    if case.device.power_known:
        broken_down = profile_records.break_down(case, records, fitted)
    if fitted.any():
        reasons["breakdown"] = profile_fitted.NO_PARTS
    if settings.conv_algorithm == conv_algorithms.FASTEST:
        profile_records.name_fastest(case, records)
    result = {
        "schema": SCHEMA,
        "network": case.network.name,
        "device": case.device.name,
        "batch_size": case.batch,
        "mode": settings.mode,
        "settings": _settings(settings) | {"measured_ms": measured_ms},
        **profile_sequences.described(case.run),
        "totals": totals,
        "layers": records,
        "coverage": profile_records.coverage(case, columns),
        "provenance": profile_records.provenance(case),
        "sources": dict(case.device.sources),
        "reasons": reasons,
        "breakdown": broken_down,
    }
    if case.model is not None:
        result["fitted"] = profile_fitted.summary(case.model)
    if explained:
        physical = dataclasses.replace(settings, power="physical")
        result["explain"] = explain.of_network(case.network, case.device, physical, batch_size)
    return result


def _figures(case: Case, reasons: Reasons) -> tuple[Columns, list[str], np.ndarray]:
    """Return every figure, where each layer's come from, and which layers' time is fitted [L]."""
    columns = profile_columns.columns(case)
    provenance = profile_records.provenance(case)
    if case.model is None:
        return columns, [provenance] * len(case.table), np.zeros(len(case.table), bool)
    found = estimates.estimate(case.table, case.times, case.device, case.settings)
    columns |= profile_fitted.columns(columns, found, case.settings.mode)
    if found.fitted_time.any():
        reasons["passes"] = profile_fitted.REASON
    provenances = profile_fitted.provenances(found, case.model, provenance)
    return columns, provenances, found.fitted_time


def _settings(settings: CostSettings) -> dict[str, Any]:
    """Return the settings as JSON values; the mode stands beside them."""
    return {
        "ppp_comp": settings.ppp_comp,
        "ppp_comm": settings.ppp_comm,
        "conv_algorithm": settings.conv_algorithm,
        "pipelined": settings.pipelined,
        "power": str(settings.power),
        "compat": settings.compat,
        "dtype": settings.dtype,
        "attention": settings.attention,
    }


def _peaks(case: Case, reasons: Reasons) -> dict[str, int | float | None]:
    """Return the peak memory of the mode, and of inference and training over all [bytes]."""
    layers = case.layers
    found: dict[str, int | float | None] = {}
    for mode in WHOLE_MODES:
        if mode == "training" and case.settings.dtype == "int8":
            found[f"peak_memory_{mode}_bytes"] = None
            reasons["training"] = "peak memory of training is not known: int8 is for inference only"
            continue
        of_mode = dataclasses.replace(case.settings, mode=mode)
        peak = memory.peak_bytes(layers, case.whole, of_mode)
        found[f"peak_memory_{mode}_bytes"] = profile_records.number(peak)
    peak = memory.peak_bytes(layers, case.table, case.settings, held=case.whole)
    return {"peak_memory_bytes": profile_records.number(peak), **found}


def _totals(case: Case, columns: Columns, reasons: Reasons) -> dict[str, Any]:
    """Return the sums of the layers; power is energy over time."""
    # Left to right, as the original adds.
    found = {name: float(np.add.accumulate(columns[name])[-1]) for name in _SUMMED}
    energy = float(columns["energy_j"].sum())
    found["energy_j"] = energy
    found["energy_per_example_j"] = energy / case.batch
    found["power_w"] = 1000 * energy / found["time_ms"] if found["time_ms"] > 0 else 0.0 * energy
    if math.isnan(energy):
        reasons["power"] = (
            f"power and energy are not known: device '{case.device.name}' states neither "
            "'tdp_w' nor 'static_w'"
        )
    if math.isnan(found["backward_ms"]) and "passes" not in reasons:
        reasons["backward"] = (
            "Paleo stops at a gradient whose shape differs from what it is the gradient of; "
            "without 'compat' it is costed"
        )
    totals = {name: profile_records.number(value) for name, value in found.items()}
    totals |= _peaks(case, reasons)
    sequences = profile_sequences.totals(
        case.run, case.table, case.batch, totals["energy_j"], case.settings
    )
    return totals | sequences
