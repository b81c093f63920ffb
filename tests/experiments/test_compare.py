import csv
import json

import pytest

from tests.experiments.programs import QUICK, launch

NAMES = ["random", "evolution", "additive"]


@pytest.mark.slow
def test_algorithms_are_compared_on_the_same_trainings_and_a_comparison_goes_on(tmp_path):
    first = launch(tmp_path, "compare", algorithms="random,evolution", seeds="0")
    assert first.returncode == 0, first.stderr
    table = first.stdout.splitlines()[-5:]
    assert table[0].split() == ["saved", "[%]", "random", "evolution"]
    assert [line.split()[0] for line in table[1:]] == ["seed", "mean", "accuracy,", "accuracy"]
    text = (tmp_path / "w" / "comparison.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["algorithm"] for row in rows] == ["random", "evolution"]
    reports = [
        json.loads((tmp_path / "w" / f"{name}_0" / "report.json").read_text())
        for name in ("random", "evolution")
    ]
    # The given network is trained once for both.
    assert reports[0]["accuracy"]["before"] == reports[1]["accuracy"]["before"]
    assert (
        len((tmp_path / "w" / "given_0" / "checkpoints" / "given.jsonl").read_text().splitlines())
        == 2
    )
    for row, report in zip(rows, reports, strict=True):
        assert float(row["saved"]) == report["search"]["recosted_gain"]
        assert int(row["queries"]) == QUICK["search.queries"]
    again = launch(tmp_path, "compare", algorithms="random,evolution", seeds="0")
    assert again.stdout == first.stdout
    # Another algorithm under another recipe must not be given the old trainings.
    config = {**QUICK, "recipe.batch_size": 32}
    other = launch(tmp_path, "compare", algorithms="additive", seeds="0", config=config)
    assert other.returncode == 2
    assert "config.recipe.batch_size was 16, is 32" in other.stderr


@pytest.mark.slow
def test_other_algorithms_run_without_data(tmp_path):
    done = launch(tmp_path, "compare", algorithms=",".join(NAMES), seeds="3", dataset="none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["accuracy", "holds", "-", "-", "-"]
    for name in NAMES:
        report = json.loads((tmp_path / "w" / f"{name}_3" / "report.json").read_text())
        assert report["accuracy"]["kind"] == "proxy"
        assert report["accuracy"]["after"]["mean"] >= 0.85


@pytest.mark.slow
def test_bad_names_are_told_before_the_first_run(tmp_path):
    for flags, told in (
        ({"algorithms": "random,magic"}, "latent, additive"),
        ({"seeds": "0,one"}, "'one'"),
        ({"algorithms": ""}, "latent, additive"),
    ):
        done = launch(tmp_path, "compare", **flags)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "w").exists()
