"""One process at a time: a lock on a file that the system takes back when its holder ends."""

import errno
import os
import socket

try:
    import fcntl
except ImportError:  # Windows has no such locks; there nothing is refused.
    fcntl = None

# Open files of the locks that this process holds, by path; closing one gives it back.
_held: dict[str, int] = {}
_BUSY = (errno.EACCES, errno.EAGAIN)
_LONGEST_HOLDER = 200


class BusyError(ValueError):
    """Another process works where this one wants to; the message says which."""


def hold(path: str | os.PathLike[str], what: str) -> None:
    """Hold a lock until this process ends or gives it back; holding it already is well.

    The lock of a process that was killed is nobody's, whatever the file says.

    Args:
      path: File of the lock; created where missing.
      what: What is locked, for the message.

    Raises:
      BusyError: If another process holds it.
      OSError: If the file cannot be opened.
    """
    key = os.path.realpath(path)
    if key in _held or fcntl is None:
        return
    handle = os.open(key, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(handle, _LONGEST_HOLDER).decode("utf-8", "replace")
        os.close(handle)
        if error.errno not in _BUSY:
            raise OSError(error.errno, error.strerror, key) from None
        told = f" ({' '.join(holder.split())})" if holder.strip() else ""
        raise BusyError(
            f"{what}: another process is at work there{told}; wait for it, or choose another place"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    _held[key] = handle


def give_back(path: str | os.PathLike[str]) -> None:
    """Give a lock back that this process holds; otherwise do nothing."""
    handle = _held.pop(os.path.realpath(path), None)
    if handle is not None:
        os.close(handle)
