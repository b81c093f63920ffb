"""Time of every layer: Paleo's model (Qi, Sparks, Talwalkar, ICLR 2017).

Shapes: L layers. A pass takes FLOPs over the attainable rate plus bytes over the attainable
bandwidth, without overlap unless that is asked for; nothing that is done takes less than one
clock cycle. Attainable are the peak times the platform's percent of it times what the device states
for the kind of layer; a device may also state what each call takes beside its work.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import (
    conv_algorithms,
    counts,
    gemm,
    kinds,
    layer_table,
    passes,
    traffic,
)
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.layer_times import LayerTimes
from greennas_jax.costs.passes import Pass, Work
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array

# The original divides bytes by 2^30 but states bandwidths in units of 10^9.
PALEO_GIGABYTE = 2.0**30
GIGABYTE = 1e9

_KINDS = ("compute", "memory")


class Units(NamedTuple):
    """What rules of time differ in, apart from the work.

    Attributes:
      clock_mhz: The clock of which no call takes less than one cycle [MHz].
      gigabyte: Bytes that one GB/s moves in a second.
      update_of_network: Whether the update is at the device's peak and its least time the whole
        network's.
      compute_efficiency: What the device states as attainable share of its peak rate, 1 or [L].
      memory_efficiency: The same of its bandwidth.
      overhead_ms: Time of a call beside its work [ms].
    """

    clock_mhz: Array | float
    gigabyte: float
    update_of_network: bool
    compute_efficiency: Array | float = 1.0
    memory_efficiency: Array | float = 1.0
    overhead_ms: Array | float = 0.0


def units(device: Device, settings: CostSettings, table: LayerTable | None = None) -> Units:
    """Return the units of the rules that the settings ask for.

    Args:
      device: The device.
      settings: The original's rules know no efficiencies and no overheads.
      table: Layers [L], whose kinds decide what is attainable; without it, the peak is.
    """
    if settings.compat == "paleo":
        return Units(device.paleo_clock_mhz, PALEO_GIGABYTE, True)
    if table is None:
        return Units(device.clock_mhz, GIGABYTE, False)
    device = device.at(settings.dtype)
    return Units(
        device.clock_mhz,
        GIGABYTE,
        False,
        compute_efficiency=_of_kind(device.compute_efficiency, table) / _slowdown(device, table),
        memory_efficiency=_of_kind(device.memory_efficiency, table),
        overhead_ms=(device.overhead_us + _of_kind(device.kind_overhead_us, table)) / 1000,
    )


def product_sizes(table: LayerTable) -> tuple[Array, Array]:
    """Return how many numbers each output sums, and outputs of a position in a group; each [L].

    Below one number or output there is nothing to compute; one keeps quotients finite.
    """
    xp = table.namespace
    summed = table.kernel_height * table.kernel_width * table.filter_channels
    outputs = table.out_channels / xp.maximum(table.groups, 1.0)
    return xp.maximum(summed, 1.0), xp.maximum(outputs, 1.0)


def _slowdown(device: Device, table: LayerTable) -> Array:
    """Return how much longer products take for being small, from 1 [L].

    Half of the rate is lost where an output sums `half_inputs` numbers, and again where a position
    has `half_outputs` outputs: a product takes as long as one that is larger by these two (the
    half-performance length of Hockney, Jesshope, "Parallel Computers", 1981).
    """
    summed, outputs = product_sizes(table)
    inner = 1.0 + _of_kind(device.kind_half_inputs, table) / summed
    return inner * (1.0 + _of_kind(device.kind_half_outputs, table) / outputs)


def _of_kind(figures: Array | tuple, table: LayerTable) -> Array:
    """Return the figure of each layer's kind [L]."""
    each = figures if isinstance(figures, tuple) else (figures,)
    xp = layer_table.array_namespace(table.batch, *each)
    return xp.asarray(figures, dtype=table.batch.dtype)[kinds.kind_codes(table)]


def of_mode(times: LayerTimes, mode: str) -> Array:
    """Return the time of inference or of a training step [ms], [L]."""
    if mode != "training":
        return times.forward
    return (times.forward + times.backward) + times.update


def work(table: LayerTable, settings: CostSettings, device: Device | None = None) -> Work:
    """Return FLOPs and bytes of every pass by the rules that the settings ask for.

    Args:
      table: Layers [L].
      settings: Rules and convolution algorithm.
      device: Needed where the fastest algorithm is asked for: the device decides which it is.

    Raises:
      ValueError: If the fastest algorithm is asked for, but no device is given.
    """
    if settings.conv_algorithm != conv_algorithms.FASTEST:
        return _work(table, settings)
    if device is None:
        raise ValueError("conv_algorithm is 'fastest', which depends on a device; none is given")
    offered, quickest = _offers(table, device, settings)
    found = {}
    for step in Work._fields[:-1]:
        alternatives = [
            (quickest[step] == index, getattr(each, step)) for index, each in enumerate(offered)
        ]
        found[step] = passes.select(alternatives)
    return Work(**found, update=offered[0].update)


