import csv
import dataclasses
import json
import pathlib
import subprocess

import numpy as np
import pytest

from greennas_jax.accuracy import datasets
from tests.accuracy.data import examples
from tests.experiments.programs import QUICK, SPEC, launch, run
from tests.export import cases


def optimize(tmp_path, **flags):
    return launch(tmp_path, "optimize", **flags)


def files_of(folder):
    return {p.name for p in folder.iterdir()}


CODE = ("optimized_flax.py", "optimized.safetensors")
SAME = ("optimized.json", "history.csv", "exact_front.csv", *CODE)


@dataclasses.dataclass(frozen=True)
class Journey:
    """A run, then the same again after its end was cut off, and the same from nothing."""

    runs: dict[str, subprocess.CompletedProcess]
    folders: dict[str, pathlib.Path]
    written: dict[str, bytes]
    trials: list[str]

    @property
    def folder(self):
        return self.folders["first"]

    def report(self, name="first"):
        return json.loads((self.folders[name] / "report.json").read_text())


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    place = tmp_path_factory.mktemp("journey")
    folder, other = place / "w", place / "fresh"
    trials = folder / "checkpoints" / "trials.jsonl"
    first = optimize(place)
    assert first.returncode == 0, first.stderr
    written = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    known = [trials.read_text()]
    for name in ("optimized.json", *CODE):
        (folder / name).unlink()
    again = optimize(place)
    known.append(trials.read_text())
    fresh = optimize(place, workdir="fresh", assumed_watts=65, measure="never")
    runs = {"first": first, "again": again, "fresh": fresh}
    return Journey(runs, {"first": folder, "again": folder, "fresh": other}, written, known)


def test_journey_writes_everything(journey):
    assert journey.runs["first"].stderr == ""
    assert {
        "optimized.json",
        "optimized_flax.py",
        "optimized.safetensors",
        "report.json",
        "report.html",
        "scalars.csv",
        "summary.txt",
        "history.csv",
        "exact_front.csv",
        "pareto",
        "pareto.png",
        "progress.png",
        "layer_energy.png",
        "config.json",
        "checkpoints",
    } == files_of(journey.folder)
    rows = (journey.folder / "history.csv").read_text().splitlines()
    assert len([row for row in rows if ",search," in row]) == 4


def test_report_holds_together(journey):
    report = journey.report()
    assert report["schema"] == "greennas.report/1"
    assert report["accuracy"]["kind"] == "measured"
    assert report["accuracy"]["verdict"] in ("holds", "fails", "undecided")
    assert report["search"]["queries"] == 4
    # They are run where there is a meter; where there is none, that is said.
    assert (report["measured"]["before"] is None) == bool(report["measured"]["reason"])
    known = report["search"]["energy_j"] is not None
    assert known == (report["search"]["energy_provenance"] == "measured")
    assert known == (report["search"]["energy_reason"] is None)
    energies = [report[side]["totals"]["energy_j"] for side in ("before", "after")]
    np.testing.assert_allclose(report["change"]["energy_j"], energies[1] / energies[0] - 1)
    np.testing.assert_allclose(report["search"]["recosted_gain"], 1 - energies[1] / energies[0])
    assert report["bounds"]["energy_j"] <= energies[1]


def test_code_out_reaches_what_the_first_fresh_seed_reached(journey):
    made = cases.imported(journey.folder / "optimized_flax.py")
    network = made.load(str(journey.folder / "optimized.safetensors"))
    data = datasets.load("digits", (8, 8, 1), 10)
    right = np.argmax(network(data.test_images), axis=-1) == data.test_labels
    reached = journey.report()["accuracy"]["after"]["accuracies"][0]
    assert right.sum() == round(reached * len(data.test_labels))


@pytest.mark.parametrize("name", ["again", "fresh"])
def test_a_run_cut_off_and_one_from_nothing_end_like_the_first(journey, name):
    assert journey.runs[name].returncode == 0, journey.runs[name].stderr
    for file in SAME:
        assert (journey.folders[name] / file).read_bytes() == journey.written[file], file
    # Nothing was trained twice.
    assert journey.trials[0] == journey.trials[1]


