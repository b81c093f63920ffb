import json
import subprocess
import sys

import pytest

from tests.experiments.programs import ROOT, assert_refused, run

LAYERS = {
    "data": {"type": "Input", "parents": [], "tensor": [4, 8, 8, 3]},
    "conv": {
        "type": "Convolution",
        "parents": ["data"],
        "filter": [3, 3, 3, 8],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
    },
    "odd": {"type": "Mystery", "parents": ["conv"]},
    "dense": {"type": "InnerProduct", "parents": ["odd"], "num_outputs": 10},
}


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"name": "small", "layers": LAYERS}), encoding="utf-8")
    return path


def test_table_and_json(spec, tmp_path):
    out = tmp_path / "out.json"
    result = run("profile", f"--spec={spec}", "--device=TITAN_X", "--batch_size=2", f"--json={out}")
    assert (result.returncode, result.stderr) == (0, "")
    assert "conv" in result.stdout
    assert "energy per example" in result.stdout
    found = json.loads(out.read_text())
    assert found["schema"] == "greennas.profile/1"
    assert (found["batch_size"], found["device"], found["mode"]) == (2, "titan_x", "inference")
    # 2 * 3*3*3 * 8*8*8 * 2.
    assert found["layers"][1]["flops"] == 55296
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.json", "out.json"]


def test_training_as_the_original_with_a_share_of_the_peak(spec, tmp_path):
    out = tmp_path / "out.json"
    flags = ("--mode=training", "--compat=paleo", "--ppp_comp=0.5", "--ppp_comm=0.5", "--summary")
    result = run("profile", f"--spec={spec}", "--device=k80", f"--json={out}", *flags)
    assert result.returncode == 0
    assert "4x8x8x8" in result.stdout
    found = json.loads(out.read_text())
    assert found["settings"]["compat"] == "paleo"
    layer = found["layers"][1]
    # 2 * 3*3*3 * 8*8*8 * 4 = 110592 FLOP at half of 5600 GFLOP/s.
    assert layer["forward_compute_ms"] == pytest.approx(110592 / 2.8e12 * 1000, rel=1e-12)
    # Padded 4 * 10*10*3, 3*3*3*8 and 4 * 8*8*8 elements of 4 B at half of 480 * 2^30 B/s.
    expected = 4 * (1200 + 216 + 2048) / (240 * 2**30) * 1000
    assert layer["forward_memory_ms"] == pytest.approx(expected, rel=1e-12)
    assert layer["backward_data_compute_ms"] == 0


