import csv
import json

import numpy as np
import pytest

from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import factors, nasbench201
from tests.experiments.programs import assert_refused, run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return a table whose energies and latencies are those of a device that is known."""
    space = nasbench201.CellSpace()
    tokens = space.sample(np.random.default_rng(0), 120)
    tokens = np.unique(tokens, axis=0)
    costs = space.factors(
        devices.load("h100"), [terms.get("energy"), terms.get("time")], CostSettings()
    )
    energy, latency = np.asarray(factors.exact(costs, tokens.T))
    path = tmp_path_factory.mktemp("energy") / "cells.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["arch_str", "accuracy", "energy_mj", "latency_ms"])
        for row, joules, time in zip(tokens, energy, latency, strict=True):
            rows.writerow([space.text(row), 50.0, 1000 * joules, time])
    return path


COLUMNS = ("--accuracy_column=accuracy", "--cost_column=energy_mj", "--latency_column=latency_ms")


@pytest.mark.slow
def test_a_known_device_is_found_again_from_whole_networks(table):
    result = run("benchmark", "--suite=energy", "--small", f"--table={table}", *COLUMNS)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["learnt_from"] + found["judged_on"] == len(table.read_text().splitlines()) - 1
    physical = found["models"]["physical device"]
    assert physical["rmspe_percent"]["most"] < 5
    assert physical["spearman"]["least"] > 0.99
    assert (
        physical["rmspe_percent"]["most"]
        < found["models"]["gradient boosting"]["rmspe_percent"]["least"]
    )


def test_a_table_without_its_columns_is_refused(tmp_path):
    table = tmp_path / "cells.csv"
    table.write_text("arch_str,accuracy,energy_mj\n")
    assert_refused(run("benchmark", "--suite=energy"), "--table=FILE")
    wrong = run("benchmark", "--suite=energy", f"--table={table}", *COLUMNS[:2])
    assert_refused(wrong, "cells.csv", "pi5_onnx_cifar100_latency_ms")
