"""Times of compiled programs, in windows that are long against the clock and the meter.

A program is called once to compile and once more to warm up; neither counts. Calls are grouped
into windows, each call waited for; a window's time over its calls is one sample. The figure is the
median of the samples, or the least where that is asked for: on a machine that others share, what
they do can only add to a time. Its spread is 1.4826 x the median absolute deviation (the standard
deviation of a normal distribution, whatever a few interrupted windows did), as a share of the
median. No sample is thrown away. Energy is metered over one more window, at least `PERIODS` of the
meter's periods long.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from greennas_jax.measure import meters
from greennas_jax.measure.meters import Meter

# The two ends of a window are each a period of the meter uncertain: 5 % of twenty for the one.
PERIODS = 20
# Samples shorter than this many ticks of the clock would show its grain.
TICKS = 1000
OF_NORMAL = 1.4826
STATISTICS = {"median": statistics.median, "least": min}

Call = Callable[[], Any]


class Clock(NamedTuple):
    """What tells the time.

    Attributes:
      now: Seconds since some moment.
      tick: Least difference it tells [s].
    """

    now: Callable[[], float] = time.perf_counter
    tick: float = 1e-7


class Plan(NamedTuple):
    """How long a program is timed.

    Attributes:
      windows: Samples.
      window_s: Least length of a window [s]; one call where a call takes longer.
      warm_up: Calls before the first window.
      statistic: Which of the samples is the figure, a key of `STATISTICS`.
    """

    windows: int = 7
    window_s: float = 0.05
    warm_up: int = 2
    statistic: str = "median"


class Timing(NamedTuple):
    """What timing a program gave.

    Attributes:
      seconds: Time of a call, the plan's statistic of the samples [s].
      spread: Robust standard deviation of the samples, as a share of the median.
      least: Least sample [s].
      calls: Calls in a window.
      watts: Mean power [W]; None where it is not known.
      power_source: The meter, or why the power is not known.
    """

    seconds: float
    spread: float
    least: float
    calls: int
    watts: float | None
    power_source: str


def spread(samples: list[float]) -> float:
    """Return the robust standard deviation of samples as a share of their median."""
    middle = statistics.median(samples)
    deviation = statistics.median(abs(sample - middle) for sample in samples)
    return OF_NORMAL * deviation / middle


def measure(call: Call, meter: Meter, plan: Plan | None = None, clock: Clock | None = None):
    """Return the time and the power of a program.

    Args:
      call: Runs the program once and returns its arrays, ready or not.
      meter: Measures the energy.
      plan: How long.
      clock: Tells the time.

    Returns:
      A Timing.
    """
    plan, clock = plan or Plan(), clock or Clock()

    def window(calls: int) -> float:
        started = clock.now()
        for _ in range(calls):
            jax.block_until_ready(call())
        return clock.now() - started

    for _ in range(plan.warm_up):
        window(1)
    # The least of two: a first guess that was interrupted would make short windows.
    once = max(min(window(1), window(1)), clock.tick)
    calls = max(1, math.ceil(max(plan.window_s, TICKS * clock.tick) / once))
    samples = [window(calls) / calls for _ in range(plan.windows)]
    seconds = STATISTICS[plan.statistic](samples)
    watts, source = _power(window, meter, seconds, calls)
    return Timing(seconds, spread(samples), min(samples), calls, watts, source)


def _power(
    window: Callable[[int], float], meter: Meter, seconds: float, calls: int
) -> tuple[float | None, str]:
    """Return the mean power [W] over a window that is long for the meter, or why it is unknown."""
    if meter.reason is not None:
        return None, meter.reason
    took: list[float] = []

    def run() -> float:
        took.append(window(max(calls, math.ceil(PERIODS * meter.period_s / seconds))))
        return took[0]

    found = meters.read(meter, run)
    if found.joules is None:
        return None, found.source
    return found.joules / took[0], found.source
