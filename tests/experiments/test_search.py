import csv
import json

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
    scalars = (tmp_path / "whole" / "scalars.csv").read_bytes()
    with open(tmp_path / "whole" / "queries.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["3"] * 30 + ["4"] * 30
    assert [int(row["step"]) for row in rows] == [*range(1, 31)] * 2
    assert len({row["arch_str"] for row in rows[:30]}) == 30
    with open(tmp_path / "whole" / "scalars.csv", newline="") as file:
        told = list(csv.DictReader(file))
    best = max(float(row["accuracy"]) for row in rows[30:])
    last = [row for row in told if row["phase"] == "seed 4" and row["step"] == "30"]
    assert {row["name"]: row["value"] for row in last}["best_accuracy"] == repr(best)
    volume = {row["name"]: float(row["value"]) for row in last}["hypervolume"]
    assert 0 < volume <= 1
    # Killed within a step of the second seed, within a line.
    (tmp_path / "whole" / "queries.csv").write_bytes(whole[: int(len(whole) * 0.96)])
    log = tmp_path / "log.jsonl"
    again = run("search", *flags(table, tmp_path / "whole", log_json=log))
    assert (again.returncode, again.stdout) == (0, result.stdout)
    assert (tmp_path / "whole" / "queries.csv").read_bytes() == whole
    assert (tmp_path / "whole" / "scalars.csv").read_bytes() == scalars
    heard = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in heard][0 :: len(heard) - 1] == ["phase", "end"]
    assert heard[-2]["step"] == 30 and heard[-2]["phase"] == "seed 4"


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
