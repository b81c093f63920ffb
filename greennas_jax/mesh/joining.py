"""How a process becomes one of a team, and how it leaves it: in good order, or because it must."""

import dataclasses
import os
import re
import subprocess
import sys
from typing import Any

from greennas_jax.mesh import team, watchdog

# A process is given up after this long without a sign of life, and told of at once [s]; the check
# itself comes every few seconds, so that the others have stopped within a minute.
PATIENCE = 20
# How long processes wait for one another at the beginning [s].
ARRIVAL = 300
_ADDRESS = re.compile(r"(?P<host>\S+):(?P<port>\d{1,5})")
_LARGEST_PORT = 65535


class JoiningError(ValueError):
    """A process cannot join the team that it was named."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Which process of which team this one is.

    Attributes:
      coordinator: HOST:PORT of process 0, where it listens and the others can reach it.
      processes: How many there are.
      process: Number of this one, from 0.
    """

    coordinator: str
    processes: int
    process: int

    def __post_init__(self):
        found = _ADDRESS.fullmatch(self.coordinator)
        if found is None or not 0 < int(found["port"]) <= _LARGEST_PORT:
            raise JoiningError(
                f"--coordinator is '{self.coordinator}'; HOST:PORT needed, a port from 1 to "
                f"{_LARGEST_PORT}"
            )
        if self.processes < 1:
            raise JoiningError(f"--num_processes is {self.processes}; from 1 allowed")
        if not 0 <= self.process < self.processes:
            raise JoiningError(
                f"--process_id is {self.process}; of {self.processes} processes allowed: 0 to "
                f"{self.processes - 1}"
            )


def place(coordinator: str | None, processes: int | None, process: int | None) -> Place | None:
    """Return the place that three flags name, None where they name none.

    Raises:
      JoiningError: If some of them are missing or name no place.
    """
    given = {"--coordinator": coordinator, "--num_processes": processes, "--process_id": process}
    missing = [name for name, value in given.items() if value is None]
    if coordinator is None or processes is None or process is None:
        if len(missing) < len(given):
            raise JoiningError(
                f"{' and '.join(missing)} missing; a run of several processes needs --coordinator, "
                "--num_processes and --process_id together"
            )
        return None
    return Place(coordinator=coordinator, processes=processes, process=process)


class Membership:
    """What a process has while it is one of a team: its watchdog, and where its words go."""

    def __init__(self, where: Place):
        """Have the watchdog listen; what Python prints goes on as ever.

        Args:
          where: The place.
        """
        self._where = where
        self._watched = _watched()

    def join(self) -> None:
        """Wait for the others; nothing of JAX may have been used before.

        Raises:
          JoiningError: If they do not come, or the address cannot be used.
        """
        import jax

        where = self._where
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # It would take SIGTERM for itself.
        jax.config.update("jax_enable_preemption_service", False)
        try:
            jax.distributed.initialize(
                where.coordinator,
                where.processes,
                where.process,
                initialization_timeout=ARRIVAL,
                heartbeat_timeout_seconds=PATIENCE,
                # Nobody else may know better.
                cluster_detection_method="deactivate",
            )
        except RuntimeError as error:
            raise JoiningError(
                f"process {where.process} of {where.processes} cannot join at {where.coordinator}: "
                f"{_first_line(error)}"
            ) from None

    def will_leave(self, scratch: str) -> None:
        """Have a folder removed if this process cannot do it in the end."""
        self._tell(f"{watchdog.SCRATCH}{scratch}\n")

    def leave(self) -> None:
        """Leave together with all others, once everybody is done."""
        import jax

        team.meet()
        self._well()
        jax.distributed.shutdown()

    def end(self, status: int) -> None:
        """End this process at once, all having been said; the others will notice."""
        self._well()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def give_up(self, error: BaseException, status: int) -> None:
        """End this process because it cannot go on with the others, and have it said why."""
        where = f"process {self._where.process} of {self._where.processes} cannot go on"
        self._tell(f"{watchdog.WHY}{where} ({_first_line(error)})\n")
        sys.stdout.flush()
        os._exit(status)

    def _well(self) -> None:
        self._tell(watchdog.WELL)

    def _tell(self, line: str) -> None:
        # The runtime may have stopped in the middle of a line.
        os.write(self._watched, f"\n{line}".encode())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _watched() -> int:
    """Start the watchdog and have the runtime's messages go to it; return its end of the pipe.

    What Python prints goes where it always went.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    command = [sys.executable, "-I", os.path.abspath(watchdog.__file__)]
    subprocess.Popen(command, stdin=reader, stdout=subprocess.DEVNULL, start_new_session=True)
    os.close(reader)
    sys.stdout, sys.stderr = _moved(sys.stdout), _moved(sys.stderr)
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    return writer


def _moved(stream: Any) -> Any:
    """Return a stream of Python on another handle of the same file."""
    handle = os.dup(stream.fileno())
    return open(handle, "w", encoding=stream.encoding, errors=stream.errors, buffering=1)
