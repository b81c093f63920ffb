"""What a run itself spends, in seconds and joules, kept over kills."""

import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

from greennas_jax.measure import meters
from greennas_jax.measure.meters import Meter
from greennas_jax.report import files
from greennas_jax.spec import text_files


class Spent(NamedTuple):
    """What a run has spent.

    Attributes:
      seconds: Time that its processes ran [s].
      joules: Energy [J]; None where it is neither measured nor assumed.
      provenance: "measured" or "assumed"; None where the energy is not known.
      source: The meter, the assumption, or why the energy is not known.
    """

    seconds: float
    joules: float | None
    provenance: str | None
    source: str


class Account:
    """Adds up what the processes of one run spend.

    Every `note` writes down what was spent so far; what a killed process spent after its last note
    is not known, and counts for nothing.
    """

    def __init__(
        self,
        path: pathlib.Path,
        meter: Meter,
        assumed_watts: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Go on where the file leaves off, or begin.

        Args:
          path: File of the sums.
          meter: Measures this machine's energy, or says why it does not.
          assumed_watts: Power to assume where nothing measures it [W].
          clock: Returns seconds.
        """
        self._path, self._meter, self._clock = path, meter, clock
        self._watts = assumed_watts
        self._seconds, self._joules, self._source = 0.0, 0.0, meter.source
        if path.exists():
            stored = text_files.read_record(path)
            self._seconds = float(stored["seconds"])
            self._joules, self._source = stored["joules"], stored["source"]
        self._begin()

    def _begin(self) -> None:
        self._begun = self._clock()
        self._window = meters.begin(self._meter)

    def _close(self) -> None:
        """Add what was spent since the last note, and write the sums down."""
        took = self._clock() - self._begun
        reading = meters.end(self._window, took)
        self._seconds += took
        if self._joules is not None:
            self._source = reading.source
            self._joules = None if reading.joules is None else self._joules + reading.joules
        sums = {"seconds": self._seconds, "joules": self._joules, "source": self._source}
        files.write_json(self._path, text_files.sealed(sums))

    def note(self) -> None:
        """Write down what was spent so far."""
        self._close()
        self._begin()

    def close(self) -> Spent:
        """Return what was spent, and measure no longer."""
        self._close()
        if self._joules is not None:
            return Spent(self._seconds, self._joules, "measured", self._source)
        if self._watts is None:
            return Spent(self._seconds, None, None, self._source)
        told = f"{self._watts:g} W for as long as it ran ({self._source})"
        return Spent(self._seconds, self._watts * self._seconds, "assumed", told)