def fastest(table: LayerTable, device: Device, settings: CostSettings) -> dict[str, Array]:
    """Return for each pass the number of the quickest algorithm that applies to each row [L].

    Args:
      table: Layers [L].
      device: The device.
      settings: Rules; the numbers are those of `conv_algorithms.names()`.
    """
    return _offers(table, device, settings)[1]


def _offers(
    table: LayerTable, device: Device, settings: CostSettings
) -> tuple[list[Work], dict[str, Array]]:
    """Return the work with each algorithm, and for each pass which is the quickest [L]."""
    offered = [
        _work(table, dataclasses.replace(settings, conv_algorithm=name), checked=True)
        for name in conv_algorithms.names()
    ]
    measures = units(device, settings, table)
    each = [pass_times(done, device, settings, measures) for done in offered]
    xp = layer_table.array_namespace(table.batch, each[0]["forward_compute"])
    quickest = {}
    for step in Work._fields[:-1]:
        compute, memory = (xp.stack([t[f"{step}_{kind}"] for t in each]) for kind in _KINDS)
        taken = xp.maximum(compute, memory) if settings.pipelined else compute + memory
        # Of equals the first, hence a matrix product where nothing else applies.
        quickest[step] = xp.argmin(taken, axis=0)
    return offered, quickest


def _work(table: LayerTable, settings: CostSettings, *, checked: bool = False) -> Work:
    if settings.compat == "paleo":
        return gemm.work(table, settings, checked=checked)
    return traffic.work(table, settings)


def compute_time(flops: Array, device: Device, share: Array | float, floor: Array | float) -> Array:
    """Return the time of one call of some operations [ms].

    Args:
      flops: Floating-point operations.
      device: The device.
      share: Attainable share of its peak.
      floor: Least time of any operation [ms].
    """
    xp = layer_table.array_namespace(flops, device.peak_gflops)
    time = flops / 10**9 / device.peak_gflops * 1000 / share
    return xp.where(flops == 0, 0.0, xp.maximum(floor, time))


def memory_time(
    step: Pass, device: Device, share: Array | float, floor: Array | float, gigabyte: float
) -> Array:
    """Return the time of moving a pass's operands, each at least the floor [ms]."""
    sizes = [operand.size for operand in step.operands]
    xp = layer_table.array_namespace(step.flops, device.bandwidth_gbs, *sizes)
    total = xp.zeros_like(step.flops)
    for operand in step.operands:
        time = operand.size / gigabyte / device.bandwidth_gbs * 1000 / share
        moving = operand.calls * xp.maximum(floor, time)
        total = total + xp.where(operand.moved, moving, 0.0)
    return total


def times(table: LayerTable, device: Device, settings: CostSettings) -> LayerTimes:
    """Return the times of every layer and pass.

    Args:
      table: Layers [L].
      device: The device.
      settings: With `compat` "paleo" the original's figures, layer by layer; its update ignores
        the percent of peak, and its floor there applies to the network, not to a layer.

    Raises:
      ValueError: If compatibility is asked for and the original refuses a layer.
    """
    check(table, settings)
    done = work(table, settings, device)
    found = pass_times(done, device, settings, units(device, settings, table))
    result = LayerTimes(**found, pipelined=settings.pipelined)
    return _without_refused(result, table) if settings.compat == "paleo" else result


def pass_times(
    done: Work, device: Device, settings: CostSettings, measures: Units
) -> dict[str, Array]:
    """Return compute, memory and overhead times of every pass [ms], by the names of `LayerTimes`.

    Args:
      done: What is computed and moved.
      device: The device.
      settings: The shares of its peak, and the number format.
      measures: What a gigabyte, the least time and the attainable shares are.

    Raises:
      DeviceError: If the device does not state the number format.
    """
    device = device.at(settings.dtype)
    floor = 1 / measures.clock_mhz / 1000
    found = {}
    for name, step in zip(Work._fields, done, strict=True):
        alone = name != "update" or not measures.update_of_network
        share, least = (settings.ppp_comp, floor) if alone else (1.0, 0.0)
        attained = share * measures.compute_efficiency, share * measures.memory_efficiency
        computing = [
            call.calls * compute_time(call.flops, device, attained[0], least)
            for call in step.computations
        ]
        # Left to right from the first, as the original adds.
        compute = sum(computing[1:], computing[0])
        memory = memory_time(step, device, attained[1], least, measures.gigabyte)
        found |= {f"{name}_compute": compute, f"{name}_memory": memory}
        found[f"{name}_overhead"] = _overhead(compute, memory, measures.overhead_ms)
    return found