def test_assumed_power_tells_the_search_energy_and_its_payback(journey):
    own = journey.report("fresh")
    spent = own["search"]
    assert spent["energy_provenance"] in ("assumed", "measured")
    if spent["energy_provenance"] == "assumed":
        np.testing.assert_allclose(spent["energy_j"], 65 * spent["wall_s"])
    saved = -np.diff([own[side]["totals"]["energy_per_example_j"] for side in ("before", "after")])
    if saved[0] > 0:
        assert own["payback_inferences"] == np.ceil(spent["energy_j"] / saved[0])
    else:
        assert own["payback_reason"] == "no energy is saved"


def test_the_optimised_text_gives_the_report_figures_exactly(journey, tmp_path):
    out = tmp_path / "p.json"
    spec = f"--spec={journey.folder / 'optimized.json'}"
    done = run("profile", spec, "--device=titan_x", f"--json={out}")
    assert done.returncode == 0
    assert json.loads(out.read_text()) == journey.report()["after"]


def test_a_changed_config_is_not_resumed(journey):
    other = optimize(journey.folder.parent, seed=5)
    assert other.returncode == 2
    assert "config.seed was 0, is 5" in other.stderr


@pytest.mark.slow
def test_journey_without_data_says_that_accuracy_was_not_measured(tmp_path):
    done = optimize(tmp_path, dataset="none", device="h100", dtype="bf16")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Accuracy was NOT measured")
    report = json.loads((tmp_path / "w" / "report.json").read_text())
    assert report["accuracy"]["kind"] == "proxy"
    assert report["accuracy"]["tolerance"] == 0.15
    assert "optimized_flax.py" in files_of(tmp_path / "w")
    assert "optimized.safetensors" not in files_of(tmp_path / "w")
    assert report["accuracy"]["after"]["mean"] >= 0.85
    assert report["before"]["settings"]["dtype"] == "bf16"


@pytest.mark.slow
def test_the_least_cost_is_found_at_once(tmp_path):
    config = QUICK | {"search.algorithm": "exact"}
    done = optimize(tmp_path, dataset="none", measure="never", config=config, max_parameters=900)
    assert done.returncode == 0, done.stderr
    assert "tolerance not given" in done.stdout and "guard: none: the least cost" in done.stdout
    report = json.loads((tmp_path / "w" / "report.json").read_text())
    assert report["search"]["algorithm"] == "exact" and report["search"]["queries"] == 1
    assert report["after"]["totals"]["parameters"] <= 900
    # Nothing on the front that keeps to the limit is cheaper.
    with open(tmp_path / "w" / "exact_front.csv", newline="") as file:
        front = [row for row in csv.DictReader(file) if float(row["parameters"]) <= 900]
    least = min(float(row["energy_j"]) for row in front)
    assert report["after"]["totals"]["energy_j"] == pytest.approx(least, rel=1e-9)
    (tmp_path / "other").mkdir()
    refused = optimize(tmp_path / "other", dataset="digits", config=config)
    assert refused.returncode == 2 and "allowed: --dataset=none" in refused.stderr


@pytest.mark.slow
def test_a_folder_of_images_takes_the_journey(tmp_path):
    folder = examples.pictures(tmp_path / "pets", {"ant": 40, "bee": 20}, size=(11, 9))
    config = QUICK | {"recipe.flip": "true", "search.algorithm": "random"}
    done = optimize(tmp_path, dataset=folder, measure="never", config=config)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    data = json.loads((tmp_path / "w" / "report.json").read_text())["accuracy"]["data"]
    # 60 images: a fifth for the test, a fifth for validation.
    assert [data[f"{part}_images"] for part in ("training", "validation", "test")] == [36, 12, 12]
    assert data["largest_class"] == {"label": 0, "name": "ant", "images": 24}
    assert data["smallest_class"] == {"label": 1, "name": "bee", "images": 12}
    told = (tmp_path / "w" / "summary.txt").read_text()
    assert "class from 12 ('bee') to 24 ('ant')" in told
    assert "the network tells 10 classes apart, the data have 2" in told


