"""A sweep measured: every case timed and metered, written down as it is done."""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from greennas_jax.build.convolution import Method
from greennas_jax.measure import cases, execution, journal, measurements, timing
from greennas_jax.measure.cases import Case
from greennas_jax.measure.execution import Wanted
from greennas_jax.measure.measurements import Measurement
from greennas_jax.measure.meters import Meter
from greennas_jax.measure.networks import Around

# How often a case is timed again whose samples differ too much.
TRIES = 3
# An empty call's time is sure to a tenth; a layer that takes less than half of it is lost in it.
LEAST_SHARE = 0.5


class Bench(NamedTuple):
    """What measures.

    Attributes:
      meter: Measures the energy.
      plan: How long a case is timed.
      method: How convolutions are computed.
      around: Entered for as long as the clock runs.
      dispatch_s: Time of a call that computes nothing [s]: a layer within a network is not called,
        so that this is taken off what a layer alone takes.
    """

    meter: Meter
    plan: timing.Plan
    method: Method = "lax"
    around: Around = contextlib.nullcontext
    dispatch_s: float = 0.0
    clock: timing.Clock | None = None


def bench(meter: Meter, plan: timing.Plan, method: Method, around: Around) -> Bench:
    """Return what measures on this machine, with its time of an empty call."""
    with around():
        empty = execution.dispatch(lambda call: timing.measure(call, meter, plan).seconds)
    return Bench(meter, plan, method, around, empty)


class DisturbedError(ValueError):
    """A layer's samples differ too much, or are lost in the time of a call; later they may not."""


def of_case(case: Case, on: Bench) -> Measurement:
    """Return the measurement of one layer.

    Raises:
      ValueError: If the layer cannot be executed.
      DisturbedError: If its samples differ too much each time.
    """
    wanted = Wanted(case.mode, case.dtype, on.method)
    network, copies = cases.chained(case)
    call = execution.program(network, case.batch, wanted, alone=True)
    for _ in range(TRIES):
        with on.around():
            found = timing.measure(call, on.meter, on.plan, on.clock)
        took = found.seconds - on.dispatch_s
        told = took >= LEAST_SHARE * on.dispatch_s and found.spread <= measurements.MOST_SPREAD
        if told and took > 0:
            return Measurement(
                case, 1000 * took / copies, found.spread, found.watts, found.power_source
            )
    raise DisturbedError(
        f"{case.type} of {cases.input_shape(case)}: {1e3 * found.seconds:.3g} ms "
        f"+/- {100 * found.spread:.0f} % in {TRIES} tries, an empty call {1e3 * on.dispatch_s:.3g}"
    )


class Done(NamedTuple):
    """What a session left.

    Attributes:
      rows: All measurements, those of earlier sessions included.
      left_out: One line for each case that could not be measured.
      unmetered: Why power is not known where a meter was there at first; empty where all is well.
    """

    rows: list[Measurement]
    left_out: list[str]
    unmetered: str


def run(
    wanted: Sequence[Case],
    rounds: int,
    on: Bench,
    path: str | os.PathLike[str],
    request: Mapping[str, Any],
    *,
    enough: Callable[[], bool] = lambda: False,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda entries, total: entries,
    say: Callable[[str], None] = lambda line: None,
) -> Done:
    """Measure the cases of a sweep, those that a journal does not hold yet.

    Args:
      wanted: Cases, in the order in which to measure them.
      rounds: How often each is measured.
      on: What measures.
      path: The journal.
      request: JSON value of everything that decides what is measured.
      enough: Whether time is up, asked before each case.
      watch: Wraps (what is still to do, how much that is), to show progress.
      say: Told once if the meter fails.

    Raises:
      ValueError: If the journal is another request's.
    """
    rows = journal.open_for(path, request)
    known = [row.case for row in rows]
    todo = [(turn, case) for turn in range(1, rounds + 1) for case in wanted]
    todo = [(turn, case) for turn, case in todo if known.count(case) < turn]
    left_out: dict[Case, str] = {}
    impossible: set[Case] = set()
    unmetered = ""
    for _, case in watch(todo, len(todo)):
        if enough():
            break
        if case in impossible:
            continue
        # A layer that this backend cannot compile must not end the sweep.
        try:
            row = of_case(case, on)
        except Exception as error:
            left_out[case] = " ".join(str(error).split())[:200] or type(error).__name__
            if not isinstance(error, DisturbedError):
                impossible.add(case)
            continue
        left_out.pop(case, None)
        if on.meter.present and row.power_w is None and not unmetered:
            unmetered = row.power_source
            say(f"{unmetered}; the power of such layers stays unknown")
        rows.append(row)
        journal.append(path, row)
    return Done(rows, list(left_out.values()), unmetered)
