"""The figures of one network on one device, per layer and in total, as JSON values."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from greennas_jax.costs import (
    breakdown,
    conv_algorithms,
    counts,
    estimates,
    explain,
    generation,
    kinds,
    layer_table,
    memory,
    paleo,
    paleo_order,
    passes,
    power,
    profile_fitted,
    profile_sequences,
    remote_fetch,
)
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.neuralpower_model import Model
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.settings import WHOLE_MODES, CostSettings
from greennas_jax.spec import parallel
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import SOURCE_TYPE, Layer, Network
from greennas_jax.spec.shapes import Shapes

SCHEMA = "greennas.profile/1"

Columns = dict[str, np.ndarray]
Reasons = dict[str, str]

_PASSES = ("forward", "backward_data", "backward_filter")


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
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; allowed: whole numbers from 1")
    profile_sequences.check(settings, explained=explained)
    compat = "paleo" if settings.compat == "paleo" else None
    device = device.at(settings.dtype)
    network, split = parallel.expand(network, compat=compat)
    run = generation.prepare(network, settings.mode, sequence_length, context)
    whole = generation.table(
        generation.prepare(network, "inference", sequence_length), batch_size, compat=compat
    )
    network = run.network
    shapes = shape_rules.infer(network, batch_size, compat=compat)
    by_name = network.by_name()
    layers = [by_name[name] for name in shapes]
    table = generation.table(run, batch_size, compat=compat)
    names = tuple(shapes)
    paleo.check(table, settings, names)
    dropped = _dropped(network, names, settings)
    times = paleo.network_times(table, device, settings, kept=~dropped)
    predicted_ms = float(paleo.of_mode(times, settings.mode).sum())
    if measured_ms is not None:
        times = _measured(times, settings, measured_ms, split=bool(split and compat))
    columns = _columns(table, whole, times, device, settings)
    if split and compat:
        columns |= _fetching(layers, split, table, times, device, settings)
    columns = {name: np.where(dropped, 0.0, column) for name, column in columns.items()}
    reasons: Reasons = {}
    provenance = _provenance(device, settings, measured_ms, predicted_ms)
    provenances = [provenance] * len(layers)
    model = settings.power if isinstance(settings.power, Model) else None
    if model is not None:
        found = estimates.estimate(table, times, device, settings)
        columns |= profile_fitted.columns(columns, found, settings.mode)
        provenances = profile_fitted.provenances(found, model, provenance)
        if found.fitted_time.any():
            reasons["passes"] = profile_fitted.REASON
    batch = shape_rules.batch_size(shapes)
    totals = _totals(columns, device, batch, reasons)
    totals |= _peaks(layers, table, whole, settings, reasons)
    totals |= profile_sequences.totals(run, table, batch, totals["energy_j"], settings)
    result = {
        "schema": SCHEMA,
        "network": network.name,
        "device": device.name,
        "batch_size": batch,
        "mode": settings.mode,
        "settings": _settings(settings) | {"measured_ms": measured_ms},
        **profile_sequences.described(run),
        "totals": totals,
        "layers": _layers(layers, shapes, columns, provenances, reasons),
        "coverage": _coverage(layers, table, columns, dropped, run.idle, settings),
        "provenance": provenance,
        "sources": dict(device.sources),
        "reasons": reasons,
    }
    if "passes" in reasons:
        reasons["breakdown"] = profile_fitted.NO_PARTS
        device_of_parts = device.replace(power_known=False)
    else:
        device_of_parts = device
    result |= _break_down(result["layers"], table, times, dropped, device_of_parts, settings)
    if settings.conv_algorithm == conv_algorithms.FASTEST:
        _name_fastest(result["layers"], paleo.fastest(table, device, settings))
    if model is not None:
        result["fitted"] = profile_fitted.summary(model)
    if explained:
        physical = dataclasses.replace(settings, power="physical")
        result["explain"] = explain.of_network(network, device, physical, batch_size)
    return result


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


def _measured(
    times: LayerTimes, settings: CostSettings, measured_ms: float, *, split: bool
) -> LayerTimes:
    """Return times that add up to a measured one.

    Raises:
      ValueError: If nothing says how they share it.
    """
    if settings.power != "physical":
        raise ValueError("a measured time goes with power 'physical', not with a fitted model")
    if split:
        raise ValueError(
            "a measured time is for a network without ModelParallel where 'compat' is 'paleo'"
        )
    return power.at_time(times, settings.mode, measured_ms)


def _dropped(network: Network, names: Sequence[str], settings: CostSettings) -> np.ndarray:
    """Return the layers that the rules leave out, bool [L]."""
    if settings.compat != "paleo":
        return np.zeros(len(names), bool)
    return paleo_order.dropped(network, names)


def _name_fastest(records: list[dict[str, Any]], fastest: Mapping[str, np.ndarray]) -> None:
    """Add to the record of each convolution which algorithm each pass uses."""
    known = conv_algorithms.names()
    for row, record in enumerate(records):
        if record["type"] == "Convolution":
            chosen = {step: known[int(best[row])] for step, best in fastest.items()}
            record["conv_algorithms"] = chosen


def _peaks(
    layers: Sequence[Layer],
    table: LayerTable,
    whole: LayerTable,
    settings: CostSettings,
    reasons: Reasons,
) -> dict[str, int | float | None]:
    """Return the peak memory of the mode, and of inference and training over all [bytes]."""
    found: dict[str, int | float | None] = {}
    for mode in WHOLE_MODES:
        if mode == "training" and settings.dtype == "int8":
            found[f"peak_memory_{mode}_bytes"] = None
            reasons["training"] = "peak memory of training is not known: int8 is for inference only"
            continue
        of_mode = dataclasses.replace(settings, mode=mode)
        found[f"peak_memory_{mode}_bytes"] = _number(memory.peak_bytes(layers, whole, of_mode))
    peak = _number(memory.peak_bytes(layers, table, settings, held=whole))
    return {"peak_memory_bytes": peak, **found}


def _columns(
    table: LayerTable,
    whole: LayerTable,
    times: LayerTimes,
    device: Device,
    settings: CostSettings,
) -> Columns:
    """Return every per-layer figure [L], NaN where it is not known; parameters are the whole's."""
    parameters = counts.parameters(whole, settings)
    work = paleo.work(table, settings, device)
    time = paleo.of_mode(times, settings.mode)
    columns = {
        "flops": passes.flops(work, settings.mode),
        **profile_sequences.split_flops(table, work, settings),
        "bytes": passes.bytes_moved(work, settings.mode),
        "parameters": parameters,
        "weight_bytes": settings.element_bytes * parameters,
        "activation_bytes": counts.activation_bytes(table, settings),
    }
    for name in _PASSES:
        for kind in ("compute", "memory", "overhead"):
            columns[f"{name}_{kind}_ms"] = getattr(times, f"{name}_{kind}")
    columns |= {
        "time_ms": time,
        "forward_ms": times.forward,
        "backward_ms": times.backward,
        "update_ms": times.update,
    }
    energy = np.full_like(time, np.nan)
    if device.power_known:
        energy = power.energy(table, times, device, settings)
    busy = time > 0
    columns["power_w"] = np.where(busy, 1000 * energy / np.where(busy, time, 1.0), 0.0 * energy)
    columns["energy_j"] = energy
    return columns


