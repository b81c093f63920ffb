"""What a long run tells while it lasts: bars for a person, JSON lines for a program, scalars.

A run names its phases and how far each is; listeners make of it what they are for. None of them
changes what is computed.
"""

import csv
import importlib.util
import json
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

import tqdm

HEADER = "phase,step,name,value\n"


class Listener:
    """Listens to a run; this one makes nothing of it."""

    def __call__(self, line: str) -> None:
        """Hear in one line what is being done."""

    def phase(self, name: str, total: int) -> None:
        """Hear that a phase of at most so many steps begins."""

    def reach(self, step: int, **figures: float) -> None:
        """Hear that a step of the phase is reached, and figures that belong to it."""

    def did(self, steps: int) -> None:
        """Hear that so many steps more are done, without figures as yet."""

    def close(self) -> None:
        """Hear that the run is over."""


class Everyone(Listener):
    """Passes on to several listeners."""

    def __init__(self, listeners: Sequence[Listener]):
        self._listeners = tuple(listeners)

    def __call__(self, line: str) -> None:
        """Pass on a line."""
        for listener in self._listeners:
            listener(line)

    def phase(self, name: str, total: int) -> None:
        """Pass on that a phase begins."""
        for listener in self._listeners:
            listener.phase(name, total)

    def reach(self, step: int, **figures: float) -> None:
        """Pass on a step."""
        for listener in self._listeners:
            listener.reach(step, **figures)

    def did(self, steps: int) -> None:
        """Pass on steps done."""
        for listener in self._listeners:
            listener.did(steps)

    def close(self) -> None:
        """Pass on that the run is over."""
        for listener in self._listeners:
            listener.close()


class Bars(Listener):
    """Shows a person at a terminal a bar for every phase, with the time that it may still take."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._bar: tqdm.tqdm | None = None

    def __call__(self, line: str) -> None:
        """Write a line above the bar."""
        tqdm.tqdm.write(line, file=self._stream)

    def phase(self, name: str, total: int) -> None:
        """Begin a bar."""
        self.close()
        self._bar = tqdm.tqdm(total=total, desc=name, file=self._stream, dynamic_ncols=True)

    def reach(self, step: int, **figures: float) -> None:
        """Move the bar to a step; it never goes back."""
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, False)
            self._bar.update(max(step - self._bar.n, 0))

    def did(self, steps: int) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.update(steps)

    def close(self) -> None:
        """End the bar where it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class JsonLines(Listener):
    """Writes one JSON object a line: its event, the seconds since the start, and what it tells."""

    def __init__(self, path: str, about: str):
        """Begin to write.

        Args:
          path: A file to append to; "-" is stderr.
          about: What the run is called in every line.

        Raises:
          OSError: If the file cannot be written.
        """
        self._stream = sys.stderr if path == "-" else open(path, "a", encoding="utf-8")
        self._about, self._start = about, time.monotonic()
        self._phase: str | None = None

    def _write(self, event: str, **told: Any) -> None:
        seconds = round(time.monotonic() - self._start, 3)
        line = {"event": event, "run": self._about, "seconds": seconds, "phase": self._phase}
        self._stream.write(json.dumps(line | told) + "\n")
        self._stream.flush()

    def __call__(self, line: str) -> None:
        """Write a line."""
        self._write("line", text=line)

    def phase(self, name: str, total: int) -> None:
        """Write that a phase begins."""
        self._phase = name
        self._write("phase", total=total)

    def reach(self, step: int, **figures: float) -> None:
        """Write a step and its figures; those that are not finite are null."""
        # nan and the infinities have no form in JSON; a number less itself is then not zero.
        known = {name: v if v - v == 0 else None for name, v in figures.items()}
        self._write("step", step=step, figures=known)

    def close(self) -> None:
        """Write that the run is over."""
        self._write("end")
        if self._stream is not sys.stderr:
            self._stream.close()


class Scalars(Listener):
    """Keeps every figure: in a CSV file always, for TensorBoard where tensorboardX is installed.

    A resumed run tells again what it told; each figure is kept once.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        """Begin to keep figures in FOLDER/scalars.csv, and below FOLDER/tensorboard.

        Raises:
          OSError: If the file cannot be written.
        """
        place = pathlib.Path(folder)
        self._path = place / "scalars.csv"
        self._known = _known(self._path)
        self._phase = ""
        self._writer = _tensorboard(place / "tensorboard")

    def phase(self, name: str, total: int) -> None:
        """Note which phase the figures to come belong to."""
        self._phase = name

    def reach(self, step: int, **figures: float) -> None:
        """Keep the figures of a step."""
        new = [name for name in figures if (self._phase, str(step), name) not in self._known]
        if not new:
            return
        with open(self._path, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([self._phase, step, n, repr(float(figures[n]))] for n in new)
        for name in new:
            self._known.add((self._phase, str(step), name))
            if self._writer is not None:
                self._writer.add_scalar(f"{self._phase}/{name}", figures[name], step)

    def close(self) -> None:
        """Close TensorBoard's files."""
        if self._writer is not None:
            self._writer.close()


def _known(path: pathlib.Path) -> set[tuple[str, str, str]]:
    """Return what a file of scalars holds, after cutting off a line that a kill left unfinished."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1] or HEADER
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return {(row[0], row[1], row[2]) for row in csv.reader(whole.splitlines()) if len(row) == 4}


def _tensorboard(folder: pathlib.Path) -> Any:
    """Return TensorBoard's writer, None where tensorboardX is not installed."""
    if importlib.util.find_spec("tensorboardX") is None:
        return None
    import tensorboardX  # pyright: ignore[reportMissingImports] -- not among the dependencies

    return tensorboardX.SummaryWriter(os.fspath(folder))
