import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, neuralpower, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits, factors
from tests.costs import fitted_models
from tests.spaces import examples
from tests.spaces.test_edits import strings
from tests.spaces.test_factors import one_hot

MODEL = fitted_models.model(
    fitted_models.fit("convolution", "CONVOLUTION", in_channels=(1.0, 24.0)),
    fitted_models.fit(
        "inner_product", "INNER_PRODUCT", runtime=fitted_models.RELATIVE, **fitted_models.WIDE
    ),
)
SETTINGS = CostSettings(power=MODEL)
NAMES = ("energy", "time")


@pytest.fixture(scope="module", params=["chain", "residual", "inception"])
def case(request):
    """Return (space, factors) with fitted layer models as the cost."""
    space = edits.build(examples.ALL[request.param]())
    wanted = [terms.get(name) for name in NAMES]
    return space, space.factors(devices.load("titan_x"), wanted, SETTINGS)


def test_exact_cost_is_that_of_the_decoded_network(case):
    space, costs = case
    device = devices.load("titan_x")
    found = strings(space, 20)
    exact = factors.exact(costs, found.T)
    fitted = 0
    for column, tokens in enumerate(found):
        table = layer_table.from_network(space.decode(tokens))
        expected = [terms.get(name).function(table, device, SETTINGS).sum() for name in NAMES]
        np.testing.assert_allclose(exact[:, column], expected, rtol=1e-9)
        fitted += neuralpower.predict(table, MODEL).in_range.sum()
    assert fitted > 0


def test_relaxed_cost_at_a_string_is_exact(case):
    space, costs = case
    found = strings(space, 8)
    with jax.enable_x64(True):
        probabilities = jnp.asarray(one_hot(found, space.sizes))
        relaxed = jax.jit(factors.relaxed_batch)(costs, probabilities)
        np.testing.assert_allclose(relaxed.T, factors.exact(costs, found.T), rtol=1e-9)
