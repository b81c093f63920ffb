import functools

import pytest

from greennas_jax.costs import devices, terms
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spaces import edits
from greennas_jax.spaces.edits import EditsConfig
from tests.spaces import examples, sequence_examples

TERMS = ("energy", "time", "memory", "parameters", "flops")
TRAINING = CostSettings(mode="training")
EXAMPLES = {**examples.ALL, **sequence_examples.ALL}


@functools.cache
def built(name, coarse=False):
    """A space and its factors of all terms; coarse ones are small enough to enumerate."""
    config = EditsConfig(width_ratios=(1, 0.5), operations=("given", "separable", "skip"))
    space = edits.build(EXAMPLES[name](), config=config if coarse else None)
    wanted = [terms.get(term) for term in TERMS]
    return space, space.factors(devices.load("titan_x"), wanted, TRAINING)


@pytest.fixture(params=EXAMPLES)
def case(request):
    """(space, factors) of every example, costed for a training step."""
    return built(request.param)
