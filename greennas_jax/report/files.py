"""Files that are written whole or not at all."""

import contextlib
import json
import os
import pathlib
import tempfile
from typing import Any


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: readers see the old content or the new, never a part.

    Raises:
      OSError: If the file cannot be written; whatever stood there before still does.
    """
    target = pathlib.Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _permissions(target))
        os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            # The caller knows the target, not the temporary file beside it.
            raise OSError(error.errno, error.strerror, os.fspath(target)) from None
        raise


def append_text(path: str | os.PathLike[str], text: str) -> None:
    """Add whole lines to a UTF-8 file and see them on the disk.

    Raises:
      OSError: If they cannot be written; a part of them may stand there, without its end.
    """
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def _permissions(target: pathlib.Path) -> int:
    """Return the mode that a plainly written file would have; mkstemp gives 0o600."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON atomically, numbers in full precision.

    Raises:
      ValueError: If the value holds NaN, an infinity, or something that JSON has no form for.
      OSError: If the file cannot be written.
    """
    try:
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: not writable as JSON ({error})") from None
    write_text(path, text + "\n")
