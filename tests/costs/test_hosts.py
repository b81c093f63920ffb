import pytest

from greennas_jax.costs import devices, hosts
from tests.costs import published_runs


def host(name):
    return hosts.of(devices.read(published_runs.device_text(name)))


@pytest.mark.parametrize(
    ("name", "most_w", "tdp_w"), [("v100", 3500, 300), ("a100", 6500, 400), ("h100", 10200, 700)]
)
def test_what_a_machine_of_eight_draws_beside_its_devices(name, most_w, tdp_w):
    """NVIDIA's DGX machines: the most that one draws, less the TDP of its eight GPUs."""
    found = host(name)
    assert found.watts.value == (most_w - 8 * tdp_w) / 8
    assert (found.watts.provenance, found.model) == ("assumed", "physical")


def test_a_tpus_machine_is_within_its_curve():
    found = host("tpu_v3")
    assert (found.model, found.watts.value) == ("utilisation", None)
    assert "within the curve" in found.within


def test_a_family_shares_its_machine():
    assert host("a100_80gb").watts.value == 412.5
    assert host("a1000").watts.value is None


def test_an_unknown_machine_is_left_out_and_said_so():
    found = host("abacus")
    assert (found.model, found.within) == ("physical", "")
    assert "no machine is known for device 'abacus'" in found.watts.source
