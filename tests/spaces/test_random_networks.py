"""Whatever the graph, the space around it holds together."""

import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, terms
from greennas_jax.spaces import edits, exact, factors
from greennas_jax.spaces.edits import EditsConfig
from greennas_jax.spec import paleo_json
from tests.spaces import random_networks
from tests.spaces.conftest import TRAINING
from tests.spaces.test_edits import strings


@pytest.mark.parametrize("seed", range(40))
def test_random_network(seed):
    network = random_networks.draw(seed)
    cap = (200, 2**18)[seed % 2]
    space = edits.build(network, config=EditsConfig(scope_cap=cap))
    wanted = [terms.get("energy"), terms.get("flops")]
    device = devices.load("titan_x")
    costs = space.factors(device, wanted, TRAINING)
    assert space.decode(np.zeros(len(space.positions), np.int32)) == network
    found = strings(space, 12, seed)
    totals = factors.exact(costs, found.T)
    canonical = space.canonical(found)
    networks = [space.decode(tokens) for tokens in found]
    assert len({row.tobytes() for row in canonical}) == len({repr(one) for one in networks})
    for row, decoded in enumerate(networks):
        np.testing.assert_array_equal(space.encode(decoded), canonical[row])
        table = layer_table.from_network(decoded)
        expected = [term.function(table, device, TRAINING).sum() for term in wanted]
        np.testing.assert_allclose(totals[:, row], expected, rtol=1e-9)
        assert paleo_json.read(paleo_json.write(decoded)).by_name() == decoded.by_name()
    assert exact.cheapest(costs, {"energy": 1.0})[1] <= totals[0].min() * (1 + 1e-12)
