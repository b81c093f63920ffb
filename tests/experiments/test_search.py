import csv

import pytest

from tests.experiments.programs import assert_refused, run
from tests.search import tabulated


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    path.write_text(tabulated.text())
    return path


def flags(table, workdir, **more):
    given = {
        "space": "nasbench201", "table": table, "accuracy_column": "acc", "cost_column": "mj",
        "algorithm": "nsga2", "budget": 30, "seeds": 2, "first_seed": 3, "workdir": workdir,
    } | more  # fmt: skip
    return [f"--{key}={value}" for key, value in given.items()]


def test_a_stopped_search_goes_on_to_the_same_log(table, tmp_path):
    result = run("search", *flags(table, tmp_path / "whole"))
    assert (result.returncode, result.stderr) == (0, "")
    assert "     25      2  " in result.stdout
    whole = (tmp_path / "whole" / "queries.csv").read_bytes()
    with open(tmp_path / "whole" / "queries.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["3"] * 30 + ["4"] * 30
    assert [int(row["step"]) for row in rows] == [*range(1, 31)] * 2
    assert len({row["arch_str"] for row in rows[:30]}) == 30
    # Killed within a step of the second seed, within a line.
    (tmp_path / "whole" / "queries.csv").write_bytes(whole[: int(len(whole) * 0.96)])
    again = run("search", *flags(table, tmp_path / "whole"))
    assert (again.returncode, again.stdout) == (0, result.stdout)
    assert (tmp_path / "whole" / "queries.csv").read_bytes() == whole


def test_bad_inputs_end_in_one_line(table, tmp_path):
    workdir = tmp_path / "w"
    cases = [
        ({"accuracy_column": "top1"}, ["no column 'top1'", "arch_str, acc, mj"]),
        ({"budget": 7000}, ["budget 7000 is larger than the space", "6461"]),
        ({"objective": "constrained"}, ["a least accuracy is needed"]),
    ]
    for changes, words in cases:
        assert_refused(run("search", *flags(table, workdir, **changes)), *words)
    assert not workdir.exists()
