"""Registry of search spaces by name: what a search of a table, or a fork, may be asked to search.

A space that is written down string by string needs a function and a list of positions alone: see
`spaces.listed`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from greennas_jax.spaces import nasbench201
from greennas_jax.spaces.factors import Factors


class Entry(NamedTuple):
    """A registered space.

    Attributes:
      name: Its name.
      make: Returns the space: the contract of `spaces.space`, and `parse`, `text`, `every` and
        `connected` for tables.
      tabulated: (name, unit, tokens [N, T], costs [N]) -> known costs of all networks as tables.
      counted: (space, name) -> multiply-adds of all networks as tables, under a name.
    """

    name: str
    make: Callable[[], Any]
    tabulated: Callable[[str, str, np.ndarray, np.ndarray], Factors]
    counted: Callable[[Any, str], Factors]


_SPACES: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    """Add a space to the registry and return it.

    Raises:
      ValueError: If the name is taken.
    """
    if entry.name in _SPACES:
        raise ValueError(f"space '{entry.name}' is already registered")
    _SPACES[entry.name] = entry
    return entry


def names() -> tuple[str, ...]:
    """Return the names of all spaces, in the order they were registered.

    Examples:
      >>> "nasbench201" in names()
      True
    """
    return tuple(_SPACES)


def get(name: str) -> Entry:
    """Return a space.

    Raises:
      ValueError: If no space has the name; the known ones are listed.
    """
    if name not in _SPACES:
        raise ValueError(f"space is {name!r}; allowed: {', '.join(_SPACES)}")
    return _SPACES[name]


register(
    Entry("nasbench201", nasbench201.CellSpace, nasbench201.tabulated, nasbench201.operation_counts)
)
