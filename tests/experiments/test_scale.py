import json

import pytest

from tests.experiments.programs import run


def test_one_weird_trick_from_the_command_line(specs, tmp_path):
    """Published speed-ups 1.94 and 3.79 on 2 and 4 workers (Paleo, ICLR 2017)."""
    out, picture = tmp_path / "out.json", tmp_path / "out.png"
    result = run(
        "scale",
        f"--spec={specs}/paleo/alex_v2_4gpu.json",
        *("--device=k20", "--link=pcie2", "--workers=1,2,4", "--parallel=hybrid"),
        *("--scaling=weak", "--collective=TreeAllReduce", "--splits=workers", "--batch_size=128"),
        *("--ppp_comp=0.46", "--ppp_comm=0.75", "--compat=paleo"),
        *(f"--json={out}", f"--picture={picture}"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert " 1.94 " in result.stdout
    assert " 3.79 " in result.stdout
    found = json.loads(out.read_text())
    assert (found["schema"], found["scheme"]) == ("greennas.scaling/1", "tree")
    assert found["settings"]["compat"] == "paleo"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.png"]


def test_firecaffe_from_the_command_line(specs):
    """Published speed-up 15.5 on 32 workers (Paleo, ICLR 2017)."""
    result = run(
        "scale",
        f"--spec={specs}/paleo/nin.json",
        *("--device=k20x", "--network=infiniband", "--workers=1,32", "--scheme=tree"),
        *("--batch_size=256", "--ppp_comp=0.21", "--ppp_comm=0.56", "--compat=paleo"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert " 15.50 " in result.stdout


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--workers=1,two", ("--workers", "'two'")),
        ("--network=token_ring", ("'token_ring'", "infiniband")),
        ("--parallel=hybrid --workers=3", ("3 splits do not divide the 4096 outputs",)),
        ("--picture=/absent/out.png", ("/absent/out.png",)),
    ],
)
def test_bad_flags_are_one_clear_line(specs, flag, words):
    spec = f"--spec={specs}/paleo/alex_v2_4gpu.json"
    result = run("scale", spec, "--device=titan_x", *flag.split())
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line
