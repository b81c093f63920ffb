import math

import pytest

from greennas_jax.report import evidence


def profile(energy, per_example):
    return {"totals": {"energy_j": energy, "energy_per_example_j": per_example, "time_ms": None}}


def test_changes_are_relative_and_unknown_stays_unknown():
    found = evidence.changes_of(profile(4.0, 1.0), profile(1.0, 0.25))
    assert found["energy_j"] == -0.75
    assert found["time_ms"] is None


def test_payback_is_the_first_inference_that_repays():
    # 10 J spent, 0.75 J saved an example: 13.33, so after the 14th.
    found = evidence.payback(profile(4.0, 1.0), profile(1.0, 0.25), 10.0, "")
    assert found == {"payback_inferences": 14, "payback_reason": None}


@pytest.mark.parametrize(
    ("spent", "after", "told"), [(None, 0.25, "no meter"), (10.0, 1.0, "no energy is saved")]
)
def test_payback_is_null_with_its_reason(spent, after, told):
    found = evidence.payback(profile(4.0, 1.0), profile(1.0, after), spent, "no meter")
    assert found == {"payback_inferences": None, "payback_reason": told}


def test_history_keeps_full_precision_and_leaves_unknown_empty():
    text = evidence.history_csv([{"step": 0, "a": 1 / 3, "b": math.nan}])
    assert text == "step,a,b\n0,0.3333333333333333,\n"
    assert evidence.history_csv([]) == ""


@pytest.mark.parametrize(("value", "found"), [(math.nan, None), (math.inf, None), (2, 2.0)])
def test_numbers_that_json_cannot_hold_are_null(value, found):
    assert evidence.number(value) == found
