"""A small process beside each one of a team: it says in one line why its own one ended.

Where another process dies, JAX's runtime aborts this one from a thread of its own, with pages of
messages that name everything but what to do. The runtime's messages therefore go to this program,
which Python runs as a file and which imports nothing of the package; at the end it prints one line
in their place, unless it was told that all is well.
"""

import re
import shutil
import signal
import sys

# What the program itself says; everything else is the runtime's.
WELL = "\0well\n"
WHY = "\0why "
SCRATCH = "\0scratch "
_LATELY = 400
_LOST = re.compile(r"unhealthy \(stopped sending heartbeats\):\n(\d+)|Task (\d+) heartbeat")
_FATAL = re.compile(r"^F\d{4} .*?\] (.+)$", re.MULTILINE)
_FIRST = re.compile(r"leader task|Failed to send RPC to coordination service")
_GOES_ON = (
    "; start all of them again, as many as you like, and the run goes on from its last checkpoint"
)


def reason(said: str) -> str:
    """Return why a process ended, in a few words, from what its runtime said."""
    lost = _LOST.findall(said)
    if lost:
        return f"process {''.join(lost[-1])} of the run has stopped"
    if _FIRST.search(said):
        return "process 0 of the run has stopped"
    fatal = _FATAL.findall(said)
    return f"the runtime ended this process ({fatal[-1][:200]})" if fatal else ""


def line(own: str, said: str) -> str:
    """Return the line to print, or nothing if all is well.

    Args:
      own: What the program said of its end; empty where it had no time to.
      said: What the runtime said.
    """
    # The end of the other one may have come to the program before the runtime wrote of it.
    found = reason(f"{said}\n{own}")
    if own and not found.startswith("process"):
        found = own
    return f"error: {found or 'this process was ended from outside'}{_GOES_ON}"


def told(text: str) -> str:
    """Return what stands behind the mark of a line of the program's own."""
    return text.partition(" ")[2].strip()


def main() -> None:
    """Listen until the process beside ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kept: list[str] = []
    scratch: list[str] = []
    own = ""
    for text in sys.stdin:
        if text == WELL:
            return
        if text.startswith(WHY):
            own = told(text)
        elif text.startswith(SCRATCH):
            scratch.append(told(text))
        else:
            kept = [*kept[-_LATELY:], text]
    for folder in scratch:
        shutil.rmtree(folder, ignore_errors=True)
    print(line(own, "".join(kept)), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
