import math

from greennas_jax.costs import provenance
from greennas_jax.costs.provenance import Figure

MEASURED = Figure(2.0, "W", "measured", "a meter")
ASSUMED = Figure(1.5, "", "assumed", "a survey")
MISSING = provenance.unknown("W", "nobody knows")


def test_a_known_figure_is_written_with_its_source():
    assert MEASURED.record() == {
        "value": 2.0,
        "unit": "W",
        "provenance": "measured",
        "source": "a meter",
    }


def test_an_unknown_figure_is_null_with_a_reason():
    assert MISSING.record() == {
        "value": None,
        "unit": "W",
        "provenance": None,
        "reason": "nobody knows",
    }
    assert math.isnan(MISSING.known)


def test_what_is_reckoned_says_what_was_assumed():
    found = provenance.predicted(3.0, "W", "power x PUE", power=MEASURED, pue=ASSUMED)
    assert found == Figure(3.0, "W", "predicted", "power x PUE; assumed: pue")


def test_what_needs_an_unknown_figure_is_unknown_for_the_same_reason():
    found = provenance.predicted(math.nan, "Wh", "power x time", power=MISSING, pue=ASSUMED)
    assert found == provenance.unknown("Wh", "nobody knows")
