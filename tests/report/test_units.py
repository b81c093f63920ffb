import math

import pytest

from greennas_jax.report import units


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00231, "J", "2.31 mJ"),
        (1.0, "J", "1.00 J"),
        (999.4, "J", "999 J"),
        (999.6, "J", "1.00 kJ"),
        (0.0009999, "s", "1.00 ms"),
        (-0.0456, "J", "-45.6 mJ"),
        (4.2e-13, "J", "0.420 pJ"),
        (7.65e18, "FLOP", "7,650 PFLOP"),
        (0, "J", "0 J"),
        (1234567, "", "1,234,567"),
        (None, "J", "unknown"),
    ],
)
def test_quantity(value, unit, text):
    assert units.quantity(value, unit) == text


def test_unknown_quantities_give_their_reason():
    assert units.quantity(None, "W", "no meter") == "unknown (no meter)"


def test_scale_suits_the_largest():
    factor, unit = units.scale([0.0021, None, -0.5e-6], "J")
    assert (0.0021 * factor, unit) == (pytest.approx(2.1), "mJ")
    assert units.scale([None], "J") == units.scale([0.0], "J") == (1.0, "J")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (9.999, "10.0"), (12345.6, "12,346"), (math.inf, "inf"), (0, "0")],
)
def test_number(value, text):
    assert units.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(42, "42.0 s"), (119, "119 s"), (1234, "21 min"), (12345, "3.4 h")]
)
def test_duration(seconds, text):
    assert units.duration(seconds) == text


def test_relative_change():
    assert units.relative_change(8, 6) == -0.25
    assert units.relative_change(None, 6) is None
    assert units.relative_change(8, None) is None
    assert units.relative_change(0, 6) is None


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(-0.4126, "-41.3 %"), (0.05, "+5.0 %"), (-1e-6, "0.0 %"), (0, "0.0 %"), (None, "unknown")],
)
def test_percentage(fraction, text):
    assert units.percentage(fraction) == text
