import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.accuracy import extract, forward, initial, live, masks, training
from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network, graph
from greennas_jax.spec.network import SpecError
from tests.accuracy import random_variants, transformers
from tests.build import numpy_network

VARIANTS = 12


@functools.cache
def _compiled(name, method="im2col"):
    """Return a network, its template, compiled functions and inputs."""
    given = transformers.ALL[name]()
    template = templates.make(given)
    nodes = graph.nodes(given)
    rng, shape, vocabulary = np.random.default_rng(1), nodes[0].output, graph.vocabulary(nodes)
    inputs = rng.normal(size=shape).astype(np.float32)
    if vocabulary:
        inputs = rng.integers(0, vocabulary, shape).astype(np.int32)

    @jax.jit
    def start(child, seed):
        return initial.scaled(initial.draw(template, jax.random.key(seed)), child)

    @jax.jit
    def logits(child, parameters, inputs):
        mode = live.Mode(False, method)
        return forward.run(template, child, parameters, {}, inputs, mode)[0]

    return given, template, start, logits, inputs


def _parameters(start, child, seed):
    """Return a child's initial parameters, none of them zero or one."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda a: a + rng.normal(0, 0.2, a.shape).astype(np.float32), start(child, seed)
    )


def _error(name, variant, seed, method="im2col"):
    given, template, start, logits, inputs = _compiled(name, method)
    child = masks.describe(given, template, variant)
    parameters = _parameters(start, child, seed)
    weights = extract.weights(template, child, variant, parameters)
    found = logits(child, parameters, inputs)
    expected = numpy_network.run(variant, weights, inputs, graph.logits_layer(variant))
    return np.abs(found - expected).max() / max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", transformers.ALL)
def test_masked_child_equals_its_rebuilt_network(name):
    given = _compiled(name)[0]
    for seed in range(VARIANTS):
        variant = random_variants.random_transformer(given, seed) if seed else given
        assert _error(name, variant, seed) < 1e-5, f"variant {seed} of {name}"


def test_the_order_of_images_axes_is_no_matter():
    given = _compiled("vit", "lax")[0]
    for seed in range(4):
        variant = random_variants.random_transformer(given, seed)
        assert _error("vit", variant, seed, "lax") < 1e-5, f"variant {seed}"


def test_random_variants_cover_every_choice():
    seen = set()
    for name in transformers.ALL:
        given, template, *_ = _compiled(name)
        for seed in range(1, VARIANTS):
            variant = random_variants.random_transformer(given, seed)
            child = masks.describe(given, template, variant)
            layers = variant.by_name()
            for slot in template.slots:
                arrays = child[slot.node.name]
                if "heads" in arrays and arrays["present"]:
                    kept, shared = int(arrays["heads"].sum()), arrays["sharing"].any(0).sum()
                    seen |= {"fewer heads"} if kept < slot.node.view.heads else {"all heads"}
                    seen |= {"shared"} if shared < kept else {"own"}
                if "hidden" in arrays and 0 < arrays["hidden"].sum() < slot.node.view.hidden:
                    seen.add("fewer hidden units")
                if slot.kind in ("elementwise", "layer_norm") and slot.node.name not in layers:
                    above = child[slot.node.parents[0]]["present"] if slot.node.parents else True
                    seen.add(f"{slot.kind} dropped{' with its sum' if not above else ''}")
    assert seen >= {
        "fewer heads",
        "all heads",
        "shared",
        "own",
        "fewer hidden units",
        "elementwise dropped",
        "layer_norm dropped",
        "layer_norm dropped with its sum",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name, seed", [("vit", 3), ("gpt", 4)])
def test_three_steps_of_training_equal_those_of_the_rebuilt_network(name, seed):
    given, template, start, _, inputs = _compiled(name)
    variant = random_variants.random_transformer(given, seed)
    child = masks.describe(given, template, variant)
    parameters = _parameters(start, child, seed)
    module = flax_network.build(variant, jax.random.key(0), convolution="im2col")
    extract.assign(module, extract.weights(template, child, variant, parameters))

    def masked(parameters):
        mode = live.Mode(True, "im2col")
        return forward.run(template, child, parameters, {}, inputs, mode)[0]

    def rebuilt(module):
        key = jax.random.key(0)
        return flax_network.apply(module, {}, inputs, training=name != "vit", key=key)[0]

    found, expected = _three_steps(masked, parameters), _three_steps(rebuilt, module)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def _three_steps(apply, trainable):
    """Return the logits in front of each of three steps of gradient descent, and behind them."""
    labels = jnp.arange(4) % 5

    @jax.jit
    def step(trainable):
        def loss(trainable):
            logits = apply(trainable)
            return training.loss(logits, labels), logits

        gradient, logits = jax.grad(loss, has_aux=True)(trainable)
        return jax.tree.map(lambda p, g: p - 0.1 * g, trainable, gradient), logits

    found = []
    for _ in range(4):
        trainable, logits = step(trainable)
        found.append(logits)
    assert np.abs(found[3] - found[0]).max() > 1e-2
    return found


def test_what_a_child_has_not_is_never_moved():
    """Clipping and Adam see the gradients of what is kept alone."""
    given, template, start, _, inputs = _compiled("gpt")
    variant = _changed(given, "attend0/mix", heads=2, key_value_heads=1)
    variant = _changed(variant, "feed0/mix", hidden=5)
    child = masks.describe(given, template, variant)
    parameters = _parameters(start, child, 0)

    @jax.jit
    def gradient(parameters):
        def loss(parameters):
            mode = live.Mode(True, "im2col")
            logits, _ = forward.run(template, child, parameters, {}, inputs, mode)
            return training.loss(logits, jnp.arange(4))

        return jax.grad(loss)(parameters)

    found = gradient(parameters)
    heads, shared, hidden = 2, 1, 5
    mix, feed = found["attend0/mix"], found["feed0/mix"]
    for kept, dead in (
        (mix["query"][:, :heads], mix["query"][:, heads:]),
        (mix["key"][:, :shared], mix["key"][:, shared:]),
        (mix["output"][:heads], mix["output"][heads:]),
        (feed["inner"][:, :hidden], feed["inner"][:, hidden:]),
        (feed["outer"][:hidden], feed["outer"][hidden:]),
    ):
        assert np.abs(kept).max() > 0 and dead.size and not np.asarray(dead).any()


def test_initial_weights_have_the_scale_of_the_childs_own_fan_in():
    given, template, start, _, _ = _compiled("vit")
    layers = tuple(
        layer.with_attributes(heads=2, head_width=4)
        if layer.name == "attend0/mix"
        else layer.with_attributes(hidden=5)
        if layer.name == "feed0/mix"
        else layer
        for layer in given.layers
    )
    child = masks.describe(given, template, given.replace(layers=layers))
    ones = jax.tree.map(np.ones_like, start(child, 0))
    scale = jax.jit(initial.scaled)(ones, child)
    # Width 12, two heads of 4, five hidden units behind GELU.
    np.testing.assert_allclose(scale["attend0/mix"]["query"], 12**-0.5, rtol=1e-6)
    np.testing.assert_allclose(scale["attend0/mix"]["output"], 8**-0.5, rtol=1e-6)
    np.testing.assert_allclose(scale["attend1/mix"]["output"], 12**-0.5, rtol=1e-6)
    np.testing.assert_allclose(scale["feed0/mix"]["inner"], (2 / 12) ** 0.5, rtol=1e-6)
    np.testing.assert_allclose(scale["feed0/mix"]["outer"], 5**-0.5, rtol=1e-6)
    np.testing.assert_allclose(scale["place"]["positions"], 0.02, rtol=1e-6)


def _changed(network, name, **attributes):
    return network.replace(
        layers=tuple(
            layer.with_attributes(**attributes) if layer.name == name else layer
            for layer in network.layers
        )
    )


@pytest.mark.parametrize(
    "name, attributes, message",
    [
        ("attend0/mix", {"heads": 5, "key_value_heads": 5}, "is larger than Attention"),
        ("attend0/mix", {"key_value_heads": 4}, "is larger than Attention"),
        ("attend0/mix", {"head_width": 4}, "instead of Attention"),
        ("attend0/mix", {"causal": False}, "instead of Attention"),
        ("feed0/mix", {"hidden": 13}, "is larger than FeedForward"),
        ("feed0/mix", {"gated": False}, "instead of FeedForward"),
        ("norm", {"rms": False}, "instead of LayerNorm"),
        ("head", {"weights_of": None}, "instead of InnerProduct"),
    ],
)
def test_what_is_no_variant_is_named(name, attributes, message):
    given, template, *_ = _compiled("gpt")
    with pytest.raises(SpecError, match=f"layer '{name}': not a variant .*{message}"):
        masks.describe(given, template, _changed(given, name, **attributes))
