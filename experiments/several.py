"""One run on many processes and hosts: its flags, and what is around the work."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

import command_line
from absl import flags

if TYPE_CHECKING:
    from greennas_jax.mesh import joining

_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, for a run of several processes: all are started with the same flags "
    "but --process_id.",
)
_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes the run has.")
_PROCESS = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0; process 0 alone writes and prints."
)
# "Try again": what is done so far is kept (sysexits.h).
STOPPED = os.EX_TEMPFAIL
_SCRATCH = "greennas_"


def check() -> None:
    """Raise ValueError unless the flags name a place in a team, or none."""
    from greennas_jax.mesh import joining

    joining.place(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def refuse(why: str) -> None:
    """Raise ValueError if one of the flags is given to a program that has no use for it."""
    for flag in (_COORDINATOR, _PROCESSES, _PROCESS):
        if flag.value is not None:
            raise ValueError(f"--{flag.name} makes no sense here: {why}")


@contextlib.contextmanager
def team() -> Iterator[pathlib.Path]:
    """Join the run's other processes, and leave them when the work is done.

    Whatever ends the work early ends this process without waiting for the others, which notice.

    Yields:
      A folder for what a process that is not the first writes; it ends with the work.
    """
    from greennas_jax.mesh import joining

    where = joining.place(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    if where is None or where.processes == 1:
        with tempfile.TemporaryDirectory(prefix=_SCRATCH) as folder:
            yield pathlib.Path(folder)
        return
    membership = _joined(where)
    scratch = tempfile.mkdtemp(prefix=_SCRATCH)
    membership.will_leave(scratch)
    try:
        yield pathlib.Path(scratch)
        membership.leave()
    except BaseException as error:
        shutil.rmtree(scratch, ignore_errors=True)
        _end(membership, error)
    shutil.rmtree(scratch, ignore_errors=True)


def _joined(where: joining.Place) -> joining.Membership:
    """Join; whoever cannot ends here, the others being none of its concern."""
    from greennas_jax.mesh import joining

    membership = joining.Membership(where)
    try:
        membership.join()
    except ValueError as error:
        command_line.say(error)
        membership.end(command_line.BAD_INPUT)
    return membership


def _end(membership: joining.Membership, error: BaseException) -> None:
    """End this process with the line that an error deserves."""
    import jax

    if isinstance(error, ValueError | OSError):
        command_line.say(error)
        membership.end(command_line.BAD_INPUT)
    if isinstance(error, jax.errors.JaxRuntimeError):
        membership.give_up(error, STOPPED)
    if isinstance(error, KeyboardInterrupt):
        command_line.say_interrupted()
        membership.end(command_line.INTERRUPTED)
    traceback.print_exception(error)
    membership.end(1)
