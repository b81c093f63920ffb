"""The suites by name, what each is told, and what all of them report.

A suite is a module beside this one with `run(options) -> figures`, named like the suite; it is
imported when it is asked for, so that others may need packages that are not installed.
"""

import dataclasses
import importlib
import importlib.metadata
import platform
import statistics
from collections.abc import Sequence
from typing import Any

from greennas_jax.report import telling

SCHEMA = "greennas.benchmark/1"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")

# Name -> what is measured.
SUITES = {
    "children": "trainings per minute in one masked template, and at true shapes",
    "costs": "architectures costed per second from a space's tables, and one after the other",
    "exact": "cheapest strings and fronts of cost alone, and all strings streamed",
    "energy": "measured energies of a table against what is fitted to 100 of them (--table)",
    "pool": "what cells that NAO's search evaluated teach, and their real energies (--table)",
    "proxies": "rank correlation of training-free scores with a table's accuracies (--table)",
    "nao": "training step and generation of the embedding's networks",
    "scale": "how costs' and search's time grows with layers, batch and devices",
    "startup": "seconds of help and of a profile from the start of the process",
    "search": "fronts found with few queries: the search, without its parts, baselines (--table)",
    "sharing": "rank correlation of shared weights with full training, beside one epoch of it",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a suite is told.

    Attributes:
      small: Whether to do as little as shows that it works.
      seed: Decides every random choice.
      spec: File of the given network; None for the suite's own.
      table: File of a tabular benchmark, if any.
      accuracy_column: The table's column of accuracies.
      cost_column: The table's column of energies [mJ].
      latency_column: The table's column of latencies [ms].
      cost: Whether searches know costs (`free`) or ask for them (`queried`).
      seeds: Searches of each kind.
      budget: Queries of a search.
      keep: Folder that keeps queries, so that a long run can go on, if any.
      picture: PNG file to draw, if any.
      only: Names of what is run; all if there are none.
      tell: Hears how far a long suite is.
    """

    small: bool = False
    seed: int = 0
    spec: str | None = None
    table: str | None = None
    accuracy_column: str = "cifar100_acc"
    cost_column: str = "pi5_onnx_cifar100_energy_mj"
    latency_column: str = "pi5_onnx_cifar100_latency_ms"
    cost: str = "free"
    seeds: int = 20
    budget: int = 200
    keep: str | None = None
    picture: str | None = None
    only: tuple[str, ...] = ()
    tell: telling.Listener = telling.Listener()


def names() -> list[str]:
    """Return the names of all suites."""
    return list(SUITES)


def described() -> str:
    """Return what every suite measures, as one text."""
    return "; ".join(f"{name}: {what}" for name, what in SUITES.items()) + "."


def get(name: str) -> Any:
    """Return the module of a suite."""
    return importlib.import_module(f"{__package__}.{name}")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the median of some repeats, the least and the largest, and all of them."""
    found = [float(value) for value in values]
    return {
        "median": statistics.median(found),
        "least": min(found),
        "most": max(found),
        "repeats": found,
    }


def document(suite: Any, options: Options) -> dict[str, Any]:
    """Run a suite and return what it found, with the machine and the versions.

    Args:
      suite: From `get`.
      options: What the suite is told.
    """
    from greennas_jax.measure import machine

    figures = suite.run(options)
    return {
        "schema": SCHEMA,
        "suite": suite.__name__.rsplit(".", 1)[-1],
        "small": options.small,
        "seed": options.seed,
        "machine": machine.here()._asdict(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        **figures,
    }
