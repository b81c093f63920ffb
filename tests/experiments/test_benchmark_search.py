import json

import numpy as np
import pytest

from experiments.benchmarks import rivals, suites
from experiments.benchmarks import search as suite
from greennas_jax.search import front_search
from tests.experiments.programs import assert_refused, run
from tests.search import tabulated

PROBLEM = tabulated.problem()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    path.write_text(tabulated.text())
    return path


def flags(table, **more):
    given = {
        "suite": "search", "table": table, "accuracy_column": "acc", "cost_column": "mj", "seeds": 3
    } | more  # fmt: skip
    return ["--small", *(f"--{key}={value}" for key, value in given.items())]


def options(table, **more):
    columns = {"accuracy_column": "acc", "cost_column": "mj"}
    return suites.Options(small=True, table=str(table), seeds=2, **columns, **more)


@pytest.mark.slow
def test_baselines_are_scored_and_kept(table, tmp_path):
    folder, picture = tmp_path / "kept", tmp_path / "front.png"
    given = flags(table, only="random,local search", keep=folder, picture=picture)
    result = run("benchmark", *given)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["suite"], found["seeds"], found["skipped"]) == ("search", 3, {})
    assert found["searches"].keys() == {"random", "local search"}
    scores = found["searches"]["random"]["8"]
    assert 0 < scores["wide"]["mean"] < 1
    deviation, error = (scores["wide"][f"standard_{key}"] for key in ("deviation", "error"))
    assert error == pytest.approx(deviation / 3**0.5)
    # Without the search itself nothing is ahead of anything.
    assert found["ahead_of"] == {}
    assert picture.read_bytes()[:4] == b"\x89PNG"
    kept = (folder / "local_search.csv").read_bytes()
    assert len(kept.splitlines()) == 1 + 3 * 8
    again = suite.run(options(table, only=("local search",), keep=str(folder)))
    local = again["searches"]["local search"]["8"]
    assert local["wide"]["mean"] > 0
    assert (folder / "local_search.csv").read_bytes() == b"".join(kept.splitlines(True)[:17])


def test_bad_requests_are_refused(table, tmp_path):
    with pytest.raises(ValueError, match="'annealing'; allowed: nao.*random.*Optuna TPE"):
        suite.run(options(table, only=("annealing",)))
    with pytest.raises(ValueError, match="needs --table=FILE"):
        suite.run(suites.Options())
    (tmp_path / "short.csv").write_text(tabulated.text()[:20000].rpartition("\n")[0])
    refused = run("benchmark", *flags(tmp_path / "short.csv"))
    assert_refused(refused, "short.csv", "have no row")


def test_each_ablation_leaves_one_part_out(table):
    given = options(table)
    own = suite.request(given, suite.OWN)
    assert (own.front.candidates, own.front.latent.paths, own.structure) == (
        "latent",
        "heads",
        True,
    )
    for name in suite.ABLATIONS:
        found = suite.request(given, name)
        assert found != own and found.algorithm == "nao"
        assert found.front.candidates in front_search.CANDIDATES
    assert suite.request(given, "without gradient").front.latent.paths == "none"
    assert not suite.request(given, "without structure heads").structure


@pytest.mark.slow
def test_the_search_and_all_its_ablations_run(table, tmp_path):
    asked = (suite.OWN, *suite.ABLATIONS, "random")
    found = suite.run(options(table, only=asked, keep=str(tmp_path / "kept")))
    assert found["searches"].keys() == set(asked)
    kinds = [row["kind"] for row in found["searches"].values()]
    assert kinds == ["search", *["ablation"] * len(suite.ABLATIONS), "baseline"]
    for row in found["searches"].values():
        assert 0 < row["8"]["wide"]["mean"] < 1
    lines = (tmp_path / "kept" / "nao.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 8
    assert (tmp_path / "kept" / "structure" / "embedding.safetensors").exists()
    assert found["ahead_of"].keys() >= {"random"}


def test_missing_tools_are_skipped_by_name(table, monkeypatch):
    monkeypatch.setattr(rivals, "installed", lambda package: False)
    found = suite.run(options(table, only=("random", "Optuna TPE", "pymoo NSGA-II")))
    assert found["skipped"] == {
        "Optuna TPE": "optuna is not installed",
        "pymoo NSGA-II": "pymoo is not installed",
    }
    assert found["searches"].keys() == {"random"}


@pytest.mark.parametrize("name", list(rivals.RIVALS))
def test_tools_ask_for_distinct_networks(name):
    package, search = rivals.RIVALS[name]
    pytest.importorskip(package)
    tokens = rivals.whole(PROBLEM, search, 0, 24)
    assert len(np.unique(tokens, axis=0)) == 24
    assert (PROBLEM.rows(tokens) >= 0).all()
    np.testing.assert_array_equal(tokens, rivals.whole(PROBLEM, search, 0, 24))
    assert not np.array_equal(tokens, rivals.whole(PROBLEM, search, 1, 24))


def test_a_tool_that_gives_up_is_filled_up_at_random():
    """A tool that asks for one network alone still spends the budget on distinct ones."""
    stubborn = PROBLEM.tokens[5:6]
    tokens = rivals.whole(PROBLEM, lambda *_: stubborn, 0, 10)
    np.testing.assert_array_equal(tokens[0], stubborn[0])
    assert len(np.unique(tokens, axis=0)) == 10


def test_leads_are_counted_in_standard_errors():
    own, other = np.asarray([0.9, 0.92, 0.94]), np.asarray([0.8, 0.82, 0.84])
    # Each mean's error is 0.02 / sqrt(3); both together 0.02 sqrt(2 / 3).
    assert suite._lead(own, other) == pytest.approx(0.1 / (0.02 * (2 / 3) ** 0.5))
