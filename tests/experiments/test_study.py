import csv
import json
import runpy

import pytest

from tests.experiments.programs import QUICK, ROOT, SPEC, assert_refused, run

CONFIG = QUICK | {"search.algorithm": "random", "search.queries": 3}


def study(folder, *, devices="titan_x,raspberry_pi_5", specs="specs", config=CONFIG, **flags):
    given = {"specs": folder / specs, "devices": devices, "workdir": folder / "w"}
    given |= {"dataset": "none", "measure": "never"} | flags
    options = [f"--{key}={value}" for key, value in given.items()]
    options += [f"--config.{key}={value}" for key, value in config.items()]
    return run("study", *options, timeout=400)


def rows_of(folder):
    with open(folder / "w" / "study.csv", encoding="utf-8", newline="") as file:
        return {f"{row['network']}/{row['device']}": row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study of one network that can be read and one that cannot, on two devices."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "specs").mkdir()
    (folder / "specs" / "tiny.json").write_text(json.dumps(SPEC))
    (folder / "specs" / "broken.json").write_text('{"name": "x",\n "layers": {,}}')
    return folder, study(folder)


@pytest.mark.slow
def test_a_failing_network_is_reported_and_passed_over(done):
    folder, result = done
    assert result.returncode == 1, result.stderr
    rows = rows_of(folder)
    names = ["broken/titan_x", "broken/raspberry_pi_5", "tiny/titan_x", "tiny/raspberry_pi_5"]
    assert list(rows) == names
    assert [rows[name]["status"] for name in names] == ["failed", "failed", "finished", "finished"]
    assert "line 2" in rows["broken/titan_x"]["note"]
    assert rows["broken/titan_x"]["energy_j_after"] == ""
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.slow
def test_every_row_is_what_its_run_reports(done):
    folder, _ = done
    for name, row in rows_of(folder).items():
        if row["status"] != "finished":
            continue
        report = json.loads((folder / "w" / name / "report.json").read_text())
        for side in ("before", "after"):
            assert float(row[f"energy_j_{side}"]) == report[side]["totals"]["energy_j"]
            assert float(row[f"accuracy_{side}"]) == report["accuracy"][side]["mean"]
        assert row["verdict"] == "not measured" and row["accuracy_kind"] == "proxy"
        assert (row["convolutions"], row["inner_products"]) == ("1", "1")
        assert row["structure_before"].startswith("conv conv 3x3 1->8; fc inner product ")
        assert row["provenance"] == report["after"]["provenance"]


@pytest.mark.slow
def test_the_page_holds_every_pair_and_points_to_the_runs(done):
    folder, _ = done
    text = (folder / "w" / "study.html").read_text()
    assert "2 networks on 2 devices" in text and "2 of 4" in text
    for name in ("tiny/titan_x", "tiny/raspberry_pi_5"):
        assert f'href="{name}/report.html"' in text
        assert (folder / "w" / name / "report.html").exists()
    assert "Not finished" in text and "line 2" in text and "Every convolution" in text


@pytest.mark.slow
def test_the_given_network_is_scored_once_for_all_devices(done):
    folder, _ = done
    log = folder / "w" / "tiny" / "given" / "checkpoints" / "given.jsonl"
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.slow
def test_the_same_command_runs_again_only_what_failed(done):
    folder, first = done
    reports = sorted((folder / "w").glob("*/*/report.json"))
    written = [path.stat().st_mtime_ns for path in reports]
    (folder / "specs" / "broken.json").write_text(json.dumps(SPEC | {"name": "mended"}))
    again = study(folder, devices="titan_x")
    assert again.returncode == 0, again.stdout + again.stderr
    assert [path.stat().st_mtime_ns for path in reports] == written
    assert {row["status"] for row in rows_of(folder).values()} == {"finished"}
    # Only the line of what had failed is another one.
    kept = [line for line in first.stdout.splitlines() if line.startswith("tiny on titan_x")]
    assert [line for line in again.stdout.splitlines() if line.startswith("tiny on")] == kept
    # Under another configuration nothing that is finished passes for its result.
    other = study(folder, devices="titan_x", config=CONFIG | {"search.queries": 2})
    assert other.returncode == 1
    assert "config.search.queries was 3, is 2" in rows_of(folder)["tiny/titan_x"]["note"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"proxy_specs": "other"}, "--proxy_specs: 'other' is none"),
        ({"only": "tiny/h100"}, "allowed: tiny/titan_x"),
        ({"config": {"search.algorithm": "magic"}}, "magic"),
    ],
)
def test_a_bad_command_is_refused_before_anything_runs(tmp_path, flags, told):
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "tiny.json").write_text(json.dumps(SPEC))
    assert_refused(study(tmp_path, **({"devices": "titan_x"} | flags)), told)
    assert not (tmp_path / "w").exists()


def test_the_quick_record_is_a_smaller_budget():
    quick, whole = (
        runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"]()
        for name in ("quick", "optimize")
    )
    assert quick.search.queries < whole.search.queries
    assert quick.keys() == whole.keys() and quick.search.keys() == whole.search.keys()
    assert quick.recipe == whole.recipe
