import math

import pytest

from greennas_jax.report import ranking


def report(saved, verdict, difference, kind="measured"):
    error = 0.002 if kind == "measured" else None
    return {
        "accuracy": {
            "kind": kind,
            "verdict": verdict,
            "before": {"mean": 0.99},
            "after": {"mean": 0.99 + difference},
            "difference": {"mean": difference, "standard_error": error},
        },
        "search": {
            "recosted_gain": saved,
            "queries": 96,
            "trainings": {"baseline": 16, "search": 96, "confirm": 60},
            "wall_s": 180.0,
        },
    }


def test_table_has_means_marks_and_how_many_hold():
    rows = [
        ranking.row(report(0.7, "holds", -0.005), "latent", 0),
        ranking.row(report(0.6, "undecided", -0.009), "latent", 1),
        ranking.row(report(0.5, "fails", -0.02), "random", 0),
    ]
    lines = [line.split() for line in ranking.table(rows).splitlines()]
    assert lines[0] == ["saved", "[%]", "latent", "random"]
    assert lines[1] == ["seed", "0", "70.0", "50.0", "f"]
    assert lines[2] == ["seed", "1", "60.0", "u", "-"]
    assert lines[3] == ["mean", "65.0", "50.0"]
    assert lines[4] == ["accuracy,", "points", "-0.70", "-2.00"]
    assert lines[5] == ["accuracy", "holds", "1", "of", "2", "0", "of", "1"]
    assert rows[0]["trainings"] == 172


def test_accuracy_that_was_not_measured_is_said_to_be_so():
    row = ranking.row(report(0.8, None, -0.1, "proxy"), "latent", 3)
    assert math.isnan(row["standard_error"])
    assert row["verdict"] == "not measured"
    assert "not measured, proxy score -10.00 points, 96 queries" in ranking.line(row)
    assert ranking.table([row]).splitlines()[-1].split() == ["accuracy", "holds", "-"]


def test_line_names_the_standard_error():
    row = ranking.row(report(0.7, "holds", -0.005), "latent", 0)
    expected = (
        "seed 0, latent: 70.0 % saved, holds, accuracy -0.50 points (standard error 0.20), "
        "96 queries, 180 s"
    )
    assert ranking.line(row) == expected
    assert row["after"] == pytest.approx(0.985)
