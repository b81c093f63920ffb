"""Clocks, counters and machines that do what a test tells them."""

import itertools

import jax.numpy as jnp

from greennas_jax.measure import meters
from greennas_jax.measure.timing import Clock


class Time:
    """A clock that moves only when something takes time."""

    def __init__(self):
        self.now = 0.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, tick=1e-9)

    def program(self, durations):
        """Return a program whose calls take the given times, the last of them for ever."""
        left = iter(itertools.chain(durations, itertools.repeat(durations[-1])))

        def call():
            self.now += next(left)
            return jnp.zeros(())

        return call

    def meter(self, watts: float, period_s: float = 0.001) -> meters.Meter:
        return meters.Meter("fake", period_s, lambda: self.now, lambda t: watts * (self.now - t))


def powercap(folder, domains):
    """Write a folder of RAPL domains: {directory: (name, energy_uj, max_energy_range_uj)}."""
    for directory, (name, energy, limit) in domains.items():
        path = folder / directory
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        (path / "energy_uj").write_text(f"{energy}\n")
        (path / "max_energy_range_uj").write_text(f"{limit}\n")
