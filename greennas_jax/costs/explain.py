"""Where and why the default figures differ from the original Paleo's, layer by layer.

Shapes: L layers; numpy float64. The original's rules are put right one after the other; each is
charged with what the time changes by, so that a layer's reasons add up to its difference. Section
letters are those of the original's rules.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.costs import (
    counts,
    gemm,
    layer_table,
    paleo,
    paleo_order,
    passes,
    traffic,
)
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.paleo import LayerTimes, Units
from greennas_jax.costs.passes import Computation, Operand, Pass, Work
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import Network

REASONS = {
    "dropped": "Paleo never reaches this layer and leaves it out without a message",
    "refused": "Paleo gives no figure: a gradient's shape differs from what it is of, or it has no "
    "such layer",
    "shape": "a window is clipped to its input, and every open size is filled in",
    "clock": "Paleo's clock of this device, hence its least time, is a misprint",
    "gigabyte": "a GB/s is 10^9 bytes per second; Paleo moves 2^30",
    "calls": "a pass takes at least one clock; Paleo's takes one per operand",
    "groups": "a filter reads its own group's channels; Paleo ignores groups",
    "padding": "zeros around the input are not read from memory; Paleo's are",
    "gradient": "zeros within and around a spread gradient are neither multiplied nor moved",
    "deconvolution": "as many operations as pixels and weights meet; reading the data is no excuse",
    "source": "no gradient flows back to the data",
    "followers": "bias, activation and normalisation in the layer move its output",
    "pooling": "the gradient of a maximum also reads where it was found; none reaches the data",
    "dropout": "the identity at inference; in training it also moves a mask",
    "free": "a type that costs nothing in Paleo reads and writes its tensors",
    "algorithm": "transforms of real values leave half a spectrum, tiles overlap, sizes are powers "
    "of two, and what does not apply is a matrix product",
    "attainable": "the device states what kinds of layers attain of its peak, and what a call "
    "takes beside its work",
    "update": "momentum is read and written, biases only where they are, at the attainable share "
    "of the peak",
}
# Below this share of a layer's time a difference is rounding.
_NOTHING = 1e-12


class _Stage(NamedTuple):
    """What a network costs once some rules are put right."""

    rule: str
    work: Work
    units: Units


def of_network(
    network: Network, device: Device, settings: CostSettings, batch_size: int | None = None
) -> dict[str, Any]:
    """Return what the default changes about the original's times, as `of_tables` does.

    Args:
      network: A network without ModelParallel.
      device: The device.
      settings: What is costed; `compat` does not matter.
      batch_size: Replaces the batch size of every input where given.

    Raises:
      SpecError: If the network's shapes disagree.
    """
    shapes = shape_rules.infer(network, batch_size)
    tables = tuple(
        layer_table.from_network(network, batch_size=batch_size, compat=compat)
        for compat in ("paleo", None)
    )
    names = tuple(shapes)
    dropped = paleo_order.dropped(network, names)
    return of_tables((tables[0], tables[1]), names, dropped, device, settings)


def of_tables(
    tables: tuple[LayerTable, LayerTable],
    names: Sequence[str],
    dropped: np.ndarray,
    device: Device,
    settings: CostSettings,
) -> dict[str, Any]:
    """Return what the default changes about the original's times.

    Args:
      tables: The layers [L] as the original shapes them, and by default.
      names: Their names.
      dropped: Which of them the original leaves out, bool [L].
      device: The device.
      settings: What is costed; `compat` does not matter.

    Returns:
      `paleo_ms` (None where the original gives no figure), `default_ms`, `rules` (each with its
      reason and what it changes in all) and `layers`: those that differ, each with its reasons.

    Raises:
      ValueError: If the number format is not fp32.
    """
    if settings.dtype != "fp32":
        raise ValueError(
            f"dtype is {settings.dtype!r}; allowed where the original Paleo is compared with: fp32"
        )
    theirs = dataclasses.replace(settings, compat="paleo")
    ours = dataclasses.replace(settings, compat=None)
    stages = _stages(tables, device, settings)
    times = [_time(stage, device, settings) for stage in stages]
    changes: dict[str, np.ndarray] = {rule: np.zeros(len(names)) for rule in REASONS}
    first = np.where(dropped, 0.0, times[0])
    changes["dropped"] = times[0] - first
    for stage, before, after in zip(stages[1:], times[:-1], times[1:], strict=True):
        changes[stage.rule] = changes[stage.rule] + (after - before)
    for rule, kinds in _BY_KIND.items():
        changes[rule] = np.where(tables[1].is_any(*kinds), changes["free"], 0.0)
    changes["free"] = np.where(_is_counted(tables[1]), 0.0, changes["free"])
    default = times[-1]
    if settings.mode == "training":
        old, new = _updates(tables, dropped, device, theirs, ours)
        changes["update"], first, default = new - old, first + old, default + new
    refused = _refused(tables[0], settings) & ~dropped
    return _report(names, first, default, changes, refused)


_BY_KIND = {
    "pooling": (Operation.POOLING, Operation.AVERAGE_POOLING),
    "dropout": (Operation.DROPOUT,),
}


def _is_counted(table: LayerTable) -> np.ndarray:
    return table.is_any(*(kind for kinds in _BY_KIND.values() for kind in kinds))


def _stages(
    tables: tuple[LayerTable, LayerTable], device: Device, settings: CostSettings
) -> list[_Stage]:
    """Return the original's costs, and after each rule that is put right."""
    theirs = dataclasses.replace(settings, compat="paleo")
    ours = dataclasses.replace(settings, compat=None)
    product = {"conv_algorithm": "gemm"}
    plain, full = (
        traffic.work(table, dataclasses.replace(ours, **product))
        for table in (_bare(tables[1]), tables[1])
    )
    table, old, new = tables[1], paleo.units(device, theirs), paleo.units(device, ours)
    convolution = table.is_any(Operation.CONVOLUTION)
    deconvolution = table.is_any(Operation.DECONVOLUTION)
    inner = table.is_any(Operation.INNER_PRODUCT)
    stages = [_Stage("", paleo.work(tables[0], theirs, device), old)]

    def then(rule: str, work: Work, units: Units) -> Work:
        stages.append(_Stage(rule, work, units))
        return work

    theirs = dataclasses.replace(theirs, **product)
    then("algorithm", gemm.work(tables[0], theirs), old)
    work = then("shape", gemm.work(table, theirs), old)
    then("clock", work, old._replace(clock_mhz=new.clock_mhz))
    then("gigabyte", work, new)
    work = then("calls", Work(*(_in_one_call(step) for step in work)), new)
    work = then("groups", _grouped(work, table), new)
    forward = _replaced(work.forward, plain.forward, convolution)
    work = then("padding", work._replace(forward=forward), new)
    work = then("gradient", _rows_replaced(work, plain, convolution), new)
    work = then("deconvolution", _rows_replaced(work, plain, deconvolution), new)
    work = then("source", _rows_replaced(work, plain, inner), new)
    work = then("followers", _rows_replaced(work, full, table.is_any(*counts.WEIGHTED)), new)
    then("free", full, new)
    work = then("algorithm", paleo.work(table, ours, device), new)
    then("attainable", work, paleo.units(device, ours, table))
    return stages


