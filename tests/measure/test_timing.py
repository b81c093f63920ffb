import pytest

from greennas_jax.measure import meters, timing
from greennas_jax.measure.timing import Plan
from tests.measure import fakes

NONE = meters.absent("no meter: a test")


def test_compiling_and_interruptions_do_not_count():
    time = fakes.Time()
    # Compiling, a warm-up, two guesses; then five windows of two calls, one interrupted.
    durations = [9.0, 0.3, 0.1, 0.1] + [0.1] * 4 + [0.1, 5.0] + [0.1] * 4
    found = timing.measure(time.program(durations), NONE, Plan(5, 0.15), time.clock())
    assert found.calls == 2
    assert found.seconds == pytest.approx(0.1)
    assert found.least == pytest.approx(0.1)
    assert found.spread == pytest.approx(0.0, abs=1e-9)
    assert (found.watts, found.power_source) == (None, "no meter: a test")


@pytest.mark.parametrize(("statistic", "seconds"), [("median", 0.3), ("least", 0.2)])
def test_least_of_the_samples_is_the_time_where_that_is_asked_for(statistic, seconds):
    time = fakes.Time()
    program = time.program([9.0, 0.3, 0.3, 0.3, 0.3, 0.2, 0.4, 0.3, 0.5])
    found = timing.measure(program, NONE, Plan(5, 0.1, 2, statistic), time.clock())
    assert found.seconds == pytest.approx(seconds)


def test_spread_is_of_a_normal_distribution():
    # Deviations from 3: 2, 1, 0, 1, 2; their median 1, times 1.4826, over 3.
    assert timing.spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1.4826 / 3)


def test_windows_are_long_for_the_clock_and_for_the_meter():
    time = fakes.Time()
    calls = []
    program = time.program([0.001])

    def counted():
        calls.append(1)
        return program()

    found = timing.measure(counted, time.meter(40.0, period_s=0.5), Plan(2, 0.0), time.clock())
    assert found.watts == pytest.approx(40.0)
    assert found.power_source == "fake"
    # Two warm-ups, two guesses, two windows of one call, and 20 periods of 0.5 s at 1 ms.
    assert len(calls) == 2 + 2 + 2 + 10_000
    coarse = timing.Clock(now=lambda: time.now, tick=0.01)
    assert timing.measure(program, NONE, Plan(1, 0.0), coarse).calls == 1000


def test_a_failing_meter_leaves_the_time():
    time = fakes.Time()

    def fail(_):
        raise OSError("gone")

    meter = meters.Meter("fake", 0.001, lambda: None, fail)
    found = timing.measure(time.program([0.01]), meter, Plan(3, 0.02), time.clock())
    assert found.seconds == pytest.approx(0.01)
    assert (found.watts, found.power_source) == (None, "meter fake failed: gone")
