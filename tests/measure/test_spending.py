import json

import pytest

from greennas_jax.measure import meters
from greennas_jax.measure.meters import Meter
from greennas_jax.measure.spending import Account

ABSENT = meters.absent("no meter: none is here")


class Clock:
    """Seconds that a test moves on, and a meter that draws a steady power."""

    def __init__(self, watts=50.0):
        self.now, self.watts = 0.0, watts

    def __call__(self):
        return self.now

    def meter(self):
        return Meter(
            "a counter", 0.001, lambda: self.now, lambda begun: self.watts * (self.now - begun)
        )


def test_measured_energy_goes_on_after_a_kill(tmp_path):
    clock = Clock()
    account = Account(tmp_path / "spent.json", clock.meter(), clock=clock)
    clock.now = 10.0
    account.note()
    # What follows the last note of a killed process is lost.
    clock.now = 13.0
    other = Clock(watts=20.0)
    spent = Account(tmp_path / "spent.json", other.meter(), clock=other)
    other.now = 5.0
    found = spent.close()
    assert (found.seconds, found.joules) == (15.0, 50.0 * 10 + 20.0 * 5)
    assert (found.provenance, found.source) == ("measured", "a counter")


def test_assumed_power_counts_the_whole_time(tmp_path):
    clock = Clock()
    account = Account(tmp_path / "spent.json", ABSENT, assumed_watts=30.0, clock=clock)
    clock.now = 4.0
    account.note()
    clock.now = 6.0
    found = account.close()
    assert (found.joules, found.provenance) == (180.0, "assumed")
    assert found.source == "30 W for as long as it ran (no meter: none is here)"


def test_unknown_energy_has_its_reason(tmp_path):
    clock = Clock()
    account = Account(tmp_path / "spent.json", ABSENT, clock=clock)
    clock.now = 4.0
    assert account.close() == (4.0, None, None, "no meter: none is here")
    stored = json.loads((tmp_path / "spent.json").read_text())
    assert len(stored.pop("sha256")) == 64
    assert stored == {"seconds": 4.0, "joules": None, "source": "no meter: none is here"}


@pytest.mark.parametrize("assumed", [None, 10.0])
def test_a_meter_that_failed_once_measured_too_little(tmp_path, assumed):
    """Joules of a part are not the joules of the whole."""
    clock = Clock()
    good = clock.meter()

    def broken(begun):
        raise OSError("unplugged")

    account = Account(tmp_path / "spent.json", good._replace(stop=broken), assumed, clock)
    clock.now = 2.0
    account.note()
    again = Account(tmp_path / "spent.json", good, assumed, clock)
    clock.now = 5.0
    found = again.close()
    assert found.seconds == 5.0
    assert found.joules == (None if assumed is None else 50.0)
    assert "meter a counter failed: unplugged" in found.source
