"""Time of every layer: Paleo's model (Qi, Sparks, Talwalkar, ICLR 2017).

Shapes: L layers. A pass takes FLOPs over the attainable rate plus bytes over the attainable
bandwidth, without overlap; nothing that is done takes less than one clock cycle.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from greennas_jax.costs import counts, gemm, layer_table, passes, traffic
from greennas_jax.costs.devices import Device
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.passes import Pass, Work
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array

# The original divides bytes by 2^30 but states bandwidths in units of 10^9 (B.5).
PALEO_GIGABYTE = 2.0**30
GIGABYTE = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTimes:
    """Times of every layer and pass [ms], each [L].

    The passes of training are given in inference too; `of_mode` sums those that are made. NaN
    stands where the original Paleo gives no figure.
    """

    forward_compute: Array
    forward_memory: Array
    backward_data_compute: Array
    backward_data_memory: Array
    backward_filter_compute: Array
    backward_filter_memory: Array
    update_compute: Array
    update_memory: Array

    @property
    def forward(self) -> Array:
        """Return the forward pass [ms], [L]."""
        return self.forward_compute + self.forward_memory

    @property
    def backward(self) -> Array:
        """Return both gradients [ms], [L]."""
        data = self.backward_data_compute + self.backward_data_memory
        return data + (self.backward_filter_compute + self.backward_filter_memory)

    @property
    def update(self) -> Array:
        """Return the parameters' update [ms], [L]."""
        return self.update_compute + self.update_memory


def of_mode(times: LayerTimes, mode: str) -> Array:
    """Return the time of inference or of a training step [ms], [L]."""
    if mode == "inference":
        return times.forward
    return (times.forward + times.backward) + times.update


def work(table: LayerTable, settings: CostSettings) -> Work:
    """Return FLOPs and bytes of every pass by the rules that the settings ask for."""
    if settings.compat == "paleo":
        return gemm.work(table, settings)
    return traffic.work(table, settings)


def compute_time(flops: Array, device: Device, share: float, floor: Array | float) -> Array:
    """Return the time of some operations [ms].

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
    step: Pass, device: Device, share: float, floor: Array | float, gigabyte: float
) -> Array:
    """Return the time of moving a pass's operands, each at least the floor [ms]."""
    sizes = [operand.size for operand in step.operands]
    xp = layer_table.array_namespace(step.flops, device.bandwidth_gbs, *sizes)
    total = xp.zeros_like(step.flops)
    for operand in step.operands:
        time = operand.size / gigabyte / device.bandwidth_gbs * 1000 / share
        total = total + xp.where(operand.moved, xp.maximum(floor, time), 0.0)
    return total


def times(table: LayerTable, device: Device, settings: CostSettings) -> LayerTimes:
    """Return the times of every layer and pass.

    Args:
      table: Layers [L].
      device: The device.
      settings: With `compat` "paleo" the original's figures, layer by layer; its update ignores
        the percent of peak (I.2), and its floor there applies to the network, not to a layer.

    Raises:
      ValueError: If compatibility is asked for and the original refuses a layer.
    """
    compat = settings.compat == "paleo"
    check(table, settings)
    clock = device.paleo_clock_mhz if compat else device.clock_mhz
    floor, unit = 1 / clock / 1000, PALEO_GIGABYTE if compat else GIGABYTE
    found = {}
    for name, step in zip(Work._fields, work(table, settings), strict=True):
        whole_network = compat and name == "update"
        share, least = (1.0, 0.0) if whole_network else (settings.ppp_comp, floor)
        found[f"{name}_compute"] = compute_time(step.flops, device, share, least)
        found[f"{name}_memory"] = memory_time(step, device, share, least, unit)
    result = LayerTimes(**found)
    return _without_refused(result, table) if compat else result


def check(table: LayerTable, settings: CostSettings, names: Sequence[str] | None = None) -> None:
    """Check that the original Paleo gives a figure for every pass of the mode.

    Args:
      table: Layers [L], with numpy arrays; traced values are not checked.
      settings: Without compatibility, nothing is refused.
      names: Names of the rows for the message; by default their numbers.

    Raises:
      ValueError: If the original stops at a layer (E.4 and E.6); the first one is named.
    """
    if settings.compat != "paleo" or table.namespace is not np:
        return
    unbuilt, data, filters = gemm.refusals(table)
    refused = unbuilt | ((data | filters) & (settings.mode == "training"))
    if refused.any():
        row = int(np.flatnonzero(refused)[0])
        raise ValueError(
            f"layer '{names[row] if names else row}': Paleo stops here, because a gradient's shape "
            "differs from what it is the gradient of; leave 'compat' out to cost this network"
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
    """Return (compute, memory) times in which the original updates a whole network (I.2) [ms].

    Args:
      parameters: Trainable parameters of the network.
      device: The device.
    """
    floor = 1 / device.paleo_clock_mhz / 1000
    compute = float(compute_time(np.float64(2 * parameters), device, 1.0, floor))
    each = 4 * parameters / PALEO_GIGABYTE / device.bandwidth_gbs * 1000
    return compute, 3 * max(floor, each)


def network_times(table: LayerTable, device: Device, settings: CostSettings) -> LayerTimes:
    """Return `times` of the layers of one network, so that their sums are the network's times.

    They differ under compatibility only, where the update's floors apply to the network: its time
    is shared out by parameters, evenly where there are none.
    """
    found = times(table, device, settings)
    if settings.compat != "paleo":
        return found
    parameters = counts.parameters(table, settings)
    total = float(parameters.sum())
    share = parameters / total if total else np.full(len(table), 1 / len(table))
    compute, memory = update_times(total, device)
    return dataclasses.replace(found, update_compute=share * compute, update_memory=share * memory)


def totals(table: LayerTable, settings: CostSettings) -> tuple[Array, Array]:
    """Return (FLOPs, bytes) of each layer in inference or a training step, each [L]."""
    done = work(table, settings)
    return passes.flops(done, settings.mode), passes.bytes_moved(done, settings.mode)
