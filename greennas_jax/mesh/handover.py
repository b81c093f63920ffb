"""The workdir of a run of several processes: the first one's alone, copied to the others' scratch.

The others work in folders of their own that end with them. What the first one finds in its workdir
from an earlier start they are given, so that all go on from the same place, whether or not they see
its disk; what is written afterwards is the same in all of them, and only the first one's stays.
"""

import io
import pathlib
import zipfile
from collections.abc import Callable, Sequence

from greennas_jax.mesh import team

# Marks which process is at work; it is nobody else's.
_LOCK = "lock"


def workdir(
    claim: Callable[[], pathlib.Path], kept: Sequence[str], scratch: pathlib.Path
) -> pathlib.Path:
    """Return the folder that this process works in.

    Args:
      claim: Claims the workdir; called in the first process alone.
      kept: Files and folders in it that an earlier start may have left.
      scratch: An empty folder for a process that is not the first.

    Raises:
      ValueError: In every process, if the workdir cannot be claimed.
    """
    if team.size() == 1:
        return claim()
    found: list[pathlib.Path] = []

    def claimed() -> bytes:
        found.append(claim())
        return _packed(found[0], kept)

    packed = team.by_first(claimed)
    if found:
        return found[0]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(scratch)
    return scratch


def _packed(folder: pathlib.Path, kept: Sequence[str]) -> bytes:
    """Return the files of some parts of a folder as one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in kept:
            start = folder / name
            for path in [start, *sorted(start.rglob("*"))]:
                if path.is_dir() or (path.is_file() and path.name != _LOCK):
                    archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()