def test_explanation(spec, tmp_path):
    out = tmp_path / "out.json"
    flags = ("--explain", "--conv_algorithm=fastest", "--pipelined", "--summary")
    result = run("profile", f"--spec={spec}", "--device=k80", f"--json={out}", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert "free (" in result.stdout
    found = json.loads(out.read_text())
    assert found["settings"]["pipelined"] is True
    odd = next(layer for layer in found["explain"]["layers"] if layer["name"] == "odd")
    assert [reason["rule"] for reason in odd["reasons"]] == ["free"]


def test_a_device_file_of_ones_own(spec, tmp_path):
    figures = {"clock_mhz": 100, "peak_gflops": 10, "bandwidth_gbs": 5}
    stated = {key: {"value": value, "source": "test"} for key, value in figures.items()}
    device = tmp_path / "mine.json"
    device.write_text(json.dumps({"name": "mine", **stated}))
    result = run("profile", f"--spec={spec}", f"--device={device}")
    assert result.returncode == 0
    assert "states neither 'tdp_w' nor 'static_w'" in result.stdout


def test_breakdown_and_picture(spec, tmp_path):
    out, picture = tmp_path / "out.json", tmp_path / "parts.png"
    flags = ("--breakdown", f"--picture={picture}", f"--json={out}", "--measured_ms=3.5")
    result = run("profile", f"--spec={spec}", "--device=titan_x", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert "data movement" in result.stdout
    assert "time measured elsewhere, 3.5 ms" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(out.read_text())
    # 125 W for 3.5 ms.
    assert found["breakdown"]["total"]["static_j"] == pytest.approx(0.4375)
    assert found["layers"][1]["kind"] == "convolution"


def test_number_formats(spec, tmp_path):
    figures = {"clock_mhz": 100, "peak_gflops": 10, "bandwidth_gbs": 5}
    stated: dict = {key: {"value": value, "source": "test"} for key, value in figures.items()}
    stated["dtypes"] = {"int8": {"peak_gflops": {"value": 40, "source": "test"}}}
    device, out = tmp_path / "mine.json", tmp_path / "out.json"
    device.write_text(json.dumps({"name": "mine", "default_dtype": "bf16", **stated}))
    results = {}
    for flags in ((), ("--dtype=int8",)):
        result = run("profile", f"--spec={spec}", f"--device={device}", f"--json={out}", *flags)
        assert result.returncode == 0
        found = json.loads(out.read_text())
        results[found["settings"]["dtype"]] = found["layers"][1]
    # 2 B against 1 B per element, 10 against 40 GFLOP/s.
    assert results["bf16"]["bytes"] == 2 * results["int8"]["bytes"]
    ratio = results["bf16"]["forward_compute_ms"] / results["int8"]["forward_compute_ms"]
    assert ratio == pytest.approx(4.0)
    refused = run("profile", f"--spec={spec}", f"--device={device}", "--dtype=fp32")
    assert_refused(refused, "'mine'", "'fp32'", "allowed: bf16, int8")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--device=v101", ("'v101'", "titan_x")),
        ("--device=absent.json", ("absent.json",)),
        ("--mode=test", ("--mode", "inference")),
        ("--compat=caffe", ("--compat", "paleo")),
        ("--conv_algorithm=fit", ("'fit'", "allowed: gemm, fft, tiled_fft, im2col, fastest")),
        ("--dtype=fp64", ("--dtype", "bf16")),
        ("--dtype=bf16", ("'titan_x'", "'bf16'", "allowed: fp32")),
        ("--power=guess", ("'guess'", "allowed: physical")),
        ("--measured_ms=-1", ("the measured time is -1", "above 0")),
        ("--picture=/absent/out.png", ("/absent/out.png",)),
        ("--ppp_comp=62", ("ppp_comp is 62", "from 1e-09 to 1")),
        ("--batch_size=0", ("--batch_size",)),
        ("--batch_size=many", ("--batch_size",)),
        ("--json=/absent/out.json", ("/absent/out.json",)),
        ("--strict", ("'odd'", "'Mystery'")),
        ("--frobnicate", ("frobnicate",)),
        ("positional", ("'positional'", "--name=value")),
    ],
)
def test_bad_flags_are_one_clear_line(spec, flag, words):
    assert_refused(run("profile", f"--spec={spec}", "--device=titan_x", flag), *words)


def test_missing_flags_are_named():
    assert_refused(run("profile", "--device=titan_x"), "--spec")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"name": "x", "layers": {}}', "\x00"])
def test_bad_networks_are_one_clear_line(tmp_path, text):
    path = tmp_path / "net.json"
    path.write_text(text)
    out = tmp_path / "out.json"
    assert_refused(run("profile", f"--spec={path}", "--device=titan_x", f"--json={out}"), str(path))
    assert not out.exists()


def test_absent_networks_and_folders_are_named(tmp_path):
    assert_refused(run("profile", f"--spec={tmp_path}/absent.json", "--device=k20"), "absent.json")
    assert_refused(run("profile", f"--spec={tmp_path}", "--device=k20"), str(tmp_path))


def test_help():
    result = run("profile", "--help")
    assert result.returncode == 0
    assert "--spec" in result.stdout
    assert "titan_x" in result.stdout
    assert "python experiments/profile.py" in result.stdout


@pytest.mark.parametrize("flags", ["--spec={spec} --device=k20", "--help"])
def test_a_reader_that_closes_the_pipe(spec, flags):
    command = f"{sys.executable} experiments/profile.py {flags.format(spec=spec)} | true"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "batch", "printed"),
    [("vgg16", 64, "345.83"), ("alex_v2", 128, "33.16"), ("nin", 128, "45.68")],
)
def test_the_table_of_neuralpower(shared, name, batch, printed):
    """Paleo's forward times on a Titan X in Cai et al., ACML 2017, to the printed digit."""
    spec = shared / "paleo" / "nets" / f"{name}.json"
    result = run(
        "profile", f"--spec={spec}", "--device=titan_x", "--compat=paleo", f"--batch_size={batch}"
    )
    assert result.returncode == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["forward", printed, "ms"] in lines


