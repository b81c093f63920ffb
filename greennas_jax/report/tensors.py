"""Named arrays in one safetensors file."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from greennas_jax.report import files
from greennas_jax.spec.network import shown

Path = str | os.PathLike[str]


class TensorsError(ValueError):
    """A file holds no arrays that can be read."""


def write(path: Path, arrays: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
    """Write arrays, and notes beside them, as a file that appears when it is whole.

    Raises:
      OSError: If it cannot be written.
    """
    # Only who reads or writes arrays waits for it.
    import safetensors.numpy

    held = {name: np.asarray(value) for name, value in arrays.items()}
    files.write_bytes(path, safetensors.numpy.save(held, dict(notes) if notes else None))


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a file, in order of their names, and its notes.

    Raises:
      TensorsError: If it is no safetensors file, is damaged, or states a number format that NumPy
        has no name for.
      OSError: If it cannot be opened.
    """
    import safetensors

    # Whatever keeps it from being opened is told with its name.
    with open(path, "rb"):
        pass
    unreadable = safetensors.SafetensorError, AttributeError, LookupError, ValueError, TypeError
    try:
        with safetensors.safe_open(path, framework="numpy") as held:
            found = {name: held.get_tensor(name) for name in sorted(held.keys())}
            return found, held.metadata() or {}
    except unreadable as error:
        raise TensorsError(shown(" ".join(str(error).split()))) from None
