"""Training on several workers: time, speed-up, efficiency, power and energy by their number.

Strong scaling shares out one batch (each worker the n-th part, rounded up); weak scaling gives
every worker a batch of its own. A step takes the parts of its plan and the all-reduce one after
the other.

Energy of one step of n workers [J], with T the time of the step and t the time that a worker
computes (both summed over the workers where a sum is written):

    E = sum of the costed energy of what each worker computes
        + static W x (n T - sum of t)
        + host W x nodes x T

The first term is `power.energy` of the layers; a worker that waits for others or for the network
draws its static power, `static_w` of its device file; the last term is the rest of each machine,
nothing unless stated. Links and switches themselves are not counted.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from greennas_jax.costs import communication, paleo_parallel, plans, replica
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.devices import Device
from greennas_jax.costs.plans import Step
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import parallel, shapes
from greennas_jax.spec.network import PARALLEL_TYPE, Network, SpecError

SCHEMA = "greennas.scaling/1"
SCALINGS = ("weak", "strong")
PARALLELS = ("data", "model", "hybrid")
SPLITS = ("workers", "text")
MOST_WORKERS = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScalingSettings:
    """What is studied.

    Attributes:
      scaling: "strong" shares out one batch, "weak" gives each worker one.
      parallel: "data", "model" or "hybrid".
      scheme: How gradients are summed, a name of the registry in `communication`.
      splits: How often a ModelParallel is split: as often as there are "workers", or as its "text"
        says. A data-parallel plan does not split, except under compatibility.
      host_w: Power of a node besides its workers [W].
      examples: Examples of an epoch, None where epochs are not asked for.
    """

    scaling: str = "strong"
    parallel: str = "data"
    scheme: str = "ring"
    splits: str = "workers"
    host_w: float = 0.0
    examples: int | None = None

    def __post_init__(self):
        allowed = {"scaling": SCALINGS, "parallel": PARALLELS, "splits": SPLITS}
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}"
                )
        communication.get(self.scheme)
        if not (math.isfinite(self.host_w) and self.host_w >= 0):
            raise ValueError(f"host_w is {self.host_w!r}; allowed: watts from 0")
        if self.examples is not None and self.examples < 1:
            raise ValueError(f"examples is {self.examples!r}; allowed: whole numbers from 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained on what.

    Attributes:
      network: The network; a ModelParallel in it is what model and hybrid plans split.
      device: The device of every worker.
      fabric: How the workers are wired; its share and its rules are those of `costs`.
      costs: By which rules layers are costed.
      settings: What is studied.
      batch: Batch of one worker (weak) or of all (strong).
    """

    network: Network
    device: Device
    fabric: Fabric
    costs: CostSettings
    settings: ScalingSettings
    batch: int

    def __post_init__(self):
        if self.batch < 1:
            raise ValueError(f"batch_size is {self.batch}; allowed: whole numbers from 1")
        fabric = dataclasses.replace(
            self.fabric, share=self.costs.ppp_comm, compat=self.costs.compat
        )
        object.__setattr__(self, "fabric", fabric)
        object.__setattr__(self, "device", self.device.at(self.costs.dtype))

    @property
    def compat(self) -> shapes.Compat:
        """Return the rules that the spec package knows."""
        return "paleo" if self.costs.compat == "paleo" else None


def study(job: Job, workers: Sequence[int]) -> dict[str, Any]:
    """Return a network's scaling study, `greennas.scaling/1`.

    Speed-up is the ratio of examples per second to those of one device that runs the whole network,
    unsplit and without any communication, on the job's batch.

    Args:
      job: What is trained on what.
      workers: Numbers of workers, from 1.

    Raises:
      SpecError: If shapes disagree, or the splits do not divide a layer.
      ValueError: If a number is out of range, or the original Paleo is to be reproduced and stops.
    """
    wrong = [count for count in workers if not 1 <= count <= MOST_WORKERS]
    if wrong or not workers:
        found = wrong[0] if wrong else "missing"
        raise ValueError(f"the number of workers is {found}; allowed: from 1 to {MOST_WORKERS}")
    whole = parallel.expand(job.network, splits=1, compat=job.compat)
    alone_ms = float(replica.cost(whole, job.device, job.costs, job.batch).busy.sum())
    points = [_point(job, count, job.batch / alone_ms) for count in workers]
    return {
        "schema": SCHEMA,
        "network": job.network.name,
        "device": job.device.name,
        "links": _links(job.fabric),
        "batch_size": job.batch,
        **dataclasses.asdict(job.settings),
        "settings": dataclasses.asdict(job.costs) | {"mode": "training"},
        "alone": {"iteration_ms": alone_ms, "examples_per_s": 1000 * job.batch / alone_ms},
        "points": points,
        "fastest_workers": _best(points, "examples_per_s", -1),
        "greenest_workers": _best(points, "energy_per_example_j", 1),
        "assumptions": list(job.device.assumptions),
        "sources": dict(job.device.sources),
        "reasons": _reasons(job),
    }


def _reasons(job: Job) -> dict[str, str]:
    """Return why figures are missing or not what they seem."""
    reasons = {}
    if not job.device.power_known:
        reasons["power"] = (
            f"power and energy are not known: device '{job.device.name}' states neither "
            "'tdp_w' nor 'static_w'"
        )
    splits = any(layer.type == PARALLEL_TYPE for layer in job.network.layers)
    if job.settings.parallel == "hybrid" and not splits:
        reasons["splits"] = (
            f"'{job.network.name}' holds no ModelParallel: hybrid is data parallel here"
        )
    return reasons


