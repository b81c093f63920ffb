import numpy as np
import pytest

from greennas_jax.costs import devices, profile, replica
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import parallel


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("pipelined", [False, True])
def test_sums_are_those_of_the_profile(every_type, compat, pipelined):
    device = devices.load("k80")
    settings = CostSettings(mode="training", compat=compat, pipelined=pipelined, ppp_comp=0.5)
    found = replica.cost(parallel.expand(every_type, compat=compat), device, settings, 8)
    totals = profile.profile(every_type, device, settings, 8)["totals"]
    assert found.busy.sum() == pytest.approx(totals["time_ms"])
    assert found.energy.sum() == pytest.approx(totals["energy_j"])
    assert found.parameters.sum() == totals["parameters"]
    assert np.all(found.update_energy <= found.energy)
    assert found.output_bytes["data"] == 4 * 8 * 8 * 8 * 4


def test_inference_is_no_part_of_training(every_type):
    device = devices.load("k80")
    alike = [
        replica.cost(parallel.expand(every_type), device, CostSettings(mode=mode), 2).busy.sum()
        for mode in ("inference", "training")
    ]
    assert alike[0] == alike[1]


def test_unknown_power_is_not_a_number(every_type):
    device = devices.load("k80").replace(power_known=False)
    found = replica.cost(parallel.expand(every_type), device, CostSettings(), 2)
    assert np.isnan(found.energy).all()
    assert np.isfinite(found.busy).all()


def test_layers_that_the_original_loses_are_left_out(paleo_network):
    expanded = parallel.expand(paleo_network("syn_nb201_cell"))
    device = devices.load("k80")
    counts = [
        len(replica.cost(expanded, device, CostSettings(compat=compat), 4).layers)
        for compat in (None, "paleo")
    ]
    # 9 of 12 layers remain, says the original.
    assert counts == [12, 9]
