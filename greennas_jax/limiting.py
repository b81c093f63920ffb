"""From a run's limits as they are asked for to what a search needs of them, and to the report."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from greennas_jax.costs import profile as cost_profile
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.nao.latent_search import CostHead, Guide
from greennas_jax.search import feasibility, loop
from greennas_jax.search.archive import Archive
from greennas_jax.search.limits import Limits, Target
from greennas_jax.search.loop import SearchConfig
from greennas_jax.search.problem import Problem
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spaces.edits import EditSpace
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.peaks import Peaks
from greennas_jax.spec.network import Network

# Name of the limit: cost term, its unit, and its key in a profile's totals.
NAMES = {
    "target_energy": ("energy", "J", "energy_j"),
    "target_time": ("time", "ms", "time_ms"),
    "target_memory": ("memory", "bytes", "peak_memory_bytes"),
    "max_parameters": ("parameters", "", "parameters"),
}


class Asked(Protocol):
    """A configuration that may hold limits."""

    @property
    def target_energy(self) -> float | None:
        """Most energy [J]."""
        ...

    @property
    def target_time(self) -> float | None:
        """Most time [ms]."""
        ...

    @property
    def target_memory(self) -> float | None:
        """Most peak memory [bytes]."""
        ...

    @property
    def max_parameters(self) -> int | None:
        """Most trainable parameters."""
        ...


def targets(config: Asked) -> tuple[Target, ...]:
    """Return the limits that a configuration asks for."""
    most = {name: getattr(config, name) for name in NAMES}
    return tuple(
        Target(name, *NAMES[name], most=float(value))
        for name, value in most.items()
        if value is not None
    )


def limits(
    asked: tuple[Target, ...],
    space: EditSpace,
    costs: Factors,
    device: Device,
    settings: CostSettings,
    batch_size: int | None,
) -> Limits | None:
    """Return the limits of a search, with a string that keeps to them; None where none is asked.

    The peak memory of a training step is a sum over layers, that of inference is not.

    Args:
      asked: The limits.
      space: The space.
      costs: Factors of all terms.
      device: The device.
      settings: What is costed.
      batch_size: Batch size to cost; None for the network's own.

    Raises:
      InfeasibleError: If no network of the space keeps to them, or none was found that does.
    """
    if not asked:
        return None
    peak = next((t for t in asked if t.term == "memory" and not settings.trains), None)
    peaks = Peaks(space=space, device=device, settings=settings, batch_size=batch_size)

    def totals(network: Network) -> Mapping[str, Any]:
        return cost_profile.profile(network, device, settings, batch_size)["totals"]

    found = Limits(
        space=space,
        costs=costs,
        summed=tuple(target for target in asked if target is not peak),
        peak=peak,
        peaks=None if peak is None else peaks,
        totals=totals,
        anchor=np.zeros(len(space.positions), np.int32),
    )
    return found.anchored_at(feasibility.anchored(found))


def guide(found: Limits | None, heads: Mapping[str, CostHead]) -> Guide | None:
    """Return the limits as the ascent in the embedding feels them.

    A limit on the peak memory is felt through the sum of all that is held, scaled as in the
    anchor: the direction is what counts there, for what breaks a limit is sorted out afterwards.

    Args:
      found: The limits.
      heads: Where the embedding's heads predict each term.
    """
    if found is None:
        return None
    terms = [target.term for target in found.targets]
    most = [target.most for target in found.targets]
    costs = cost_factors.select_terms(found.costs, terms)
    if found.peak is not None and found.peaks is not None:
        held = cost_factors.exact(costs, found.anchor[:, None])[-1, 0]
        most[-1] *= held / found.peaks.exact(found.anchor[None])[0]
    own = [heads[term] for term in terms]
    return Guide(
        costs,
        jnp.log(jnp.asarray(most)),
        CostHead(
            jnp.asarray([head.index for head in own]),
            jnp.asarray([head.mean for head in own]),
            jnp.asarray([head.spread for head in own]),
        ),
    )


def told(
    problem: Problem,
    archive: Archive,
    config: SearchConfig,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return the limits' part of a report; None where none is asked.

    Args:
      problem: What was searched.
      archive: Every query.
      config: The search's configuration.
      before: Profile of the given network.
      after: Profile of the found one.
    """
    found = problem.limits
    if found is None:
        return None
    rows = [
        {
            "name": target.name,
            "total": target.total,
            "unit": target.unit,
            "most": target.most,
            "before": before["totals"][target.total],
            "after": after["totals"][target.total],
            "met": bool(after["totals"][target.total] <= target.most),
        }
        for target in found.targets
    ]
    note = (
        "of the networks within the limits none was sure to meet the guard; this one came nearest"
    )
    return {"targets": rows, "note": None if loop.is_sure(problem, archive, config) else note}