def _links(fabric: Fabric) -> dict[str, Any]:
    inner = fabric.inner_link or fabric.link
    return {
        "between_nodes": dataclasses.asdict(fabric.link) | {"sources": dict(fabric.link.sources)},
        "within_a_node": dataclasses.asdict(inner) | {"sources": dict(inner.sources)},
        "workers_per_node": fabric.workers_per_node,
    }


def _best(points: Sequence[dict[str, Any]], key: str, sign: int) -> int | None:
    """Return the workers of the point where a figure is best; among equals the fewest."""
    known = [point for point in points if point[key] is not None]
    best = min(known, key=lambda p: (sign * p[key], p["workers"]), default=None)
    return None if best is None else best["workers"]


def step_of(job: Job, workers: int, batch: int) -> Step:
    """Return one training step of a job's plan, without the all-reduce.

    Args:
      job: What is trained on what.
      workers: Number of workers.
      batch: Batch of one worker; in a model-parallel plan, of all.
    """
    plan, fabric = job.settings.parallel, job.fabric
    splits = workers if job.settings.splits == "workers" else None
    if plan == "data":
        splits = 1 if job.compat is None else None
    expanded = parallel.expand(job.network, splits=splits, compat=job.compat)
    found = replica.cost(expanded, job.device, job.costs, batch)
    if job.compat is None:
        return plans.PLANS[plan](found, fabric, workers)
    if plan == "data":
        return Step((paleo_parallel.data(found, fabric),), *plans.busy(found, workers))
    if plan == "model":
        lower, _ = paleo_parallel.model(found, expanded.network, fabric)
        return Step((lower,), *plans.busy(found, 1))
    parts = paleo_parallel.hybrid(found, expanded.network, fabric, workers)
    return Step(parts, *plans.busy(found, workers, found.rows(split=True)))


def _point(job: Job, workers: int, alone_rate: float) -> dict[str, Any]:
    """Return the figures of one number of workers.

    Args:
      job: What is trained on what.
      workers: Number of workers.
      alone_rate: Examples per ms of one device alone.
    """
    weak = job.settings.scaling == "weak"
    total = job.batch * workers if weak else job.batch
    own = job.batch if weak else math.ceil(job.batch / workers)
    own = total if job.settings.parallel == "model" else own
    try:
        step = step_of(job, workers, own)
    except SpecError as error:
        raise SpecError(f"with {workers} workers: {error}") from None
    reduced = _all_reduce(job, sum(part.gradient_bytes for part in step.parts), workers)
    synchronise = reduced[communication.get(job.settings.scheme).name] or 0.0
    forward = sum(part.forward_ms for part in step.parts)
    backward = sum(part.backward_ms for part in step.parts)
    update = sum(part.update_ms for part in step.parts)
    time = forward + backward + update + synchronise
    figures = {
        "workers": workers,
        "batch_size": total,
        "worker_batch_size": own,
        "parts": [part._asdict() for part in step.parts],
        "forward_ms": forward,
        "backward_ms": backward,
        "update_ms": update,
        "all_reduce_ms": reduced,
        "synchronise_ms": synchronise,
        "iteration_ms": time,
        "examples_per_s": 1000 * total / time,
        "speedup": total / time / alone_rate,
        "efficiency": total / time / alone_rate / workers,
    }
    energy = _energy(job, step, workers, time)
    return figures | energy | _per_example(energy["energy_j"], time, total, job.settings.examples)


def _all_reduce(job: Job, size: float, workers: int) -> dict[str, float | None]:
    """Return the time of every scheme [ms]; None where one does not suit the workers."""
    found: dict[str, float | None] = {}
    for name in communication.names():
        try:
            used = size > 0
            found[name] = (
                communication.all_reduce_time(name, size, job.fabric, workers) if used else 0.0
            )
        except ValueError:
            if name == communication.get(job.settings.scheme).name:
                raise
            found[name] = None
    return found


def _energy(job: Job, step: Step, workers: int, time: float) -> dict[str, float | None]:
    """Return the energy and power of the whole cluster in one step; None where not known."""
    device = job.device
    # The original's hybrid plan subtracts more than it sends; waiting is never below zero.
    waiting_ms = max(workers * time - step.busy_ms, 0.0)
    host_j = job.settings.host_w * job.fabric.nodes(workers) * time / 1000
    found: dict[str, float | None] = {"waiting_share": waiting_ms / (workers * time)}
    if not device.power_known:
        unknown = ("busy_j", "waiting_j", "host_j", "energy_j", "power_w")
        return found | dict.fromkeys(unknown)
    waiting_j = device.static_w * waiting_ms / 1000
    energy = step.busy_j + waiting_j + host_j
    return found | {
        "busy_j": step.busy_j,
        "waiting_j": waiting_j,
        "host_j": host_j,
        "energy_j": energy,
        "power_w": 1000 * energy / time,
    }


def _per_example(
    energy: float | None, time: float, batch: int, examples: int | None
) -> dict[str, float | int | None]:
    """Return the figures of an example and of an epoch; None where not asked for or not known."""
    found: dict[str, float | int | None] = {
        "energy_per_example_j": None if energy is None else energy / batch
    }
    if examples is None:
        return found | dict.fromkeys(("epoch_iterations", "epoch_s", "epoch_j"))
    iterations = math.ceil(examples / batch)
    return found | {
        "epoch_iterations": iterations,
        "epoch_s": iterations * time / 1000,
        "epoch_j": None if energy is None else iterations * energy,
    }
