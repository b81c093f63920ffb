"""Text and records read from files within limits, every refusal one line that names the file."""

import hashlib
import json
import math
import os
from typing import Any

from greennas_jax.spec import limits, strict_json
from greennas_jax.spec.network import SpecError

Path = str | os.PathLike[str]
_DIGEST = "sha256"


class FileError(ValueError):
    """A file is not what it should be; the message says which, where and what is allowed."""


def read(path: Path, most: int = limits.LARGEST_TABLE) -> str:
    """Return the UTF-8 text of a file.

    Args:
      path: The file.
      most: Most bytes that are read.

    Raises:
      FileError: If it is larger, or no such text.
      OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise FileError(f"{os.fspath(path)}: larger than {most} bytes, the most that is read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{os.fspath(path)}: byte {error.start} is not UTF-8 text") from None


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises:
      FileError: If it is no JSON within the limits.
      OSError: If it cannot be read.
    """
    try:
        return strict_json.parse(read(path, limits.LARGEST_JSON))
    except SpecError as error:
        raise FileError(f"{os.fspath(path)}: {error}") from None


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the digest by which `read_record` knows it."""
    return {**value, _DIGEST: _digest(value)}


def read_record(path: Path) -> dict[str, Any]:
    """Return a record that a run wrote with `sealed` and nobody has changed since.

    Raises:
      FileError: If it is another's, or was changed or cut off.
      OSError: If it cannot be read.
    """
    value = read_json(path)
    if isinstance(value, dict) and value.pop(_DIGEST, None) == _digest(value):
        return value
    raise FileError(
        f"{os.fspath(path)}: changed since the run wrote it; put it back, or remove it and what "
        "it records is done again"
    )


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def number(value: Any, where: str) -> float:
    """Return a finite number of a file.

    Raises:
      FileError: If it is none; booleans and whole numbers beyond a float are none.
    """
    try:
        found = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise FileError(f"{where}: a finite number needed")
    return found
