"""Time of moving tensors between devices: single transfers and all-reduce schemes.

A message of n bytes takes alpha + n / beta. The time of adding up what arrives is not counted, and
a device sends and receives at once. The schemes are a registry: one function `(size, fabric,
workers) -> ms` each.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

from greennas_jax.costs.links import Link

GIGABIT = 10**9 / 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fabric:
    """How the workers of a cluster are wired.

    Attributes:
      link: Between nodes.
      inner_link: Between the workers of one node; as between nodes where not given.
      workers_per_node: Workers that share a node and its link to the others.
      share: Attainable share of the bandwidth, above 0, at most 1 (Paleo's ppp_comm).
      compat: "paleo" leaves latencies and nodes out and keeps the original's oddities.
    """

    link: Link
    inner_link: Link | None = None
    workers_per_node: int = 1
    share: float = 1.0
    compat: str | None = None

    def __post_init__(self):
        if self.workers_per_node < 1:
            raise ValueError(
                f"workers_per_node is {self.workers_per_node}; allowed: whole numbers from 1"
            )

    def nodes(self, workers: int) -> int:
        """Return the nodes that some workers fill."""
        return -(-workers // self.workers_per_node)

    def slowest(self, workers: int) -> Link:
        """Return the slowest link on a way through all of some workers."""
        if self.compat == "paleo" or self.inner_link is None or self.nodes(workers) > 1:
            return self.link
        return self.inner_link


def transfer_time(size: float, link: Link, fabric: Fabric) -> float:
    """Return the time of one message, alpha + n / beta [ms].

    Args:
      size: Bytes.
      link: The link that it takes.
      fabric: Its share of the bandwidth counts; under compatibility there is no latency.
    """
    latency = 0.0 if fabric.compat == "paleo" else link.latency_us / 1000
    return latency + size / (link.bandwidth_gbits * GIGABIT) * 1000 / fabric.share


SchemeFunction = Callable[[float, Fabric, int], float]


class Scheme(NamedTuple):
    """A way to give every worker the sum of all workers' gradients.

    Attributes:
      name: Its name.
      function: `(bytes, fabric, workers) -> ms`, called for two workers and more.
      description: What is done, and who described it.
      paleo_name: The name that Paleo gives it, empty where it has none.
    """

    name: str
    function: SchemeFunction
    description: str
    paleo_name: str = ""


_SCHEMES: dict[str, Scheme] = {}


def register(scheme: Scheme) -> Scheme:
    """Add a scheme to the registry and return it.

    Raises:
      ValueError: If the name is taken.
    """
    if scheme.name in _SCHEMES:
        raise ValueError(f"all-reduce scheme '{scheme.name}' is already registered")
    _SCHEMES[scheme.name] = scheme
    return scheme


def names() -> tuple[str, ...]:
    """Return the names of all schemes, in the order they were registered."""
    return tuple(_SCHEMES)


def get(name: str) -> Scheme:
    """Return a scheme by its name or by Paleo's.

    Raises:
      ValueError: If no scheme has the name; the known ones are listed.
    """
    for scheme in _SCHEMES.values():
        if name in (scheme.name, scheme.paleo_name):
            return scheme
    raise ValueError(f"all-reduce scheme '{name}' is not known; allowed: {', '.join(_SCHEMES)}")


def all_reduce_time(name: str, size: float, fabric: Fabric, workers: int) -> float:
    """Return the time of an all-reduce [ms]; nothing for one worker, but for Paleo's mixing.

    Args:
      name: A scheme of the registry.
      size: Bytes that every worker holds.
      fabric: How the workers are wired.
      workers: Number of workers, from 1.

    Raises:
      ValueError: If the scheme is not known or the workers do not fill its nodes.
    """
    scheme = get(name)
    if workers == 1 and not (fabric.compat == "paleo" and scheme.function is _butterfly_mixing):
        return 0.0
    return scheme.function(size, fabric, workers)


def tree_height(workers: int, compat: str | None = None) -> int:
    """Return ceil(log2 workers); Paleo's is one too many at 2^29, 2^31, 2^39."""
    if compat == "paleo":
        return math.ceil(math.log(workers) / math.log(2))
    return (workers - 1).bit_length()


def _one_to_all(size: float, fabric: Fabric, workers: int) -> float:
    link = fabric.slowest(workers)
    if fabric.compat == "paleo":
        return 2 * transfer_time(size * (workers - 1), link, fabric)
    return 2 * (workers - 1) * transfer_time(size, link, fabric)


def _tree(size: float, fabric: Fabric, workers: int) -> float:
    height = tree_height(workers, fabric.compat)
    return 2 * height * transfer_time(size, fabric.slowest(workers), fabric)


def _butterfly(size: float, fabric: Fabric, workers: int) -> float:
    height = tree_height(workers, fabric.compat)
    return height * transfer_time(size, fabric.slowest(workers), fabric)


def _butterfly_mixing(size: float, fabric: Fabric, workers: int) -> float:
    return transfer_time(size, fabric.slowest(workers), fabric)


def _ring(size: float, fabric: Fabric, workers: int) -> float:
    return _ring_over(size, fabric.slowest(workers), fabric, workers)


def _ring_over(size: float, link: Link, fabric: Fabric, members: int) -> float:
    return 2 * (members - 1) * transfer_time(size / members, link, fabric)


def _halving_doubling(size: float, fabric: Fabric, workers: int) -> float:
    link, steps = fabric.slowest(workers), workers.bit_length() - 1
    # Rounds of half, a quarter, ... of the size, down and up again.
    inner = sum(2 * transfer_time(size / 2**i, link, fabric) for i in range(1, steps + 1))
    spare = workers - 2**steps
    return inner + (2 * transfer_time(size, link, fabric) if spare else 0.0)


def _hierarchical(size: float, fabric: Fabric, workers: int) -> float:
    local = min(workers, fabric.workers_per_node)
    if workers % local:
        raise ValueError(
            f"{workers} workers do not fill nodes of {fabric.workers_per_node}; a hierarchical "
            f"all-reduce needs a multiple of {fabric.workers_per_node}, or fewer"
        )
    within = _ring_over(size, fabric.inner_link or fabric.link, fabric, local)
    return within + _ring_over(size, fabric.link, fabric, workers // local)


register(
    Scheme(
        "one_to_all",
        _one_to_all,
        "all send to one, which answers each: 2 (n-1) (alpha + S/beta)",
        "OneToAll",
    )
)
register(
    Scheme(
        "tree",
        _tree,
        "reduction up a binary tree, broadcast down: 2 ceil(log2 n) (alpha + S/beta)",
        "TreeAllReduce",
    )
)
register(
    Scheme(
        "butterfly",
        _butterfly,
        "recursive doubling (Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005): "
        "ceil(log2 n) (alpha + S/beta)",
        "ButterflyAllReduce",
    )
)
register(
    Scheme(
        "butterfly_mixing",
        _butterfly_mixing,
        "one round of a butterfly a step, so no full sum (Zhao, Canny, SDM 2013): alpha + S/beta",
        "ButterflyMixing",
    )
)
register(
    Scheme(
        "ring",
        _ring,
        "reduce-scatter and all-gather around a ring (Patarasuk, Yuan, JPDC 69(2), 2009): "
        "2 (n-1) (alpha + S/n/beta)",
    )
)
register(
    Scheme(
        "halving_doubling",
        _halving_doubling,
        "reduce-scatter by halves, all-gather by doubles (Thakur, Rabenseifner, Gropp, IJHPCA "
        "19(1), 2005): 2 log2(n) alpha + 2 (n-1)/n S/beta; workers beyond a power of two hand "
        "over all first and are told the sum last: 2 (alpha + S/beta) more",
    )
)
register(
    Scheme(
        "hierarchical",
        _hierarchical,
        "a ring within each of m nodes of k, and rings between nodes that share a node's link "
        "(as in Mikami et al., arXiv 1811.05233): "
        "2 (k-1) (alpha + S/k/beta within) + 2 (m-1) (alpha + S/m/beta between)",
    )
)
