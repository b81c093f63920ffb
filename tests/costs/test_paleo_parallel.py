import functools
import json
import math

import pytest

from greennas_jax.costs import communication, devices, links, paleo_parallel, replica
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import parallel

NETWORKS = ("alex_v2", "alex_v2_1gpu", "alex_v2_4gpu", "nin", "vgg16", "resnet50", "inception_v3")


class Study:
    """The original's simulations of one network; costs are kept by what they depend on."""

    def __init__(self, network):
        self.expanded = parallel.expand(network, compat="paleo")
        self.link = functools.cache(links.load)
        self.device = functools.cache(devices.load)
        self._cost = functools.cache(self._cost)

    def _cost(self, device, share, batch, pipelined):
        settings = CostSettings(compat="paleo", ppp_comp=share, pipelined=pipelined)
        return replica.cost(self.expanded, self.device(device), settings, batch)

    def cost(self, case, batch):
        return self._cost(case["device"], case["ppp_comp"], batch, case["use_pipeline"])

    def fabric(self, case):
        return Fabric(link=self.link(case["network"]), share=case["ppp_comm"], compat="paleo")


@pytest.fixture(scope="module")
def study(paleo_network):
    return functools.cache(lambda name: Study(paleo_network(name)))


@pytest.fixture(scope="module")
def figures(shared):
    folder = shared / "paleo" / "scaling"
    return functools.cache(lambda name: json.loads((folder / f"{name}.json").read_text()))


def assert_close(found, expected, case):
    for one, other in zip(found, expected, strict=True):
        assert math.isclose(one, other, rel_tol=1e-9), (found, expected, case)


def times(part):
    return [part.forward_ms, part.backward_ms, part.update_ms]


@pytest.mark.parametrize("name", NETWORKS)
def test_data_parallel_of_the_original(study, figures, name):
    of_network = study(name)
    for case in figures(name)["data_parallel"]:
        fabric = of_network.fabric(case)
        seen = {key: case[key] for key in ("device", "network", "scaling", "ppp_comp")}
        for workers, _, _, *expected in case["rows"]:
            weak = case["scaling"] == "weak"
            batch = case["batch_size"] if weak else math.ceil(case["batch_size"] / workers)
            part = paleo_parallel.data(of_network.cost(case, batch), fabric)
            reduced = [
                communication.all_reduce_time(scheme, part.gradient_bytes, fabric, workers)
                for scheme in case["headers"][7:]
            ]
            found = [*times(part), sum(times(part)), *reduced]
            assert_close(found, expected, seen)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "inception_v3"])
def test_model_parallel_of_the_original(study, figures, name):
    of_network = study(name)
    network = of_network.expanded.network
    for case in figures(name)["model_parallel"]:
        cost = of_network.cost(case, case["batch_size"])
        bounds = paleo_parallel.model(cost, network, of_network.fabric(case))
        forward, backward = (row[1:] for row in case["rows"])
        assert_close([part.forward_ms for part in bounds], forward, case)
        assert_close([part.backward_ms for part in bounds], backward, case)


def test_branches_of_branches_are_refused_as_by_the_original(study, figures):
    of_network = study("inception_v3")
    for case in figures("inception_v3")["model_parallel"]:
        assert "AttributeError" in case["error"]
        cost = of_network.cost(case, case["batch_size"])
        with pytest.raises(ValueError, match="layer 'Mixed_7b/.*': Paleo stops here"):
            paleo_parallel.model(cost, of_network.expanded.network, of_network.fabric(case))


@pytest.mark.parametrize("name", ["alex_v2_1gpu", "alex_v2_4gpu"])
def test_hybrid_of_the_original(study, figures, name):
    of_network = study(name)
    network = of_network.expanded.network
    for case in figures(name)["hybrid"]:
        workers, fabric = case["hybrid_workers"], of_network.fabric(case)
        cost = of_network.cost(case, case["batch_size"])
        outside, inside = paleo_parallel.hybrid(cost, network, fabric, workers)
        tree = communication.all_reduce_time("tree", outside.gradient_bytes, fabric, workers)
        assert_close([*times(outside), tree], case["rows"][0][2:], case)
        assert_close([*times(inside), 0], case["rows"][1][2:], case)
