"""How tests launch the programs, and what they expect of a refusal."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = {
    "name": "tiny",
    "layers": {
        "data": {"parents": [], "type": "Input", "tensor": [16, 8, 8, 1]},
        "conv": {
            "parents": ["data"],
            "type": "Convolution",
            "filter": [3, 3, 1, 8],
            "padding": "SAME",
            "strides": [1, 1, 1, 1],
            "activation_fn": "relu",
        },
        "pool": {
            "parents": ["conv"],
            "type": "Pooling",
            "ksize": [1, 2, 2, 1],
            "strides": [1, 2, 2, 1],
            "padding": "VALID",
        },
        "fc": {"parents": ["pool"], "type": "InnerProduct", "num_outputs": 10},
        "softmax": {"parents": ["fc"], "type": "Softmax", "num_classes": 10},
    },
}
QUICK = {
    "search.queries": 4,
    "search.batch": 4,
    "search.rounds": 1,
    "search.settling": 0,
    "search.leaders": 1,
    "search.repeats": 2,
    "baseline_seeds": 2,
    "final_seeds": 2,
    "final_epochs": 1,
    "recipe.epochs": 1,
    "training.pool": 256,
    "training.steps": 20,
    "latent.restarts": 8,
    "latent.steps": 2,
}


def environment():
    """Return the environment of a program: it computes much and is compiled as ever."""
    return {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}


# For programs whose figures mean nothing in a test: compiled fast.
FAST = {"env": environment() | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}, "timeout": 400}


def run(program, *arguments, **options):
    """Run a program with the flags given."""
    command = [sys.executable, f"experiments/{program}.py", *map(str, arguments)]
    given = {"cwd": ROOT, "env": environment(), "timeout": 120} | options
    return subprocess.run(command, capture_output=True, text=True, check=False, **given)


def assert_refused(result, *words):
    """Check that a program ended with one clear line that holds the words."""
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert all(word in lines[0] for word in words), lines[0]


def launch(tmp_path, program, *, workdir="w", spec=SPEC, config=QUICK, **flags):
    """Run a program of the whole journey on a small network, with little of everything."""
    path = tmp_path / "spec.json"
    path.write_text(spec if isinstance(spec, str) else json.dumps(spec))
    given = {"spec": path, "device": "titan_x", "dataset": "digits", "workdir": tmp_path / workdir}
    given |= flags
    command = [sys.executable, str(ROOT / "experiments" / f"{program}.py")]
    command += [f"--{key}={value}" for key, value in given.items()]
    command += [f"--config.{key}={value}" for key, value in config.items()]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=400
    )
