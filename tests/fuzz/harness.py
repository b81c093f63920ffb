"""Judges what became of one hostile input: accepted, refused in one clear line, or a fault."""

import contextlib
import dis
import io
import os
import pathlib
import resource
import signal
import sys
import time
import traceback
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of computing: what others do on the machine does not count.
MOST_SECONDS = 10.0
MOST_BYTES = 2**30
LONGEST_LINE = 2000
ACCEPTED, REFUSED = "accepted", "refused"


class TooSlowError(BaseException):
    """An input took longer than MOST_SECONDS of computing."""


def _too_slow(number, frame):
    raise TooSlowError


def _used() -> int:
    """Return the most memory that this process has held [bytes]."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _is_raised(traced) -> bool:
    """Return whether an exception comes from a raise statement of the project."""
    while traced.tb_next is not None:
        traced = traced.tb_next
    code = traced.tb_frame.f_code
    ours = pathlib.Path(code.co_filename).is_relative_to(ROOT)
    steps = {step.offset: step.opname for step in dis.get_instructions(code)}
    return ours and steps.get(traced.tb_lasti, "") in ("RAISE_VARARGS", "RERAISE")


def _of_system(error) -> bool:
    """Return whether the system refused a file, with its name, which programs tell in one line."""
    return isinstance(error, OSError) and error.filename is not None


def _fault(error) -> str | None:
    """Return why an exception is no refusal in one clear line; None where it is one."""
    line = " ".join(str(error).split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{pathlib.Path(last.filename).name}:{last.lineno} {last.name}"
    told = f"{type(error).__name__}: {line[:160]} ({where})"
    if _of_system(error):
        return None
    if not isinstance(error, ValueError):
        return told
    if not _is_raised(error.__traceback__):
        return f"not raised here: {told}"
    if not line or len(line) > LONGEST_LINE or not line.isprintable():
        return f"no clear line: {told}"
    return None


def judge(read, data) -> str:
    """Return ACCEPTED, REFUSED or what is at fault.

    Args:
      read: Reads the input; whatever it returns is good.
      data: The input.
    """
    before, begun = _used(), time.process_time()
    previous = signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            # Deprecations of libraries among each other are not of the input's making.
            warnings.simplefilter("ignore", DeprecationWarning)
            read(data)
        found = ACCEPTED
    except TooSlowError:
        frames = traceback.extract_stack()
        return f"slow: more than {MOST_SECONDS} s ({frames[-1].name})"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        fault = _fault(error)
        found = REFUSED if fault is None else fault
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
    if _used() - before > MOST_BYTES:
        return f"large: {(_used() - before) / 2**20:.0f} MiB in {time.process_time() - begun:.1f} s"
    return found


def guarded(fraction: float = 1.0) -> None:
    """Keep this process from taking the whole machine's memory."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    held = pages * os.sysconf("SC_PAGE_SIZE")
    most = held + int((3 * 2**30) * fraction)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    sys.setrecursionlimit(1000)
