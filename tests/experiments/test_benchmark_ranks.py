import csv
import json

import pytest

from tests.experiments.programs import FAST, SPEC, assert_refused, run

CELLS = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|skip_connect~2|",
    "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|",
    "|skip_connect~0|+|none~0|none~1|+|none~0|avg_pool_3x3~1|none~2|",
    "|none~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_1x1~2|",
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "cells.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["arch_str", "connected", "accuracy"])
        rows.writerows([text, 1, 90 - 10 * index] for index, text in enumerate(CELLS))
        rows.writerow([CELLS[2].replace("avg_pool_3x3", "none"), 0, 1.0])
    return path


@pytest.mark.slow
def test_proxies(table, tmp_path):
    arguments = ("--suite=proxies", "--small", f"--table={table}", f"--json={tmp_path / 'o.json'}")
    result = run("benchmark", *arguments, "--accuracy_column=accuracy", **FAST)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["cells"] == 4
    # By parameters: 5 kernels of 3 x 3; one and a 1 x 1; none; one 1 x 1. Ranks of accuracy 3, 2,
    # 1, 0 against 3, 2, 0, 1: 1 - 6 (1 + 1) / (4 x 15).
    assert found["spearman"]["parameters"] == pytest.approx(0.8)
    assert found["spearman"]["flops"] == pytest.approx(0.8)
    assert set(found["spearman"]) == {"naswot", "parameters", "flops"}
    assert "no data is read" in found["inputs"]


def test_bad_tables_are_refused(table):
    refused = run("benchmark", "--suite=proxies")
    assert_refused(refused, "--table=FILE")
    wrong = run("benchmark", "--suite=proxies", f"--table={table}", "--accuracy_column=a")
    assert_refused(wrong, "cells.csv", "no column 'a'")


@pytest.mark.slow
def test_sharing(tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(SPEC))
    result = run("benchmark", "--suite=sharing", "--small", f"--spec={spec}", **FAST)
    assert result.returncode == 0, result.stderr
    judged = json.loads(result.stdout)["judgements"]
    assert judged["shared weights"]["epochs"] == 1
    # One epoch more for each of the four.
    assert judged["shared weights, fine-tuned"]["epochs"] == 5
    assert judged["one epoch of real training"]["epochs"] == 4
