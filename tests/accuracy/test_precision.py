import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.accuracy import (
    children,
    datasets,
    execution,
    forward,
    initial,
    live,
    masks,
    recipes,
)
from greennas_jax.accuracy import template as templates
from greennas_jax.spec import paleo_json
from tests.accuracy import networks, random_variants, test_children, transformers

CASES = [
    ("chain", "im2col"),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (("chain", "lax"), ("residual", "im2col"), ("mobile", "lax"), ("vit", "im2col"))
    ),
]


def scene(name):
    """Return a template, a variant's arrays and parameters, and images."""
    given = transformers.vit() if name == "vit" else networks.ALL[name]()
    choose = random_variants.random_transformer if name == "vit" else random_variants.random_variant
    template = templates.make(given)
    child = masks.describe(given, template, choose(given, 3))
    parameters = initial.scaled(initial.draw(template, jax.random.key(0)), child)
    size = template.slots[0]
    shape = (6, size.height, size.width, size.channels)
    return template, child, parameters, np.random.default_rng(1).normal(size=shape).astype("f")


def passes(name, method, precision):
    """Return the loss's function of the parameters, and those."""
    template, child, parameters, images = scene(name)
    mode = live.Mode(True, method, precision=precision)

    def logits(parameters):
        found, _ = forward.run(
            template, child, parameters, initial.statistics(template), images, mode
        )
        return found

    return logits, parameters


@pytest.mark.parametrize(("name", "method"), CASES)
def test_products_are_rounded_and_nothing_else(name, method):
    found, gradients = {}, {}
    for precision in recipes.PRECISIONS:
        logits, parameters = passes(name, method, precision)
        text = str(jax.make_jaxpr(logits)(parameters))
        assert ("bf16" in text) == (precision == "bf16")

        def loss(parameters, logits=logits):
            values = logits(parameters)
            return (values * jnp.cos(jnp.arange(values.size).reshape(values.shape))).sum(), values

        run = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (_, found[precision]), gradients[precision] = run(parameters)
        leaves = [found[precision], *jax.tree.leaves(gradients[precision])]
        assert all(leaf.dtype == jnp.float32 and np.isfinite(leaf).all() for leaf in leaves)
    exact, rounded = (np.asarray(found[precision]) for precision in recipes.PRECISIONS)
    # bfloat16 keeps eight bits: a factor of a product is wrong by 2^-9 at most.
    assert 0 < np.abs(rounded - exact).max() < 0.03 * np.abs(exact).max()
    flat = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients[precision])])
        for precision in recipes.PRECISIONS
    ]
    cosine = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert 0.99 < cosine < 1


@pytest.mark.slow
def test_rounded_children_learn_as_well():
    data = datasets.load("digits", (8, 8, 1), 10)
    recipe = dataclasses.replace(test_children.RECIPE, precision="bf16")
    run = execution.Execution(per_device=1)
    oracle = children.make(
        paleo_json.read(json.dumps(test_children.TINY)), data, recipe=recipe, run=run
    )
    (trial,) = oracle.baseline([0])
    assert trial.accuracy > 0.85


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="precision is 'fp8'; known are fp32, bf16"):
        recipes.Recipe(precision="fp8")
