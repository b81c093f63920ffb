"""The flag --power=neuralpower:FILE of the programs."""

import json
import subprocess
import sys

import pytest

from greennas_jax.costs import neuralpower_text
from tests.costs import fitted_models
from tests.experiments.programs import ROOT, SPEC, assert_refused, run

MODEL = fitted_models.model(fitted_models.fit("convolution", "CONVOLUTION"))


@pytest.fixture
def power(tmp_path):
    """Return a flag that names a file of layer models."""
    path = tmp_path / "bench.json"
    path.write_text(neuralpower_text.write(MODEL), encoding="utf-8")
    return f"neuralpower:{path}"


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(SPEC), encoding="utf-8")
    return path


def test_profile_by_layer_models(spec, power, tmp_path):
    out = tmp_path / "out.json"
    flags = (f"--spec={spec}", "--device=titan_x", f"--json={out}")
    result = run("profile", *flags, f"--power={power}")
    assert (result.returncode, result.stderr) == (0, "")
    assert "no pooling was measured; the physical model answers" in result.stdout
    found = json.loads(out.read_text())
    assert found["settings"]["power"] == str(MODEL)
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert "fitted to layers measured on 'bench'" in layers["conv"]["provenance"]
    assert "NeuralPower" not in layers["pool"]["provenance"]
    # 2^(7 + 0.05 log2(1 / 2^4.5) + 0.02 log2(16 / 2^3) log2(1 / 2^4.5)) W at the least, and the
    # physical energy of the activation.
    assert layers["conv"]["power_w"] == pytest.approx(2 ** (7 - 0.225 - 0.09), rel=0.05)


def test_bad_files_and_settings_are_refused(spec, power, tmp_path):
    flags = (f"--spec={spec}", "--device=titan_x")
    assert_refused(run("profile", *flags, "--power=neuralpower:nowhere.json"), "nowhere.json")
    spoiled = tmp_path / "spoiled.json"
    spoiled.write_text('{"schema": "greennas.neuralpower/1", "device": 3}', encoding="utf-8")
    refused = run("profile", *flags, f"--power=neuralpower:{spoiled}")
    assert_refused(refused, "spoiled.json", "'driver' is missing")
    refused = run("profile", *flags, f"--power={power}", "--compat=paleo")
    assert_refused(refused, "fitted model", "allowed: physical")
    assert_refused(run("profile", *flags, "--power=magic"), "power is 'magic'; allowed: physical")


REQUEST = """
import sys
sys.path.insert(0, "experiments")
import journey_flags
from absl import flags
spec, device = journey_flags.define_network()
flags.FLAGS(sys.argv)
settings = journey_flags.request(spec.value, device.value).config.settings
print(settings.power, settings.mode, sep="; ")
"""


def test_the_journey_takes_the_flag(spec, power):
    given = [f"--spec={spec}", "--device=titan_x", "--workdir=w", f"--power={power}"]
    done = subprocess.run(
        [sys.executable, "-c", REQUEST, *given], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{MODEL}; inference\n"