@pytest.mark.slow
def test_hard_limits_are_kept_by_everything_that_is_found(tmp_path):
    config = QUICK | {"search.algorithm": "random", "search.queries": 8}
    flags = {"dataset": "none", "measure": "never", "config": config}
    # The given network has 1,370 parameters: 3*3*8 + 8 and 4*4*8*10 + 10; the convolution's output
    # of 16*8*8*8 float32 alone is 32,768 bytes.
    limits = {"max_parameters": 700, "target_memory": 30000}
    done = optimize(tmp_path, **flags, **limits)
    assert done.returncode == 0, done.stderr
    assert "limits met: parameters at most 700 (1,370 -> " in done.stdout
    assert "; peak memory at most 30.0 kB (46.4 kB -> " in done.stdout
    report = json.loads((tmp_path / "w" / "report.json").read_text())
    rows = {row["name"]: row for row in report["limits"]["targets"]}
    assert {name: row["most"] for name, row in rows.items()} == limits
    assert all(row["met"] and row["after"] <= row["most"] < row["before"] for row in rows.values())
    assert report["pareto"] and len(report["pareto"]) == len(
        list((tmp_path / "w/pareto").iterdir())
    )
    for number, point in enumerate(report["pareto"]):
        assert point["parameters"] <= 700 and point["peak_memory_bytes"] <= 30000
        text = (tmp_path / "w" / point["file"]).read_text()
        assert json.loads(text) == point["spec"] and point["file"] == f"pareto/{number:03d}.json"
        assert point["provenance"].startswith("predicted: ")
        assert point["accuracy"]["provenance"] == "proxy"
    energies = [point["energy_j"] for point in report["pareto"]]
    assert energies == sorted(energies)
    # The run is another one under another limit.
    other = optimize(tmp_path, **flags, **limits | {"max_parameters": 701})
    assert other.returncode == 2 and "config.max_parameters was 700, is 701" in other.stderr
    # No kernel is smaller than 1 x 1, no width below 1: nothing is written where none can.
    none = optimize(tmp_path, **flags, workdir="v", max_parameters=12)
    assert none.returncode == 2 and none.stdout == ""
    assert none.stderr.startswith("error: max_parameters is 12, but no network of this space needs")
    assert len(none.stderr.splitlines()) == 1 and not (tmp_path / "v").exists()


def changed(**layers):
    found = json.loads(json.dumps(SPEC))
    for name, attributes in layers.items():
        found["layers"][name] |= attributes
    return found


BAD = {
    "malformed": ('{"name": "x",\n "layers": {,}}', {}, "line 2"),
    "missing parent": (changed(pool={"parents": ["nope"]}), {}, "'nope'"),
    "cycle": (changed(conv={"parents": ["pool"]}), {}, "cycle"),
    "channels": (changed(conv={"filter": [3, 3, 4, 8]}), {}, "4 input channels"),
    "device": (SPEC, {"device": "toaster"}, "titan_x"),
    "power": (SPEC, {"device": "tpu_v5e"}, "states no power"),
    "format": (SPEC, {"dtype": "fp16"}, "'titan_x' states no peak in 'fp16'; allowed: fp32"),
    "data set": (SPEC, {"dataset": "mnist"}, "digits"),
    "classes": (
        changed(fc={"num_outputs": 4}, softmax={"num_classes": 4}),
        {},
        "classes",
    ),
    "folder": (SPEC, {"dataset": "configs/specs"}, "configs/specs: too little data"),
    "missing file": (SPEC, {"dataset": "nowhere.npz"}, "nowhere.npz"),
    "unknown type": (changed(pool={"type": "Mystery"}), {"strict": "true"}, "'Mystery'"),
    "config": (SPEC, {"config.search.algorithm": "magic"}, "latent, additive"),
    "drop": (SPEC, {"max_accuracy_drop": 1.5}, "max_accuracy_drop"),
    "limit": (SPEC, {"target_time": "-1"}, "target_time is -1.0; allowed: a finite number above 0"),
    "workdir": (SPEC, {"workdir": "/proc/none/w"}, "/proc/none"),
}


# Readers are tested by themselves; of the program's own answers the most usual come first.
USUAL = ("missing file", "malformed", "device", "data set", "cycle", "classes", "unknown type")


@pytest.mark.parametrize(
    "name",
    [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow) for name in sorted(BAD)],
)
def test_bad_input_is_one_clear_line(tmp_path, name):
    spec, flags, told = BAD[name]
    done = optimize(tmp_path, spec=spec, **flags)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ") and told in done.stderr
    assert not (tmp_path / "w" / "optimized.json").exists()
    assert "Traceback" not in done.stderr