def _fetching(
    layers: Sequence[Layer],
    split: Mapping[str, int],
    table: LayerTable,
    times: LayerTimes,
    device: Device,
    settings: CostSettings,
) -> Columns:
    """Return what changes where splits fetch from each other, as the original counts it [L]."""
    size = layer_table.BYTES_PER_ELEMENT * table.output_elements
    fetch = remote_fetch.times(
        layers,
        np.array([split.get(layer.name, -1) for layer in layers]),
        {layer.name: float(each) for layer, each in zip(layers, size, strict=True)},
        device,
        share=settings.ppp_comm,
    )
    fetched = remote_fetch.added(times, fetch)
    return {
        "remote_fetch_ms": fetch,
        "forward_ms": fetched.forward,
        "backward_ms": fetched.backward,
        "time_ms": paleo.of_mode(fetched, settings.mode),
    }


def _totals(
    columns: Columns,
    device: Device,
    batch: int,
    reasons: Reasons,
) -> dict[str, Any]:
    """Return the sums of the layers; power is energy over time."""
    summed = (
        *("time_ms", "forward_ms", "backward_ms", "update_ms"),
        *("flops", "weight_flops", "attention_flops"),
        *("bytes", "parameters", "weight_bytes", "activation_bytes"),
    )
    # Left to right, as the original adds.
    found = {name: float(np.add.accumulate(columns[name])[-1]) for name in summed}
    energy = float(columns["energy_j"].sum())
    found["energy_j"] = energy
    found["energy_per_example_j"] = energy / batch
    found["power_w"] = 1000 * energy / found["time_ms"] if found["time_ms"] > 0 else 0.0 * energy
    if math.isnan(energy):
        reasons["power"] = (
            f"power and energy are not known: device '{device.name}' states neither "
            "'tdp_w' nor 'static_w'"
        )
    if math.isnan(found["backward_ms"]) and "passes" not in reasons:
        reasons["backward"] = (
            "Paleo stops at a gradient whose shape differs from what it is the gradient of; "
            "without 'compat' it is costed"
        )
    return {name: _number(value) for name, value in found.items()}


