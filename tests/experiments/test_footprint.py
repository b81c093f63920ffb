import json

import pytest

from tests.costs.published_runs import RUNS
from tests.experiments.programs import SPEC, assert_refused, run

GPT2 = "configs/specs/gpt2.json"
RUN = ("--flops=1e20", "--device=titan_x", "--utilisation=0.5")


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(SPEC))
    return path


def test_a_training_run_from_the_command_line(tmp_path):
    """GPT-3: 1287 MWh and 552.1 t (Patterson et al. 2021, table 4)."""
    out, published = tmp_path / "out.json", RUNS["gpt3"]
    result = run(
        "footprint",
        *(f"--flops={published.flops}", "--device=v100", "--dtype=fp16"),
        *(f"--devices={published.devices}", f"--utilisation={published.utilisation}"),
        *("--datacentre=gpt3", "--tokens=300e9", "--parameters=175e9", f"--json={out}"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(out.read_text())
    assert (found["schema"], found["subject"]) == ("greennas.footprint/1", "training")
    assert found["figures"]["energy"]["value"] == pytest.approx(1287, rel=0.1)
    assert found["figures"]["carbon"]["value"] == pytest.approx(552.1, rel=0.1)
    assert "Green AI (E x D x H): 1.05 TFLOP a token" in result.stdout
    assert "left out: embodied emissions" in result.stdout


def test_a_network_trained_over_a_link(tiny, tmp_path):
    out = tmp_path / "out.json"
    result = run(
        "footprint",
        *(f"--spec={tiny}", "--device=titan_x", "--devices=4", "--examples=1797", "--epochs=20"),
        *("--network=ethernet", "--collective=tree", "--country=France", "--year=2021"),
        *("--price=0.2", "--experiments=3", f"--json={out}"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(out.read_text())
    assert found["figures"]["intensity"]["value"] == 67.39
    assert found["figures"]["examples"]["value"] == 1797 * 20
    assert found["shares"]["communication"] > 0
    assert found["figures"]["cost"]["value"] > 0
    assert found["green_ai"]["experiments"] == 3


def test_a_deployment_from_the_command_line(tiny, tmp_path):
    out = tmp_path / "out.json"
    result = run(
        "footprint",
        *("--subject=deployment", f"--spec={tiny}", "--device=titan_x", "--requests=1e6"),
        *("--batch_size=1", "--idle_share=0.9", "--idle_watts=15", "--idle_devices=1"),
        *("--host_watts=100", "--intensity=30", "--pue=1.1", f"--json={out}"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(out.read_text())
    assert found["subject"] == "deployment"
    assert found["per_thousand"]["energy"]["value"] > 0
    assert found["shares"]["idle"] > found["shares"]["computing"]
    assert "by 1,000 inferences" in result.stdout


def test_a_language_model_answers_from_the_command_line(specs, tmp_path):
    out = tmp_path / "out.json"
    result = run(
        "footprint",
        *("--subject=deployment", f"--spec={specs}/gpt2.json", "--device=a100_80gb"),
        *("--dtype=fp16", "--batch_size=1", "--prefill_tokens=32", "--decode_tokens=9"),
        *("--idle_devices=7", "--country=US", f"--json={out}"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(out.read_text())
    assert [phase["name"] for phase in found["phases"]] == ["prefill", "decode"]
    assert [phase["calls"] for phase in found["phases"]] == [1, 8]
    assert found["idle_devices"] == 7
    assert found["per_thousand"]["carbon"]["value"] > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((*RUN, "--country=Frnace"), ("country 'Frnace'", "nearest: France")),
        ((*RUN, "--tokens=1e9", "--examples=10"), ("both tokens and examples",)),
        ((*RUN, "--requests=10"), ("--requests", "--subject=training")),
        (("--device=titan_x", "--subject=deployment"), ("--spec is needed",)),
        (
            ("--device=titan_x", "--subject=deployment", f"--spec={GPT2}", "--decode_tokens=5"),
            ("--decode_tokens goes with --prefill_tokens",),
        ),
    ],
)
def test_bad_flags_are_one_clear_line(flags, words):
    assert_refused(run("footprint", *flags), *words)
