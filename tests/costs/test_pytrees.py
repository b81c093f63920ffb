import subprocess
import sys

import jax
import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, paleo
from greennas_jax.costs.settings import CostSettings


def test_records_cross_jit(every_type):
    table, device = layer_table.from_network(every_type), devices.load("k80")
    times = jax.jit(lambda t, d: paleo.times(t, d, CostSettings()))(table, device)
    assert isinstance(times, paleo.LayerTimes)
    expected = paleo.times(table, device, CostSettings())
    np.testing.assert_allclose(times.forward_memory, expected.forward_memory, rtol=1e-5)


def test_device_leaves_are_its_figures():
    leaves, structure = jax.tree.flatten(devices.load("k80"))
    # Eight figures, idle power, the overhead; for each of eleven kinds two shares, an overhead and
    # two sizes.
    assert len(leaves) == 8 + 2 + 5 * 11
    assert jax.tree.unflatten(structure, leaves) == devices.load("k80")


@pytest.mark.parametrize("module", ["costs.profile", "costs.terms", "costs.profile_text"])
def test_costing_does_not_import_jax(module):
    code = f"import sys, greennas_jax.{module}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
