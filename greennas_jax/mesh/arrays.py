"""The mesh, and how values of the host come onto it and back.

One axis runs over all devices of all processes. Every process holds the same values on the host and
runs the same program: values go onto the mesh as copies or dealt out along an axis without being
sent, and come back whole to every process.
"""

import collections
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from greennas_jax.mesh import team

AXIS = "data"
COPIED = PartitionSpec()


def everywhere() -> Mesh:
    """Return all devices of all processes as one axis, in the same order in every process."""
    return of(jax.devices())


def here() -> Mesh:
    """Return the devices of this process alone as one axis."""
    return of(jax.local_devices())


def among(parts: int) -> Mesh:
    """Return as many devices of every process as share out a number of parts evenly.

    Where the processes cannot share them out, each is to compute all of them on one device.
    """
    counts = collections.Counter(device.process_index for device in jax.devices())
    each, left = divmod(parts, len(counts))
    if left:
        return of(jax.local_devices()[:1])
    chosen = math.gcd(each, min(counts.values()))
    of_each = [[one for one in jax.devices() if one.process_index == i] for i in sorted(counts)]
    return of([one for devices in of_each for one in devices[:chosen]])


def of(devices: Any) -> Mesh:
    """Return some devices as one axis."""
    return Mesh(np.array(devices), (AXIS,))


def dealt(axis: int = 0) -> PartitionSpec:
    """Return how arrays lie that are dealt out along an axis."""
    return PartitionSpec(*[None] * axis, AXIS)


def placed(values: Any, over: Mesh, how: PartitionSpec = COPIED) -> Any:
    """Return arrays of the host on a mesh.

    Args:
      values: Pytree of arrays, the same in every process.
      over: The mesh.
      how: COPIED, or `dealt` along an axis whose length is a multiple of the mesh's.
    """
    sharding = NamedSharding(over, how)
    if not _is_shared(over):
        return jax.device_put(values, sharding)

    def one(value: Any) -> jax.Array:
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            return value
        # As JAX would take it: in its own precision.
        there = np.asarray(jnp.asarray(value))
        return jax.make_array_from_callback(there.shape, sharding, lambda part: there[part])

    return jax.tree.map(one, values)


def fetched(values: Any) -> Any:
    """Return arrays of a mesh on the host, whole in every process.

    Every process calls it, in the same order. Work of very different length ends before anybody
    waits inside a collective operation, which may wait for a limited time only.

    Args:
      values: Pytree of arrays of one mesh.
    """
    leaves = [leaf for leaf in jax.tree.leaves(values) if isinstance(leaf, jax.Array)]
    if all(leaf.is_fully_addressable for leaf in leaves):
        return jax.device_get(values)
    jax.block_until_ready(values)
    team.meet()
    sharding = leaves[0].sharding
    if not isinstance(sharding, NamedSharding):
        raise ValueError(f"arrays that lie as {sharding} are on no mesh")
    return jax.device_get(_whole(sharding.mesh)(values))


def as_first(values: Any) -> Any:
    """Return host or local arrays as the first process has them, in every process.

    Computed by every process alike they may differ in the last bit between kinds of processors.

    Args:
      values: Pytree of arrays, of the same structure and shapes in every process.
    """
    if team.size() == 1:
        return values
    leaves, structure = jax.tree.flatten(values)
    own = [np.asarray(leaf) for leaf in leaves]
    words = team.told(b"".join(leaf.tobytes() for leaf in own))
    ends = np.cumsum([leaf.nbytes for leaf in own])
    if len(words) != sum(leaf.nbytes for leaf in own):
        raise team.TeamError(
            f"process {jax.process_index()} does not compute what process 0 does; all processes of "
            "a run need the same kind of machine and the same versions"
        )
    parts = [words[end - leaf.nbytes : end] for leaf, end in zip(own, ends, strict=True)]
    found = [
        np.frombuffer(part, leaf.dtype).reshape(leaf.shape)
        for part, leaf in zip(parts, own, strict=True)
    ]
    return jax.tree.unflatten(
        structure,
        [
            jnp.asarray(one) if isinstance(leaf, jax.Array) else one.copy()
            for one, leaf in zip(found, leaves, strict=True)
        ],
    )


def spread(
    function: Callable[..., Any],
    over: Mesh,
    wanted: tuple[PartitionSpec, ...],
    given: PartitionSpec,
) -> Callable[..., Any]:
    """Return a function that each device computes for its part of the arguments.

    Args:
      function: What one device computes; it exchanges nothing with the others unless it says so.
      over: The mesh.
      wanted: How each argument lies.
      given: How the results lie.
    """
    # Loops of a device end at their own step, so that what varies over devices is not tracked.
    return jax.shard_map(function, mesh=over, in_specs=wanted, out_specs=given, check_vma=False)


def filled(values: np.ndarray, over: Mesh) -> np.ndarray:
    """Return rows [n, ...] with the first repeated behind them, up to a multiple of the mesh."""
    missing = -len(values) % over.size
    return np.concatenate([values, np.repeat(values[:1], missing, axis=0)])


def _is_shared(over: Mesh) -> bool:
    """Return whether a mesh has devices of other processes."""
    return any(device.process_index != jax.process_index() for device in over.devices.flat)


@functools.cache
def _whole(over: Mesh) -> Callable[[Any], Any]:
    """Return the compiled function that gives every device all of its arguments."""
    return jax.jit(lambda values: values, out_shardings=NamedSharding(over, COPIED))
