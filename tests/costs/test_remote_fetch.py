import json

import numpy as np
import pytest

from greennas_jax.costs import devices, links, profile, remote_fetch, replica
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import parallel
from greennas_jax.spec.network import Layer

DEVICE = devices.load("titan_x")
GIGABYTE = 2**30


def wait(parents, *, bandwidth, share=1.0):
    """Return how long a layer outside any split waits for a gigabyte of each of some splits."""
    layers = [Layer(name=f"x@{i}", type="ReLU", parents=()) for i in parents]
    layers.append(Layer(name="end", type="Concatenate", parents=tuple(x.name for x in layers)))
    sizes = {layer.name: GIGABYTE for layer in layers}
    split = np.array([*parents, -1])
    return remote_fetch.times(layers, split, sizes, DEVICE, bandwidth=bandwidth, share=share)[-1]


def test_by_hand():
    # 1 GB at 2 GB/s, from each parent; split 0 is another device than none.
    assert wait([0], bandwidth=2) == 500
    assert wait([0, 3], bandwidth=2, share=0.5) == 2000
    # Split 4 is in another group than 0 to 3: half the bandwidth; 5 comes at a quarter.
    assert wait([0, 4, 5], bandwidth=2) == 500 + 1000 + 2000
    # A single parent never halves it.
    assert wait([4], bandwidth=2) == 500
    # At the speed of the device's memory where none is stated.
    assert wait([1], bandwidth=None) == pytest.approx(1000 / 336.5)


def test_the_original_stops_where_a_network_is_needed():
    with pytest.raises(ValueError, match="layer 'end': Paleo stops here"):
        wait([3, 4], bandwidth=None)


@pytest.mark.parametrize("name", ["alex_v2_4gpu", "syn_mp_3splits"])
def test_figures_of_the_original(shared, paleo_network, name):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    expanded = parallel.expand(paleo_network(name), compat="paleo")
    cost = replica.cost(expanded, DEVICE, CostSettings(compat="paleo"), 12 if "3" in name else 128)
    rows = {layer.name: row for row, layer in enumerate(cost.layers)}
    for network in ("None", "ethernet", "pcie3"):
        bandwidth = None if network == "None" else links.load(network).bandwidth_gbits / 8
        found = remote_fetch.times(
            cost.layers, cost.split, cost.output_bytes, DEVICE, bandwidth=bandwidth
        )
        for layer in figures["layers"]:
            waited = layer.get("remote_fetch", {"ms": {network: 0}})["ms"][network]
            assert found[rows[layer["name"]]] == pytest.approx(waited, rel=1e-12)


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("name", ["alex_v2_4gpu", "syn_mp_3splits"])
def test_profiles_of_split_networks(shared, paleo_network, name, pipelined):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    for share in ("1.0", "0.62"):
        settings = CostSettings(
            compat="paleo", mode="training", ppp_comp=float(share), pipelined=pipelined
        )
        totals = profile.profile(paleo_network(name), DEVICE, settings)["totals"]
        assert totals["parameters"] == figures["num_params"]
        for step in ("forward", "backward"):
            expected = figures["totals"]["TITAN_X"][share][step]
            kind = "pipelined" if pipelined else "total"
            assert totals[f"{step}_ms"] == pytest.approx(expected[kind], rel=1e-12)