def _number(value: float) -> int | float | None:
    """Return a JSON number: whole where it is, None where it is not known."""
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _layers(
    layers: Sequence[Layer],
    shapes: Mapping[str, Shapes],
    columns: Columns,
    provenances: Sequence[str],
    reasons: Reasons,
) -> list[dict[str, Any]]:
    """Return one record per layer, in topological order."""
    records = []
    reason = "; ".join(reasons.values())
    for index, layer in enumerate(layers):
        inputs, output = shapes[layer.name]
        figures = {name: _number(column[index]) for name, column in columns.items()}
        several = len(layer.parents) > 1
        record = {
            "name": layer.name,
            "type": layer.type,
            "input_shape": [list(shape) for shape in inputs] if several else list(inputs[0]),
            "output_shape": list(output),
            **figures,
            "provenance": provenances[index],
        }
        if None in figures.values():
            record["reason"] = reason
        records.append(record)
    return records


def _coverage(
    layers: Sequence[Layer],
    table: LayerTable,
    columns: Columns,
    dropped: np.ndarray,
    idle: Collection[str],
    settings: CostSettings,
) -> dict[str, list[dict[str, str]]]:
    """Return the layers that cost nothing, and those that the model does not really describe."""
    free, outside = [], []
    reasons: list[str | None] = [None] * len(layers)
    if isinstance(settings.power, Model):
        reasons = profile_fitted.outside(table, settings.power, settings)
    for index, layer in enumerate(layers):
        named = {"name": layer.name, "type": layer.type}
        if layer.name in idle and layer.type != SOURCE_TYPE:
            free.append(named | {"reason": "does not run for one more token"})
        elif columns["time_ms"][index] == 0:
            free.append(named)
        unknown = int(table.operation[index]) == Operation.UNKNOWN
        if unknown and settings.compat is None:
            outside.append(
                named | {"reason": "type not known; assumed to read and write its tensor once"}
            )
        if settings.compat == "paleo" and table.groups[index] > 1:
            outside.append(named | {"reason": "Paleo ignores groups"})
        if dropped[index]:
            outside.append(named | {"reason": "Paleo leaves this layer out without a message"})
        if reasons[index] and columns["time_ms"][index] > 0:
            outside.append(named | {"reason": reasons[index]})
    return {"zero_cost_layers": free, "out_of_range_layers": outside}


def _break_down(
    records: list[dict[str, Any]],
    table: LayerTable,
    times: LayerTimes,
    dropped: np.ndarray,
    device: Device,
    settings: CostSettings,
) -> dict[str, Any]:
    """Add to each layer its kind and what its energy is spent on; return the sums of them.

    Args:
      records: The layers' records, which are added to.
      table: Layers [L].
      times: Their times [ms].
      dropped: The layers that the rules leave out, bool [L].
      device: The device.
      settings: What is costed.
    """
    for entry, code in zip(records, kinds.kind_codes(table), strict=True):
        entry |= {"kind": kinds.KINDS[int(code)], "energy_parts_j": None}
    if not device.power_known:
        return {"breakdown": None}
    found = breakdown.of_layers(table, times, device, settings)
    found = {
        name: power.Parts(*(np.where(dropped, 0.0, part) for part in parts))
        for name, parts in found.items()
    }
    for entry, parts in zip(records, breakdown.of_rows(found), strict=True):
        entry["energy_parts_j"] = parts
    milliseconds = np.where(dropped, 0.0, paleo.of_mode(times, settings.mode))
    names = [entry["name"] for entry in records]
    return {"breakdown": breakdown.record(found, table, milliseconds, names, device)}


def _provenance(
    device: Device, settings: CostSettings, measured_ms: float | None, predicted_ms: float
) -> str:
    """Return where the figures come from: model, device, coefficients."""
    rules = "as published" if settings.compat == "paleo" else "corrected"
    time = f"predicted: Paleo's model {rules}, device '{device.name}'"
    if measured_ms is not None:
        time = (
            f"time measured elsewhere, {measured_ms:g} ms in all, shared out as {time} "
            f"({predicted_ms:.4g} ms in all)"
        )
    if not device.power_known:
        return time
    assumed = device.assumptions
    if not assumed:
        return f"{time}; energy predicted: physical model, the device's coefficients"
    return f"{time}; energy predicted from assumed coefficients: {', '.join(assumed)}"