def test_the_figures_of_the_original(shared, tmp_path):
    out = tmp_path / "out.json"
    spec = shared / "paleo" / "nets" / "vgg16.json"
    flags = ("--compat=paleo", "--ppp_comp=0.62", "--mode=training")
    result = run("profile", f"--spec={spec}", "--device=K20X", f"--json={out}", *flags)
    assert result.returncode == 0
    figures = json.loads((shared / "paleo" / "layers" / "vgg16.json").read_text())
    found = json.loads(out.read_text())
    layers = {layer["name"]: layer for layer in found["layers"]}
    for layer in figures["layers"]:
        cost = layer["cost"]["K20X"]["0.62"]
        for step in ("forward", "backward_data", "backward_filter"):
            for kind, key in (("compute", "comp"), ("memory", "comm")):
                printed = layers[layer["name"]][f"{step}_{kind}_ms"]
                assert printed == pytest.approx(cost[step][key], rel=1e-12, abs=0)
    expected = figures["totals"]["K20X"]["0.62"]["forward"]["total"]
    assert found["totals"]["forward_ms"] == pytest.approx(expected, rel=1e-12)


@pytest.fixture
def language_model(tmp_path):
    """Return the path of a network that makes one token after another."""
    layers = {
        "ids": {"type": "Input", "parents": [], "tensor": [2, 6]},
        "embed": {
            "type": "Embedding",
            "parents": ["ids"],
            "vocabulary": 20,
            "width": 8,
            "positions": 9,
        },
        "attend": {
            "type": "MultiHeadAttention",
            "parents": ["embed"],
            "heads": 2,
            "causal": True,
        },
    }
    path = tmp_path / "language_model.json"
    path.write_text(json.dumps({"name": "language model", "layers": layers}))
    return path


def test_prefill_and_decode(language_model, tmp_path):
    out = tmp_path / "profile.json"
    flags = (f"--spec={language_model}", "--device=titan_x", f"--json={out}")
    found = {}
    for mode in (("prefill", "--sequence_length=9"), ("decode", "--context=7")):
        result = run("profile", *flags, f"--mode={mode[0]}", mode[1], "--attention=fused")
        assert (result.returncode, result.stderr) == (0, "")
        assert "key-value cache" in result.stdout
        found[mode[0]] = json.loads(out.read_text())
    assert found["prefill"]["sequence"] == {"lengths": {"ids": 9}, "context": None}
    assert found["decode"]["sequence"] == {"lengths": {"ids": 1}, "context": 7}
    totals = {mode: profile["totals"] for mode, profile in found.items()}
    assert [totals[mode]["tokens"] for mode in totals] == [2 * 9, 2]
    # Keys and values of 8 values in 4 bytes, of 9 and of 7 positions of two sequences.
    assert [totals[mode]["kv_cache_bytes"] for mode in totals] == [2 * 9 * 64, 2 * 7 * 64]
    for each in totals.values():
        assert each["energy_per_token_j"] == pytest.approx(each["energy_j"] / each["tokens"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--mode=decode", "--context=10"), ("'embed'", "context of 10", "9 'positions'")),
        (("--sequence_length=10",), ("'embed'", "sequence of 10", "9 'positions'")),
        (("--context=4",), ("context is 4", "decode")),
        (("--mode=prefill", "--explain"), ("prefill", "Paleo")),
        (("--compat=paleo",), ("'embed'", "no layers of transformers")),
        (("--attention=quick",), ("attention", "materialised", "fused")),
    ],
)
def test_bad_lengths_are_one_clear_line(language_model, flags, words):
    result = run("profile", f"--spec={language_model}", "--device=titan_x", *flags)
    assert_refused(result, *words)


def test_a_network_that_makes_no_tokens(spec):
    result = run("profile", f"--spec={spec}", "--device=titan_x", "--mode=decode")
    assert_refused(result, "no causal MultiHeadAttention", "decode")
