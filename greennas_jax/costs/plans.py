"""Time and energy of one training step that several workers share.

Three plans. Data parallel: every worker holds the network and its part of the batch. Model
parallel: one batch, the layers spread over the workers. Hybrid (Krizhevsky, "One weird trick for
parallelizing convolutional neural networks", arXiv 1404.5997, 2014, scheme b): data parallel but
for the layers inside a ModelParallel, whose splits lie on one worker each; the workers take turns
to send all others what these layers read.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import communication
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.replica import Replica
from greennas_jax.spec.network import SOURCE_TYPE, Layer


class Part(NamedTuple):
    """Layers of one plan, and the time that the workers spend in them.

    Attributes:
      name: "data" or "model".
      forward_ms: The forward pass with what it fetches [ms].
      backward_ms: Both gradients with what they fetch [ms].
      update_ms: The parameters' update [ms].
      gradient_bytes: Bytes of gradients that every worker must sum with the others'.
    """

    name: str
    forward_ms: float
    backward_ms: float
    update_ms: float = 0.0
    gradient_bytes: float = 0.0


class Step(NamedTuple):
    """One training step.

    Attributes:
      parts: Its parts, one after the other.
      busy_ms: Time in which a worker computes, summed over the workers [ms].
      busy_j: Energy of that [J].
    """

    parts: tuple[Part, ...]
    busy_ms: float
    busy_j: float


def busy(replica: Replica, workers: int, shared: np.ndarray | None = None) -> tuple[float, float]:
    """Return the time [ms] and the energy [J] of computing, summed over the workers.

    Args:
      replica: The costs of one worker's batch.
      workers: How often every layer is run.
      shared: Rows that are run as often, but updated once.
    """
    time, energy = workers * replica.busy.sum(), workers * replica.energy.sum()
    if shared is not None:
        time = time - (workers - 1) * replica.times.update[shared].sum()
        energy = energy - (workers - 1) * replica.update_energy[shared].sum()
    return float(time), float(energy)


def data_parallel(replica: Replica, fabric: Fabric, workers: int) -> Step:
    """Return the step of workers that each run the whole network on their part of the batch."""
    del fabric
    part = Part(
        name="data",
        forward_ms=float(replica.times.forward.sum()),
        backward_ms=float(replica.times.backward.sum()),
        update_ms=float(replica.times.update.sum()),
        gradient_bytes=4 * float(replica.parameters.sum()),
    )
    return Step((part,), *busy(replica, workers))


def model_parallel(replica: Replica, fabric: Fabric, workers: int) -> Step:
    """Return the step of one batch whose layers are spread over the workers.

    Split i lies on worker i (modulo their number). Every other layer goes where it is done first,
    in topological order: greedy list scheduling with transfers (Topcuoglu, Hariri, Wu,
    "Performance-effective and low-complexity task scheduling for heterogeneous computing", IEEE
    TPDS 13(3), 2002). The backward pass keeps the places. Greedy placing may lose by more
    workers, so fewer are tried as well (halves, quarters, ...) and the quickest plan is taken.
    """
    costs = _transfers(replica, fabric, workers)
    most = min(workers, len(replica.layers))
    splits = int(replica.split.max()) + 1
    used = {min(2**power, most) for power in range(most.bit_length() + 1)}
    parts = [_placed(replica, costs, count) for count in sorted(used) if count >= min(splits, most)]
    best = min(parts, key=lambda part: part.forward_ms + part.backward_ms + part.update_ms)
    return Step((best,), *busy(replica, 1))


def _placed(replica: Replica, transfers: Mapping[str, float], workers: int) -> Part:
    """Return a model-parallel plan that uses so many workers."""
    pinned = {
        layer.name: int(split) % workers
        for layer, split in zip(replica.layers, replica.split, strict=True)
        if split >= 0
    }
    times = replica.times
    forward, places = schedule(replica.layers, times.forward, transfers, pinned, workers)
    backward = backward_time(replica.layers, times.backward, transfers, places, workers)
    updates = np.zeros(workers)
    for layer, time in zip(replica.layers, times.update, strict=True):
        updates[places[layer.name]] += time
    return Part("model", forward, backward, float(updates.max()))


def _transfers(replica: Replica, fabric: Fabric, workers: int) -> dict[str, float]:
    """Return the time of sending each layer's output to another worker [ms]."""
    link = fabric.slowest(workers)
    return {
        name: communication.transfer_time(size, link, fabric)
        for name, size in replica.output_bytes.items()
    }


