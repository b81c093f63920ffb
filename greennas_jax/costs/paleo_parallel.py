"""Parallel training as the original Paleo costs it, oddities included.

Section letters are those of the original's rules: H remote fetch, I update, J simulation.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from greennas_jax.costs import paleo, remote_fetch, series_parallel
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.plans import Part
from greennas_jax.costs.replica import Replica
from greennas_jax.costs.series_parallel import Item
from greennas_jax.spec.network import Network


def data(replica: Replica, fabric: Fabric) -> Part:
    """Return the step of one worker of a data-parallel plan, without synchronisation."""
    times = _fetching(replica, None, fabric)
    return Part(
        name="data",
        forward_ms=float(times.forward.sum()),
        backward_ms=float(times.backward.sum()),
        update_ms=_update(replica, np.arange(len(replica.layers)), times.pipelined),
        gradient_bytes=4 * float(replica.parameters.sum()),
    )


def model(replica: Replica, network: Network, fabric: Fabric) -> tuple[Part, Part]:
    """Return the lower and the upper bound of a model-parallel plan.

    Args:
      replica: The layers' costs.
      network: The network that they are of.
      fabric: Only its share counts: everything is fetched at the memory's speed.

    Raises:
      ValueError: If a branch holds a group of branches: the original stops there.
    """
    times = _fetching(replica, None, fabric)
    forward, backward = _both_bounds(series_parallel.nest(network), replica, times)
    lower, upper = (Part("model", forward[i], backward[i]) for i in (0, 1))
    return lower, upper


def hybrid(replica: Replica, network: Network, fabric: Fabric, workers: int) -> tuple[Part, Part]:
    """Return the data part and the model part of a hybrid plan.

    Args:
      replica: The costs of one worker's batch.
      network: The network that they are of.
      fabric: How the workers are wired.
      workers: Number of workers; not checked against the splits.
    """
    gigabytes = fabric.link.bandwidth_gbits / 8
    times = _fetching(replica, gigabytes, fabric)
    outside, inside = replica.rows(split=False), replica.rows(split=True)
    part = Part(
        name="data",
        forward_ms=float(times.forward[outside].sum()),
        backward_ms=float(times.backward[outside].sum()),
        update_ms=_update(replica, outside, times.pipelined),
        gradient_bytes=4 * float(replica.parameters[outside].sum()),
    )
    update = _update(replica, inside, False)
    if not len(inside):
        return part, Part("model", 0.0, 0.0, update)
    nest = _inside(series_parallel.nest(network), replica)
    (forward, _), (backward, _) = _both_bounds(nest, replica, times)
    first = replica.layers[inside[0]]
    # Elements, not bytes, and at the link's full bandwidth: the original's slip.
    elements = replica.output_bytes[first.parents[0]] / 4
    sent = elements / paleo.PALEO_GIGABYTE / gigabytes * 1000 * (workers - 1)
    return part, Part(
        "model", (forward - sent) * workers + sent, (backward - sent) * workers + sent, update
    )


def _fetching(replica: Replica, bandwidth: float | None, fabric: Fabric) -> LayerTimes:
    """Return the times of a network whose layers fetch at some bandwidth [GB/s]."""
    fetch = remote_fetch.times(
        replica.layers,
        replica.split,
        replica.output_bytes,
        replica.device,
        bandwidth=bandwidth,
        share=fabric.share,
    )
    return remote_fetch.added(replica.times, fetch)


def _update(replica: Replica, rows: np.ndarray, pipeline: bool) -> float:
    """Return the update of some layers at the device's peak [ms]."""
    times = paleo.update_times(float(replica.parameters[rows].sum()), replica.device)
    return max(times) if pipeline else sum(times)


def _inside(nest: Sequence[Item], replica: Replica) -> list[Item]:
    """Return a nest without what is outside any split."""
    kept: list[Item] = []
    inside = {replica.layers[row].name for row in replica.rows(split=True)}
    for item in nest:
        if isinstance(item, str):
            kept += [item] if item in inside else []
        else:
            branches = [branch for b in item if (branch := _inside(b, replica))]
            kept += [branches] if branches else []
    return kept


def _both_bounds(
    nest: Sequence[Item], replica: Replica, times: LayerTimes
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the bounds of the forward and the backward pass, which are never pipelined here."""
    apart = dataclasses.replace(times, pipelined=False)
    names = [layer.name for layer in replica.layers]
    forward = dict(zip(names, apart.forward.tolist(), strict=True))
    backward = dict(zip(names, apart.backward.tolist(), strict=True))
    return _bounds(nest, forward), _bounds(nest, backward)


def _bounds(nest: Sequence[Item], totals: dict[str, float]) -> tuple[float, float]:
    """Return the least and the most time of a nest [ms]: branches side by side, or in turn."""
    lower = upper = 0.0
    for item in nest:
        if isinstance(item, str):
            lower, upper = lower + totals[item], upper + totals[item]
            continue
        branches = []
        for branch in item:
            names = [name for name in branch if isinstance(name, str)]
            if len(names) < len(branch):
                raise ValueError(
                    f"layer '{names[0] if names else branch[0]}': Paleo stops here, because a "
                    "branch of a model-parallel network branches again; leave 'compat' out"
                )
            branches.append(sum(totals[name] for name in names))
        lower, upper = lower + max(branches), upper + sum(branches)
    return lower, upper
