"""The programs that run on accelerators, translated for them on a machine that has none.

What XLA is given for a GPU or a TPU is the whole of a step: it must be translatable, go nowhere
near the host, and write its results where its arguments were.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from greennas_jax.accuracy import children, datasets, execution, masks, training
from greennas_jax.mesh import arrays
from greennas_jax.nao import gaussian_process, latent_search
from greennas_jax.nao import training as pretraining
from greennas_jax.nao.acquisition import Goal
from greennas_jax.nao.labels import Labels
from greennas_jax.nao.latent_search import CostHead
from greennas_jax.nao.training import Pool
from greennas_jax.spaces import batches, symbols
from tests.accuracy import networks
from tests.mesh import computed
from tests.nao import synthetic

PLATFORMS = ("cuda", "tpu")
SIDE_BY_SIDE = execution.Execution(together="vmap", method="lax", per_device=2)


def translated(program, *arguments, **static):
    """Return the module that each kind of accelerator is given, by name."""
    return {
        platform: export.export(program, platforms=[platform])(*arguments, **static).mlir_module()
        for platform in PLATFORMS
    }


def assert_stays_there(modules):
    """Require that no module calls the host; all of them name what they call."""
    for platform, module in modules.items():
        called = re.findall(r"custom_call @([\w.]+)", module)
        assert not [name for name in called if "callback" in name or "host" in name], platform
        assert "infeed" not in module and "outfeed" not in module


def donated(module):
    """Return how many arguments of a module lend their memory to results."""
    return module.count("tf.aliasing_output") + module.count("jax.buffer_donor")


def one_device():
    return arrays.of(jax.devices()[:1])


def engine():
    """Return the cost engine of the made-up space, and strings for it."""
    table = computed.costs()
    groups = np.arange(synthetic.TOKENS).reshape(synthetic.STEPS, -1).tolist()
    layout = symbols.layout(table.sizes, groups)
    drawn = synthetic.sample(np.random.default_rng(0), computed.STRINGS)
    packed = jnp.asarray(symbols.pack(layout, drawn.T))
    return symbols.prepare(table, layout), layout, packed


def test_costs():
    costs, layout, packed = engine()
    room = batches.room(1, packed.shape[1], one_device())
    modules = translated(batches.exact(costs, layout, one_device()), packed, room)
    assert_stays_there(modules)
    assert [donated(module) for module in modules.values()] == [1, 1]


def test_relaxed_costs_with_gradients():
    shares = jnp.ones((4, *synthetic.rules().valid.shape), jnp.float32)
    assert_stays_there(translated(batches.relaxed(computed.costs(), one_device()), shares))


@pytest.mark.parametrize("paths", ["both", "none"])
def test_ascents(paths):
    outputs = synthetic.RULES_OUTPUTS
    posterior = gaussian_process.fit(
        Labels(jnp.zeros((6, outputs)), jnp.zeros(6), jnp.ones(6)), steps=0
    )
    shared = (
        computed.model(),
        posterior,
        computed.costs(),
        Goal(jnp.asarray(0.0), jnp.asarray(2.0)),
        CostHead(jnp.asarray(outputs - 1), jnp.asarray(2.5), jnp.asarray(0.3)),
        jnp.asarray(1.0),
        None,
    )
    starts = jnp.asarray(synthetic.sample(np.random.default_rng(1), 4), jnp.int32)
    modules = translated(
        latent_search._ascend,
        shared,
        starts,
        jnp.ones((4, 1, 1)),
        jax.random.key_data(jax.random.key(0)),
        config=dataclasses.replace(computed.LATENT, paths=paths),
        over=one_device(),
    )
    assert_stays_there(modules)


def test_steps_of_the_embedding():
    model = computed.model()
    tokens = synthetic.sample(np.random.default_rng(3), computed.TRAINING.pool)
    targets, _ = pretraining.standardise(synthetic.values(tokens))
    state = pretraining.optimiser(computed.TRAINING).init(model)
    modules = translated(
        pretraining.train_steps,
        model,
        state,
        Pool(jnp.asarray(tokens), jnp.asarray(targets)),
        jax.random.key_data(jax.random.key(4)),
        jnp.asarray(0),
        config=computed.TRAINING,
        steps=2,
    )
    assert_stays_there(modules)
    # Weights, and both moments and the counters of Adam.
    lent = len(jax.tree.leaves((model, state)))
    assert [donated(module) for module in modules.values()] == [lent, lent]


@pytest.mark.parametrize(("precision", "rounded"), [("fp32", False), ("bf16", True)])
def test_children(precision, rounded):
    given = networks.lenet()
    digits = datasets.load("digits", (12, 12, 1), 10)
    data = digits._replace(train_labels=digits.train_labels % 5, classes=5)
    recipe = training.Recipe(epochs=1, precision=precision)
    found = children.make(given, data, recipe=recipe, run=SIDE_BY_SIDE)
    one = (
        masks.describe(given, found.template, given),
        np.uint32(0),
        np.zeros(len(found.recipe.checks), np.float32),
        np.True_,
    )
    count = found.over.size * found.run.per_device
    many = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *np.shape(leaf))), one)
    many = arrays.placed(many, found.over, arrays.dealt())
    modules = translated(found.program, found.images, many)
    assert_stays_there(modules)
    for module in modules.values():
        products = re.findall(r"stablehlo\.(?:convolution|dot_general).*", module)
        assert products and any("bf16" in line for line in products) is rounded
