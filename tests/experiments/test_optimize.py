import json
import subprocess
import sys

import numpy as np
import pytest

from greennas_jax.accuracy import datasets
from tests.accuracy.data import examples
from tests.experiments.programs import QUICK, ROOT, SPEC, launch
from tests.export import cases


def optimize(tmp_path, **flags):
    return launch(tmp_path, "optimize", **flags)


def files_of(folder):
    return {p.name for p in folder.iterdir()}


def test_journey_writes_everything_and_resumes_to_the_same(tmp_path):
    first = optimize(tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    folder = tmp_path / "w"
    assert {
        "optimized.json",
        "optimized_flax.py",
        "optimized.safetensors",
        "report.json",
        "summary.txt",
        "history.csv",
        "exact_front.csv",
        "pareto",
        "pareto.png",
        "progress.png",
        "layer_energy.png",
        "config.json",
        "checkpoints",
    } == files_of(folder)
    report = json.loads((folder / "report.json").read_text())
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
    rows = (folder / "history.csv").read_text().splitlines()
    assert len([row for row in rows if ",search," in row]) == 4

    # The code with its weights reaches on the test split what the first fresh seed reached.
    made = cases.imported(folder / "optimized_flax.py")
    network = made.load(str(folder / "optimized.safetensors"))
    data = datasets.load("digits", (8, 8, 1), 10)
    right = np.argmax(network(data.test_images), axis=-1) == data.test_labels
    reached = report["accuracy"]["after"]["accuracies"][0]
    assert right.sum() == round(reached * len(data.test_labels))

    # A run cut off after its last training, and one from nothing, end like the first.
    for name in ("optimized.json", "optimized_flax.py", "optimized.safetensors"):
        (folder / name).unlink()
    trials = folder / "checkpoints" / "trials.jsonl"
    before = trials.read_text()
    again = optimize(tmp_path)
    fresh = optimize(tmp_path, workdir="fresh", assumed_watts=65)
    assert again.returncode == fresh.returncode == 0
    assert trials.read_text() == before
    code = ("optimized_flax.py", "optimized.safetensors")
    for name in ("optimized.json", "history.csv", "exact_front.csv", *code):
        texts = {(tmp_path / w / name).read_bytes() for w in ("w", "fresh")}
        assert len(texts) == 1
    assert (folder / "history.csv").read_text().splitlines() == rows

    # Its power assumed, the search's own energy is known, and when it is repaid.
    own = json.loads((tmp_path / "fresh" / "report.json").read_text())
    spent = own["search"]
    assert spent["energy_provenance"] in ("assumed", "measured")
    if spent["energy_provenance"] == "assumed":
        np.testing.assert_allclose(spent["energy_j"], 65 * spent["wall_s"])
    saved = -np.diff([own[side]["totals"]["energy_per_example_j"] for side in ("before", "after")])
    if saved[0] > 0:
        assert own["payback_inferences"] == np.ceil(spent["energy_j"] / saved[0])
    else:
        assert own["payback_reason"] == "no energy is saved"

    # Re-profiled, the optimised text gives the report's figures exactly.
    profile = subprocess.run(
        [
            sys.executable,
            str(ROOT / "experiments" / "profile.py"),
            f"--spec={folder / 'optimized.json'}",
            "--device=titan_x",
            f"--json={tmp_path / 'p.json'}",
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=100,
    )
    assert profile.returncode == 0
    assert json.loads((tmp_path / "p.json").read_text()) == report["after"]

    other = optimize(tmp_path, seed=5)
    assert other.returncode == 2
    assert "config.seed was 0, is 5" in other.stderr


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
    "workdir": (SPEC, {"workdir": "/proc/none/w"}, "/proc/none"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_one_clear_line(tmp_path, name):
    spec, flags, told = BAD[name]
    done = optimize(tmp_path, spec=spec, **flags)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ") and told in done.stderr
    assert not (tmp_path / "w" / "optimized.json").exists()
    assert "Traceback" not in done.stderr
