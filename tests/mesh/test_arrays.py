import dataclasses
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.mesh import arrays
from greennas_jax.nao import training
from tests.experiments.programs import ROOT
from tests.mesh import computed
from tests.nao import synthetic

# Prints what a mesh of few devices and one of eight computed.
COMPARED = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 8)
import numpy as np
from greennas_jax.mesh import arrays
from tests.mesh import computed

count, *names = sys.argv[1:]
few, all = arrays.of(jax.devices()[: int(count)]), arrays.everywhere()
assert all.size == 8
assert arrays.among(8) == all and arrays.among(6).size == 2 and arrays.among(1).size == 1
pairs = [[getattr(computed, name)(over) for over in (few, all)] for name in names]
found = {key: [np.ravel(each[key]).tolist() for each in pair] for pair in pairs for key in pair[0]}
print(json.dumps(found))
"""


def compare(*arguments):
    """Return what few devices and eight computed, by name."""
    done = subprocess.run(
        [sys.executable, "-c", COMPARED, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return {name: np.asarray(pair) for name, pair in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def compared():
    return compare("1", "ascents", "batch")


@pytest.mark.slow
def test_eight_devices_come_by_the_candidates_of_one(compared):
    one, eight = compared["tokens"]
    assert len(one) == computed.STEPS * computed.STARTS * 12
    # Ascents move: a string other than the first is among them.
    assert len(set(one.tolist())) > 1
    np.testing.assert_array_equal(one, eight)
    np.testing.assert_allclose(*compared["predicted"], rtol=1e-5)


@pytest.mark.slow
def test_eight_devices_train_the_weights_of_two():
    two, eight = compare("2", "trained")["weights"]
    assert two.std() > 0.01
    np.testing.assert_array_equal(two, eight)


@pytest.mark.slow
def test_eight_devices_cost_as_one_does_and_as_the_tables_say(compared):
    for one, eight in (compared["relaxed"], compared["gradients"]):
        np.testing.assert_allclose(one, eight, rtol=1e-5)
    np.testing.assert_array_equal(*compared["exact"])
    np.testing.assert_allclose(*compared["by_hand"], rtol=0)
    # Sums of eleven numbers from 1 to 2, and 1, in float32.
    np.testing.assert_allclose(compared["exact"][1], compared["by_hand"][0], rtol=1e-6)


@pytest.mark.slow
def test_parts_of_a_batch_add_up_to_its_gradient():
    tokens = synthetic.sample(np.random.default_rng(3), 64)
    pool = training.Pool(jnp.asarray(tokens), jnp.asarray(synthetic.values(tokens), jnp.float32))
    found = []
    for parts in (1, 4):
        config = dataclasses.replace(computed.TRAINING, parts=parts, steps=2)
        model = computed.model()
        state = training.optimiser(config).init(model)
        key, first = jax.random.key(0), jnp.asarray(0)
        model, _, losses = training.train_steps(
            model, state, pool, key, first, config=config, steps=2
        )
        found.append((jax.tree.leaves(model), losses))
    for one, four in zip(*(leaves for leaves, _ in found), strict=True):
        np.testing.assert_allclose(one, four, atol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)


def test_rows_are_filled_up_to_the_mesh():
    class Three:
        size = 3

    filled = arrays.filled(np.arange(4)[:, None], Three())
    np.testing.assert_array_equal(filled[:, 0], [0, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(arrays.filled(np.arange(3), Three()), [0, 1, 2])


def test_one_process_has_what_it_has():
    values = {"a": np.arange(3), "b": np.float32(2)}
    assert arrays.as_first(values) is values
    over = arrays.everywhere()
    found = arrays.fetched(arrays.placed(values, over))
    np.testing.assert_array_equal(found["a"], [0, 1, 2])
    assert found["b"] == 2
