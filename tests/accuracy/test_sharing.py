import json

import jax
import numpy as np
import pytest

from greennas_jax.accuracy import children, datasets, execution, sharing, training
from greennas_jax.spec import paleo_json

LAYERS = {
    "data": {"type": "Input", "parents": [], "tensor": [16, 8, 8, 1]},
    "fc1": {
        "type": "InnerProduct",
        "parents": ["data"],
        "num_outputs": 16,
        "activation_fn": "relu",
    },
    "fc2": {"type": "InnerProduct", "parents": ["fc1"], "num_outputs": 10},
}


@pytest.fixture(scope="module")
def measured():
    given = paleo_json.read(json.dumps({"name": "dense", "layers": LAYERS}))
    data = datasets.load("digits", (8, 8, 1), 10)
    recipe = training.Recipe(epochs=1, batch_size=32)
    return children.make(given, data, recipe=recipe, run=execution.Execution(per_device=2))


def _narrowed(network, width):
    layers = tuple(
        layer.with_attributes(num_outputs=width) if layer.name == "fc1" else layer
        for layer in network.layers
    )
    return network.replace(layers=layers)


def test_what_no_architecture_uses_stays_as_drawn(measured):
    pool = [_narrowed(measured.given, width) for width in (4, 8)]
    weights = sharing.learn(measured, pool, epochs=8, seed=3)
    key = jax.random.split(jax.random.key(np.uint32(3)))[0]
    first = sharing.first_weights(measured.template, sharing.describe(measured, pool), key)
    moved = np.abs(np.asarray(weights["fc1"]["kernel"] - first["fc1"]["kernel"])).max((0, 1, 2))
    assert (moved[:8] > 0).all()
    assert (moved[8:] == 0).all()
    # The fan-in of fc2 is 4 or 8, of which the middle deviation is (1 / 2 + 1 / sqrt 8) / 2.
    found = np.asarray(first["fc2"]["kernel"]).std()
    assert found == pytest.approx((0.5 + 8**-0.5) / 2, rel=0.2)


def test_shared_weights_serve_all_their_architectures(measured):
    pool = [_narrowed(measured.given, width) for width in (12, 16)]
    weights = sharing.learn(measured, pool, epochs=8)
    late = sharing.judge(measured, pool, weights)
    # Chance is 0.1; one training of 8 epochs of this network alone reaches 0.9.
    assert min(late) > 0.75
    tuned = sharing.judge(measured, pool, weights, fine_tuning=1)
    assert min(tuned) > 0.75 and tuned != late
