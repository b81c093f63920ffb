"""The processes of one run: who is first, and how they come to hold the same.

All of them run the same program on the same input. The first one alone claims the workdir, writes
and prints; what it knows from files, and what it decides, it tells the others. Words go through
JAX's coordination service, which waits as long as it must; the arrays of computations do not.
"""

import hashlib
import itertools
import json
from collections.abc import Callable
from typing import Any

import jax

# Largest piece of a message: the service is made for short ones.
PIECE = 2**20
# JAX has no wait without an end; a process that died ends all waits [ms].
_LONG = 10 * 24 * 3600 * 1000
_DONE, _FAILED = b"=", b"!"
_numbers = itertools.count()


class TeamError(ValueError):
    """The processes of a run do not agree; the message says in what."""


def size() -> int:
    """Return how many processes the run has."""
    return jax.process_count()


def is_first() -> bool:
    """Return whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def _client() -> Any:
    """Return the connection to the coordination service.

    JAX offers what it can do under no public name; `orbax` uses it in the same way.
    """
    from jax._src import distributed

    return distributed.global_state.client


def meet() -> None:
    """Wait until every process of the run has come here."""
    if size() > 1:
        _client().wait_at_barrier(f"greennas/{next(_numbers)}", _LONG)


def told(data: bytes) -> bytes:
    """Return what the first process says, in every process; what the others say is not heard."""
    if size() == 1:
        return data
    name = f"greennas/{next(_numbers)}"
    if is_first():
        _say(name, data)
        return data
    return _hear(name)


def told_by_all(data: bytes) -> list[bytes]:
    """Return what every process says, in their order."""
    if size() == 1:
        return [data]
    name = f"greennas/{next(_numbers)}"
    _say(f"{name}/{jax.process_index()}", data)
    return [_hear(f"{name}/{process}") for process in range(size())]


def _say(name: str, data: bytes) -> None:
    starts = range(0, len(data), PIECE)
    for number, start in enumerate(starts):
        _client().key_value_set_bytes(f"{name}/{number}", data[start : start + PIECE])
    _client().key_value_set(f"{name}/pieces", str(len(starts)))


def _hear(name: str) -> bytes:
    count = int(_client().blocking_key_value_get(f"{name}/pieces", _LONG))
    pieces = [_client().blocking_key_value_get_bytes(f"{name}/{i}", _LONG) for i in range(count)]
    return b"".join(pieces)


def by_first(work: Callable[[], bytes]) -> bytes:
    """Return what work gives that the first process alone does, in every process.

    Raises:
      ValueError: In every process, if the work raises one, or an OSError, in the first.
    """
    if not is_first():
        words = told(b"")
        if words[:1] == _FAILED:
            raise ValueError(words[1:].decode())
        return words[1:]
    try:
        found = work()
    except (ValueError, OSError) as error:
        told(_FAILED + str(error).encode())
        raise
    told(_DONE + found)
    return found


def agree(what: str, value: Any) -> None:
    """Require that every process was given the same.

    Args:
      what: What it is, for the message.
      value: Any JSON value.

    Raises:
      TeamError: In every process, if a value is another one than the first process's.
    """
    own = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    found = told_by_all(own)
    others = [process for process, one in enumerate(found) if one != found[0]]
    if others:
        raise TeamError(
            f"{what} of process {others[0]} differs from that of process 0; all processes of a run "
            "need the same flags and files"
        )