def _overhead(compute: Array, memory: Array, of_call: Array | float) -> Array:
    """Return what a pass takes beside its work, where it does any [ms], [L]."""
    xp = layer_table.array_namespace(compute, memory, of_call)
    return xp.where((compute > 0) | (memory > 0), of_call, 0.0)


def check(table: LayerTable, settings: CostSettings, names: Sequence[str] | None = None) -> None:
    """Check that the original Paleo gives a figure for every pass of the mode.

    Args:
      table: Layers [L], with numpy arrays; traced values are not checked.
      settings: Without compatibility, nothing is refused.
      names: Names of the rows for the message; by default their numbers.

    Raises:
      ValueError: If the original stops at a layer or has no such layer; the first one is named.
    """
    if settings.compat != "paleo" or table.namespace is not np:
        return
    unbuilt, data, filters = gemm.refusals(table)
    refused = unbuilt | ((data | filters) & settings.trains)
    newer = gemm.has_no_such_layer(table)
    if (newer | refused).any():
        row = int(np.flatnonzero(newer if newer.any() else refused)[0])
        reason = "stops here, because a gradient's shape differs from what it is the gradient of"
        raise ValueError(
            f"layer '{names[row] if names else row}': Paleo "
            f"{'has no layers of transformers' if newer.any() else reason}; leave 'compat' out to "
            "cost this network"
        )


def _without_refused(found: LayerTimes, table: LayerTable) -> LayerTimes:
    """Return the times with NaN for gradients that the original refuses."""
    xp = layer_table.array_namespace(found.forward_compute, found.forward_memory)
    _, data, filters = gemm.refusals(table)
    changes = {}
    for refused, part in ((data, "backward_data"), (filters, "backward_filter")):
        for kind in ("compute", "memory"):
            field = f"{part}_{kind}"
            changes[field] = xp.where(refused, xp.nan, getattr(found, field))
    return dataclasses.replace(found, **changes)


def update_times(parameters: float, device: Device) -> tuple[float, float]:
    """Return (compute, memory) times in which the original updates a whole network [ms].

    Args:
      parameters: Trainable parameters of the network.
      device: The device.
    """
    floor = 1 / device.paleo_clock_mhz / 1000
    compute = float(compute_time(np.float64(2 * parameters), device, 1.0, floor))
    each = 4 * parameters / PALEO_GIGABYTE / device.bandwidth_gbs * 1000
    return compute, 3 * max(floor, each)


def network_times(
    table: LayerTable,
    device: Device,
    settings: CostSettings,
    kept: np.ndarray | None = None,
) -> LayerTimes:
    """Return `times` of the layers of one network, so that their sums are the network's times.

    They differ under compatibility only, where the update's floors apply to the network.

    Args:
      table: Layers [L], with numpy arrays.
      device: The device.
      settings: The rules.
      kept: Under compatibility, the layers that the original does not leave out, bool [L].
    """
    found = times(table, device, settings)
    if settings.compat != "paleo":
        return found
    compute, memory = network_updates(table, device, settings, kept)
    found = dataclasses.replace(found, update_compute=compute, update_memory=memory)
    if kept is None or kept.all():
        return found
    parts = [field.name for field in dataclasses.fields(found) if field.name != "pipelined"]
    return dataclasses.replace(
        found, **{part: np.where(kept, getattr(found, part), 0.0) for part in parts}
    )


def network_updates(
    table: LayerTable, device: Device, settings: CostSettings, kept: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (compute, memory) of the original's update of a network, layer by layer [ms], [L].

    It is shared out by parameters, evenly where there are none.
    """
    weight = np.ones(len(table)) if kept is None else kept.astype(np.float64)
    parameters = counts.parameters(table, settings) * weight
    total = float(parameters.sum())
    share = parameters / total if total else weight / weight.sum()
    compute, memory = update_times(total, device)
    return share * compute, share * memory


def totals(
    table: LayerTable, settings: CostSettings, device: Device | None = None
) -> tuple[Array, Array]:
    """Return (FLOPs, bytes) of each layer in inference or a training step, each [L]."""
    done = work(table, settings, device)
    return passes.flops(done, settings.mode), passes.bytes_moved(done, settings.mode)
