import json
import pathlib

import pytest

from greennas_jax import journey, study
from greennas_jax.costs import devices
from greennas_jax.pipeline import PipelineConfig
from greennas_jax.spec import paleo_json
from tests.report.page import runs


def test_specs_are_files_and_folders_in_order(tmp_path):
    for name in ("b.json", "a.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    other = tmp_path / "other.json"
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.json").write_text("{}")
    other.write_text("{}")
    found = study.specs([str(tmp_path / "more"), str(other)])
    assert [path.stem for path in found] == ["c", "other"]
    assert [path.stem for path in study.specs([str(tmp_path)])] == ["a", "b", "other"]


def test_specs_that_cannot_be_told_apart_are_refused(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="'a' is named twice"):
        study.specs([str(tmp_path / "one"), str(tmp_path / "two")])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        study.specs([str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="no file"):
        study.specs([str(tmp_path)])


def test_pairs_stay_inside_the_workdir():
    found = study.pairs([pathlib.Path("x/a.json")], ["titan_x", "../../elsewhere/mine.json"])
    assert [pair.folder.as_posix() for pair in found] == ["a/titan_x", "a/mine"]
    with pytest.raises(ValueError, match="'titan_x' is named twice"):
        study.pairs([pathlib.Path("a.json")], ["titan_x", "x/titan_x.json"])


def request(network, dataset="digits"):
    return journey.Request(
        network=network,
        device=devices.load("titan_x"),
        dataset=dataset,
        batch_size=None,
        config=PipelineConfig(),
    )


def test_proxy_is_for_networks_that_are_too_large_or_that_the_data_do_not_fit(specs):
    # The convolution of `small` takes 2*3*3*8 operations at each of 64 places, 9216 in all, and
    # its inner product 2*512*10 = 10240; biases, activations and softmax add less than as much.
    assert study.why_by_proxy(request(runs.small(8)), 4e4) == ""
    assert "more than 1e+04" in study.why_by_proxy(request(runs.small(8)), 1e4)
    told = study.why_by_proxy(request(paleo_json.load(specs / "bert_tiny.json")), 1e12)
    assert told.startswith("by proxy: digits: images; the network reads token numbers")


def test_rows_tell_what_a_workdir_holds(tmp_path):
    pairs = study.pairs([pathlib.Path("tiny.json")], ["titan_x", "k20", "k40"])
    (tmp_path / "tiny").mkdir()
    runs.workdir(tmp_path / "tiny" / "titan_x", runs.small(8), runs.small(4))
    (tmp_path / "tiny" / "titan_x" / study.NOTE).write_text("by proxy: no data\n")
    (tmp_path / "tiny" / "k20").mkdir()
    (tmp_path / "tiny" / "k20" / study.FAILURE).write_text("too large\n")
    found = [study.row(pair, tmp_path) for pair in pairs]
    assert [row.status for row in found] == ["finished", "failed", "waiting"]
    assert [row.note for row in found] == ["by proxy: no data", "too large", ""]
    flat = [study.flat(row) for row in found]
    assert all(tuple(row) == study.COLUMNS for row in flat)
    assert flat[0]["convolutions_narrower"] == 1 and flat[0]["inner_products_as_given"] == 1
    # 3*3*1*8 + 8 and 8*8*8*10 + 10; half the width in front: 40 and 8*8*4*10 + 10.
    assert (flat[0]["parameters_before"], flat[0]["parameters_after"]) == (80 + 5130, 40 + 2570)
    assert flat[1]["energy_j_before"] is None
    (tmp_path / "tiny" / "titan_x" / "history.csv").write_text("step\n0\n")
    assert study.row(pairs[0], tmp_path).status == "failed"


def test_a_workdir_of_another_request_is_told(tmp_path):
    own = request(runs.small(8))
    stated = json.loads(json.dumps(journey.identity(own)))
    (tmp_path / "config.json").write_text(json.dumps(stated))
    assert study.changed(own, tmp_path) == ""
    # A run by proxy is one of the same request.
    (tmp_path / "config.json").write_text(json.dumps(stated | {"dataset": "none"}))
    assert study.changed(own, tmp_path) == ""
    (tmp_path / "config.json").write_text(json.dumps(stated | {"batch_size": 3}))
    assert "batch_size was 3, is None" in study.changed(own, tmp_path)