def _bare(table: LayerTable) -> LayerTable:
    """Return the layers without what follows in them."""
    nothing = 0.0 * table.batch
    return table.replace(bias=nothing, activation=nothing, normalizer=nothing)


def _in_one_call(step: Pass) -> Pass:
    size = passes.moved_bytes(step)
    return Pass((Computation(step.flops),), (Operand(size, size > 0),))


def _replaced(step: Pass, other: Pass, rows: np.ndarray) -> Pass:
    """Return a pass with some rows of another."""
    return passes.select([(~rows, step), (rows, other)])


def _rows_replaced(work: Work, other: Work, rows: np.ndarray) -> Work:
    return Work(*(_replaced(*pair, rows) for pair in zip(work, other, strict=True)))


def _grouped(work: Work, table: LayerTable) -> Work:
    """Return the work with a filter for each group, each pass in one call."""
    grouped = table.is_any(Operation.CONVOLUTION) & (table.groups > 1)
    share = np.where(grouped, table.filter_channels / np.maximum(table.in_channels, 1.0), 1.0)
    weights = np.where(grouped, counts.weights(table), 0.0)
    spared = layer_table.BYTES_PER_ELEMENT * weights * (1 / share - 1)
    changed = []
    for step in work[:-1]:
        (computation,), (operand,) = step
        size = np.where(operand.moved, operand.size - spared, 0.0)
        changed.append(
            Pass((Computation(computation.flops * share),), (Operand(size, operand.moved),))
        )
    return Work(*changed, update=work.update)


def _time(stage: _Stage, device: Device, settings: CostSettings) -> np.ndarray:
    """Return the passes of the mode, the update aside [ms], [L]."""
    found = paleo.pass_times(stage.work, device, settings, stage.units)
    times = LayerTimes(**found, pipelined=settings.pipelined)
    return times.forward + times.backward if settings.trains else times.forward


def _updates(
    tables: tuple[LayerTable, LayerTable],
    dropped: np.ndarray,
    device: Device,
    theirs: CostSettings,
    ours: CostSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the update as the original times it, and by default [ms], each [L]."""
    old = paleo.network_updates(tables[0], device, theirs, kept=~dropped)
    update = LayerTimes(
        **paleo.pass_times(
            paleo.work(tables[1], ours, device),
            device,
            ours,
            paleo.units(device, ours, tables[1]),
        ),
        pipelined=ours.pipelined,
    ).update
    return np.maximum(*old) if theirs.pipelined else np.add(*old), update


def _refused(table: LayerTable, settings: CostSettings) -> np.ndarray:
    unbuilt, data, filters = gemm.refusals(table)
    newer = gemm.has_no_such_layer(table)
    return newer | unbuilt | ((data | filters) & settings.trains)


def _report(
    names: Sequence[str],
    theirs: np.ndarray,
    ours: np.ndarray,
    changes: dict[str, np.ndarray],
    refused: np.ndarray,
) -> dict[str, Any]:
    layers = []
    scale = np.maximum(np.abs(theirs), np.abs(ours))
    told = {rule: np.abs(change) > _NOTHING * scale for rule, change in changes.items()}
    for row, name in enumerate(names):
        reasons = [
            {"rule": rule, "difference_ms": float(changes[rule][row])}
            for rule in REASONS
            if told[rule][row]
        ]
        if refused[row]:
            reasons.insert(0, {"rule": "refused", "difference_ms": None})
        if not reasons:
            continue
        known = not refused[row]
        layers.append(
            {
                "name": name,
                "paleo_ms": float(theirs[row]) if known else None,
                "default_ms": float(ours[row]),
                "difference_ms": float(ours[row] - theirs[row]) if known else None,
                "reasons": reasons,
            }
        )
    used = {reason["rule"] for layer in layers for reason in layer["reasons"]}
    rules = {
        rule: {
            "reason": reason,
            "difference_ms": None if rule == "refused" else float(changes[rule].sum()),
        }
        for rule, reason in REASONS.items()
        if rule in used
    }
    return {
        "paleo_ms": None if refused.any() else float(theirs.sum()),
        "default_ms": float(ours.sum()),
        "rules": rules,
        "layers": layers,
    }
