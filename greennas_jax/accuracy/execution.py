"""How many trainings share one compiled program, and how they are spread over devices."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from greennas_jax.build import convolution
from greennas_jax.mesh import arrays, team

# Share of a device's free memory that trainings may fill.
SPARED = 0.85


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """How trainings run.

    Attributes:
      together: "map" trains a device's children one after the other, "vmap" side by side.
      method: How convolutions are computed.
      per_device: Children of one device in one call of the program.
    """

    together: Literal["map", "vmap"] = "map"
    method: convolution.Method = "im2col"
    per_device: int = 8

    def __post_init__(self):
        if self.together not in ("map", "vmap"):
            raise ValueError(f"together is {self.together!r}; allowed: map, vmap")
        convolution.layout_of(self.method)
        if self.per_device < 1:
            raise ValueError(f"per_device is {self.per_device}; from 1 allowed")


def default() -> Execution:
    """Return what runs fastest on this machine's kind of device."""
    if jax.default_backend() == "cpu":
        return Execution()
    return Execution(together="vmap", method="lax", per_device=32)


def free_bytes() -> int | None:
    """Return the memory that a device has left [bytes]; None where it does not tell, as CPUs."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    left = [
        each["bytes_limit"] - each.get("bytes_in_use", 0) for each in stats if "bytes_limit" in each
    ]
    return min(left) if left else None


def affordable(
    execution: Execution, needed: Callable[[int], int], free: int | None = None
) -> Execution:
    """Return how trainings run so that those side by side fit into a device's memory.

    Args:
      execution: How they would run had memory no end.
      needed: Bytes that a device needs for so many children in one call.
      free: Bytes that it has; by default what it tells.

    Returns:
      The same with fewer children a call where that many do not fit; one at least.
    """
    free = free_bytes() if free is None else free
    # Of all hosts the one with the least.
    told = team.told_by_all(str(-1 if free is None else free).encode())
    free = min(int(each) for each in told)
    if free < 0 or execution.together != "vmap":
        return execution
    count, room = execution.per_device, SPARED * free
    while count > 1 and (bytes_ := needed(count)) > room:
        # Memory grows with the children, beside what they share.
        count = max(1, min(count - 1, int(count * room / bytes_)))
    return dataclasses.replace(execution, per_device=count)


def bytes_of(compiled: Any) -> int:
    """Return the bytes that a compiled program needs on a device: arguments, results, between."""
    told = compiled.memory_analysis()
    if told is None:
        return 0
    return (
        told.argument_size_in_bytes
        + told.output_size_in_bytes
        + told.temp_size_in_bytes
        - told.alias_size_in_bytes
    )


def spread(
    function: Callable[..., Any], execution: Execution, over: Mesh
) -> Callable[[Any, Any], Any]:
    """Return a compiled function of (shared, many): `function` for each of many, over all devices.

    Args:
      function: (shared, one) -> result.
      execution: Whether one after the other or side by side.
      over: The devices; the leading axis of `many` is a multiple of their number.
    """

    def on_one_device(shared: Any, many: Any) -> Any:
        def one(values: Any) -> Any:
            return function(shared, values)

        return jax.lax.map(one, many) if execution.together == "map" else jax.vmap(one)(many)

    rows = arrays.dealt()
    return jax.jit(arrays.spread(on_one_device, over, (arrays.COPIED, rows), rows))


def dealt(count: int, devices: int) -> np.ndarray:
    """Return an order in which neighbours go to different devices: int [count], a permutation.

    Early stopping makes neighbours, which a search proposes in order of promise, differ in time.
    """
    return np.arange(count).reshape(-1, devices).T.reshape(-1)
