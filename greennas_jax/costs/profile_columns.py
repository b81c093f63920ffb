"""Every per-layer figure of a profile.

Shapes: L layers; numpy float64, NaN where a figure is not known.
"""

import numpy as np

from greennas_jax.costs import (
    counts,
    layer_table,
    paleo,
    passes,
    power,
    profile_sequences,
    remote_fetch,
)
from greennas_jax.costs.profile_case import Case

Columns = dict[str, np.ndarray]

_PASSES = ("forward", "backward_data", "backward_filter")


def columns(case: Case) -> Columns:
    """Return every per-layer figure by the physical model [L]; parameters are the whole's."""
    found = _of_work(case) | _of_times(case)
    if case.split and case.as_original:
        found |= _fetching(case)
    return {name: np.where(case.dropped, 0.0, column) for name, column in found.items()}


def _of_work(case: Case) -> Columns:
    table, settings = case.table, case.settings
    parameters = counts.parameters(case.whole, settings)
    work = paleo.work(table, settings, case.device)
    return {
        "flops": passes.flops(work, settings.mode),
        **profile_sequences.split_flops(table, work, settings),
        "bytes": passes.bytes_moved(work, settings.mode),
        "parameters": parameters,
        "weight_bytes": settings.element_bytes * parameters,
        "activation_bytes": counts.activation_bytes(table, settings),
    }


def _of_times(case: Case) -> Columns:
    times = case.times
    time = paleo.of_mode(times, case.settings.mode)
    found = {
        f"{name}_{kind}_ms": getattr(times, f"{name}_{kind}")
        for name in _PASSES
        for kind in ("compute", "memory", "overhead")
    }
    found |= {
        "time_ms": time,
        "forward_ms": times.forward,
        "backward_ms": times.backward,
        "update_ms": times.update,
    }
    energy = np.full_like(time, np.nan)
    if case.device.power_known:
        energy = power.energy(case.table, times, case.device, case.settings)
    busy = time > 0
    found["power_w"] = np.where(busy, 1000 * energy / np.where(busy, time, 1.0), 0.0 * energy)
    found["energy_j"] = energy
    return found


def _fetching(case: Case) -> Columns:
    """Return what changes where splits fetch from each other, as the original counts it [L]."""
    layers = case.layers
    size = layer_table.BYTES_PER_ELEMENT * case.table.output_elements
    fetch = remote_fetch.times(
        layers,
        np.array([case.split.get(layer.name, -1) for layer in layers]),
        {layer.name: float(each) for layer, each in zip(layers, size, strict=True)},
        case.device,
        share=case.settings.ppp_comm,
    )
    fetched = remote_fetch.added(case.times, fetch)
    return {
        "remote_fetch_ms": fetch,
        "forward_ms": fetched.forward,
        "backward_ms": fetched.backward,
        "time_ms": paleo.of_mode(fetched, case.settings.mode),
    }