def schedule(
    layers: Sequence[Layer],
    durations: np.ndarray,
    transfers: Mapping[str, float],
    pinned: Mapping[str, int],
    workers: int,
) -> tuple[float, dict[str, int]]:
    """Return the time until the last layer is done [ms], and where each layer runs.

    A worker fetches what it lacks one tensor after the other, when the last of them is there, and
    computes when it has all.

    Args:
      layers: Layers, parents first; parents that are not among them are there from the start.
      durations: Their times [ms], [L].
      transfers: Time of sending each layer's output to another worker [ms].
      pinned: Workers of layers that have no choice.
      workers: Number of workers.
    """
    free = [0.0] * workers
    done: dict[str, float] = {}
    places: dict[str, int] = {}
    for layer, duration in zip(layers, durations, strict=True):
        parents = [parent for parent in dict.fromkeys(layer.parents) if parent in places]
        ready = max((done[parent] for parent in parents), default=0.0)
        ends = {}
        for place in [pinned[layer.name]] if layer.name in pinned else range(workers):
            fetch = sum(transfers[parent] for parent in parents if places[parent] != place)
            ends[place] = max(free[place], ready) + fetch + float(duration)
        # Among equals the parents' own worker, so that a chain stays where it is.
        home = places[parents[-1]] if parents else 0
        place = min(ends, key=lambda p: (ends[p], p != home, p))
        places[layer.name], done[layer.name], free[place] = place, ends[place], ends[place]
    return max(done.values(), default=0.0), places


def backward_time(
    layers: Sequence[Layer],
    durations: np.ndarray,
    transfers: Mapping[str, float],
    places: Mapping[str, int],
    workers: int,
) -> float:
    """Return the time of the backward pass over placed layers [ms].

    A layer fetches the gradient of its output from every other worker that read it, as `schedule`
    does outputs; nothing flows back into an input.
    """
    readers: dict[str, list[str]] = {layer.name: [] for layer in layers}
    for layer in layers:
        for parent in dict.fromkeys(layer.parents):
            if parent in readers:
                readers[parent].append(layer.name)
    mirrored = [
        layer.replace(parents=() if layer.type == SOURCE_TYPE else tuple(readers[layer.name]))
        for layer in reversed(layers)
    ]
    free = [0.0] * workers
    done: dict[str, float] = {}
    for layer, duration in zip(mirrored, reversed(durations), strict=True):
        place = places[layer.name]
        ready = max((done[reader] for reader in layer.parents), default=0.0)
        elsewhere = {places[reader] for reader in layer.parents} - {place}
        fetch = len(elsewhere) * transfers[layer.name]
        done[layer.name] = max(free[place], ready) + fetch + float(duration)
        free[place] = done[layer.name]
    return max(done.values(), default=0.0)


def hybrid_parallel(replica: Replica, fabric: Fabric, workers: int) -> Step:
    """Return the step of a hybrid plan: data parallel but for what is inside a ModelParallel.

    With c the time in which all splits run one worker's batch, and t that of sending what they read
    to the n - 1 others, the n workers' turns take t + (n - 1) max(c, t) + c: the next batch is sent
    while this one is computed. Where c >= t this is n c + t, Paleo's formula.

    Raises:
      ValueError: If the splits are not as many as the workers.
    """
    inside = replica.rows(split=True)
    if not len(inside):
        return data_parallel(replica, fabric, workers)
    splits = int(replica.split.max()) + 1
    if splits != workers:
        raise ValueError(
            f"a hybrid plan of {workers} workers needs {workers} splits; the ModelParallel has "
            f"{splits}"
        )
    transfers = _transfers(replica, fabric, workers)
    part = _replicated(replica, transfers)
    layers = [replica.layers[row] for row in inside]
    pinned = {
        layer.name: int(replica.split[row]) for layer, row in zip(layers, inside, strict=True)
    }
    forward, places = schedule(layers, replica.times.forward[inside], transfers, pinned, workers)
    backward = backward_time(layers, replica.times.backward[inside], transfers, places, workers)
    read = {parent for layer in layers for parent in layer.parents} - pinned.keys()
    sent = (workers - 1) * sum(transfers[parent] for parent in sorted(read))
    updates = np.bincount(replica.split[inside], weights=replica.times.update[inside])
    model = Part(
        "model",
        _turns(forward, sent, workers),
        _turns(backward, sent, workers),
        float(updates.max()),
    )
    return Step((part, model), *busy(replica, workers, inside))


def _replicated(replica: Replica, transfers: Mapping[str, float]) -> Part:
    """Return what every worker does on its own batch; it holds one split of what it reads."""
    outside = replica.rows(split=False)
    splits = {layer.name: int(s) for layer, s in zip(replica.layers, replica.split, strict=True)}
    gathered = sum(
        transfers[parent]
        for row in outside
        for parent in replica.layers[row].parents
        if splits[parent] > 0
    )
    return Part(
        name="data",
        forward_ms=float(replica.times.forward[outside].sum()) + gathered,
        backward_ms=float(replica.times.backward[outside].sum()) + gathered,
        update_ms=float(replica.times.update[outside].sum()),
        gradient_bytes=4 * float(replica.parameters[outside].sum()),
    )


def _turns(computing: float, sending: float, workers: int) -> float:
    """Return the time in which all workers' batches are sent and computed in turn."""
    return sending + (workers - 1) * max(computing, sending) + computing


PLANS = {"data": data_parallel, "model": model_parallel, "hybrid": hybrid_parallel}
