"""Make the costs' records JAX pytrees; import this module before they cross `jit`.

Kept apart so that costing one network with numpy starts without JAX.
"""

import dataclasses

import jax

from greennas_jax.costs import devices, layer_table, paleo


def _register(record: type, static: tuple[str, ...] = ()) -> None:
    fields = [field.name for field in dataclasses.fields(record)]
    data = [name for name in fields if name not in static]
    jax.tree_util.register_dataclass(record, data_fields=data, meta_fields=list(static))


_register(layer_table.LayerTable)
_register(devices.Device, ("name", "sources", "power_known", "dtype", "precisions", "calibration"))
_register(paleo.LayerTimes, ("pipelined",))
