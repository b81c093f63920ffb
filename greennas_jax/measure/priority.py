"""A busy machine's cores, taken for the moments in which something is timed."""

import contextlib
import os
from collections.abc import Iterator

# Of real-time priorities the lowest: it goes before every ordinary process, and before no other.
LOWEST = 1


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Let all threads of this process go before ordinary processes, then give that back.

    Raises:
      OSError: If the system does not allow it (on Linux root may, or CAP_SYS_NICE).
    """
    if not hasattr(os, "SCHED_FIFO"):
        raise OSError("this system has no priority to raise; leave --priority at normal")
    ordinary = os.sched_param(0)
    try:
        for thread in _threads():
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(LOWEST))
        yield
    finally:
        # Threads that were started meanwhile have inherited the priority.
        for thread in _threads():
            # A thread may have ended meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, ordinary)


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]
