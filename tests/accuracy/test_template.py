import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.accuracy import extract, forward, initial, kernel_windows, live, masks, training
from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network, graph
from greennas_jax.spec import shapes as shape_rules
from tests.accuracy import networks, random_variants
from tests.build import numpy_network

VARIANTS = 40


@functools.cache
def _compiled(name, method="im2col"):
    """Return a network, its template, a function of (child, seed) and images."""
    given = networks.ALL[name]()
    template = templates.make(given)
    size = template.slots[0]
    shape = (4, size.height, size.width, size.channels)
    images = np.random.default_rng(1).normal(size=shape).astype(np.float32)

    @jax.jit
    def start(child, seed):
        return initial.scaled(initial.draw(template, jax.random.key(seed)), child)

    @jax.jit
    def logits(child, parameters, images):
        statistics = initial.statistics(template)
        evaluated, _ = forward.run(
            template, child, parameters, statistics, images, live.Mode(False, method)
        )
        trained, _ = forward.run(
            template, child, parameters, statistics, images, live.Mode(True, method)
        )
        return evaluated, trained

    return given, template, start, logits, images


def _parameters(start, child, seed):
    """Return a child's initial parameters, biases and scales off their zeros and ones."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda a: a + rng.normal(0, 0.1, a.shape).astype(np.float32) if a.ndim == 1 else a,
        start(child, seed),
    )


def _largest_error(name, variant, seed, method="im2col"):
    given, template, start, logits, images = _compiled(name, method)
    child = masks.describe(given, template, variant)
    parameters = _parameters(start, child, seed)
    weights = extract.weights(template, child, variant, parameters)
    errors = []
    for found, training_mode in zip(logits(child, parameters, images), (False, True), strict=True):
        expected = numpy_network.run(
            variant, weights, images, graph.logits_layer(variant), training=training_mode
        )
        errors.append(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    return max(errors)


@pytest.mark.parametrize("name", networks.ALL)
def test_masked_child_equals_its_rebuilt_network(name):
    given = _compiled(name)[0]
    for seed in range(VARIANTS):
        variant = random_variants.random_variant(given, seed) if seed else given
        assert _largest_error(name, variant, seed) < 1e-5, f"variant {seed} of {name}"


def test_both_ways_to_convolve_agree_with_the_rebuilt_network():
    given = _compiled("residual", "lax")[0]
    for seed in range(8):
        variant = random_variants.random_variant(given, seed)
        assert _largest_error("residual", variant, seed, "lax") < 1e-5, f"variant {seed}"


def test_random_variants_cover_every_operation():
    seen = set()
    for name in networks.ALL:
        given, template, *_ = _compiled(name)
        for seed in range(1, VARIANTS):
            child = masks.describe(given, template, random_variants.random_variant(given, seed))
            for slot in template.slots:
                arrays = child[slot.node.name]
                if "branch" in arrays and arrays["present"]:
                    seen.add(templates.BRANCHES[int(arrays["branch"])])
                if "pooled" in arrays and arrays["pooled"]:
                    seen.add("pooled")
                if not arrays["present"]:
                    dropped = slot.kind == "elementwise"
                    seen.add("dropped" if dropped else "skipped or dropped")
                if slot.ragged and arrays["rows"] < slot.height:
                    seen.add("smaller than the template")
                if slot.windows is not None and slot.kind == "pool" and slot.windows[0].shifting:
                    seen.add("shifting pool")
    assert seen >= {
        *templates.BRANCHES,
        "pooled",
        "dropped",
        "skipped or dropped",
        "smaller than the template",
        "shifting pool",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name, seed", [("lenet", 3), ("residual", 2)])
def test_three_steps_of_training_equal_those_of_the_rebuilt_network(name, seed):
    given, template, start, _, images = _compiled(name)
    variant = random_variants.random_variant(given, seed)
    child = masks.describe(given, template, variant)
    parameters = _parameters(start, child, seed)
    module = flax_network.build(variant, jax.random.key(0), convolution="im2col")
    extract.assign(module, extract.weights(template, child, variant, parameters))

    def masked(parameters, statistics, training):
        mode = live.Mode(training, "im2col")
        return forward.run(template, child, parameters, statistics, images, mode)

    def rebuilt(module, statistics, training):
        return flax_network.apply(module, statistics, images, training=training)

    found = _three_steps(masked, parameters, initial.statistics(template))
    expected = _three_steps(rebuilt, module, flax_network.initial_statistics(module))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def _three_steps(apply, trainable, statistics):
    """Return the logits in front of each of three steps of gradient descent."""
    labels = jnp.arange(4) % 5

    @jax.jit
    def step(trainable, statistics):
        def loss(trainable):
            logits, after = apply(trainable, statistics, True)
            return training.loss(logits, labels), (logits, after)

        gradient, (logits, statistics) = jax.grad(loss, has_aux=True)(trainable)
        # No Adam: it would blow up rounding where a bias in front of a normalisation has no effect.
        return jax.tree.map(lambda p, g: p - 0.1 * g, trainable, gradient), statistics, logits

    found = []
    for _ in range(4):
        trainable, statistics, logits = step(trainable, statistics)
        found.append(logits)
    assert np.abs(found[3] - found[0]).max() > 1e-2
    return found


def test_template_is_as_large_as_its_largest_child():
    # 12 x 12 SAME, pooled to 6; VALID 3 x 3 gives 4, 1 x 1 gives 6; pooled to 2 or 3.
    slots = templates.make(networks.lenet()).by_name()
    assert slots["conv1"].rows == (12,)
    assert slots["conv2"].rows == slots["conv2"].columns == (4, 6)
    assert slots["pool2"].rows == (2, 3)
    assert initial.shapes(templates.make(networks.lenet()))["fc1"]["kernel"] == (
        3,
        3,
        6,
        12,
    )


def test_kernels_of_same_convolutions_start_where_their_own_padding_does():
    # Stride 2 over 5 or 6 rows with a 4-row kernel: SAME pads 3 = 1 + 2 or 2 = 1 + 1 rows; one row
    # of kernel over 5 or 6 pads none, three rows over 6 pad 0 + 1 and over 5 pad 1 + 1.
    window, outputs = kernel_windows.slide((5, 6), (1, 3, 4), 2, "SAME", 0)
    assert outputs == (3,)
    assert (window.before, window.size, window.shifting) == (1, 4, True)


def test_fixed_sizes_keep_kernels_above_them_from_shrinking():
    fixed = networks.decoder()
    assert not any(slot.ragged for slot in templates.make(fixed).slots)
    layers = [
        layer.with_attributes(padding="VALID") if layer.name == "conv" else layer
        for layer in networks.decoder().layers
    ]
    # VALID in front: 4 x 4 instead of 6 x 6, so that 'up' must give 4 x 4 as well.
    layers = [
        layer.with_attributes(output_shape=[4, 4, 4, 4]) if layer.name == "up" else layer
        for layer in layers
    ]
    layers = [
        layer.with_attributes(output_shape=[-1, 2, 2, 4]) if layer.name == "image" else layer
        for layer in layers
    ]
    valid = fixed.replace(layers=tuple(layers))
    with pytest.raises(templates.FixedSizeError, match="layer 'up': a Deconvolution behind"):
        templates.make(valid, templates.Freedom())
    slots = templates.make(valid).by_name()
    assert slots["conv"].rows == (shape_rules.infer(valid)["conv"].output[1],)


def test_templates_are_compared_by_value():
    assert templates.make(networks.chain()) == templates.make(networks.chain())
    assert hash(templates.make(networks.chain())) == hash(templates.make(networks.chain()))
    assert templates.make(networks.chain()) != templates.make(networks.lenet())


def test_initial_weights_have_the_scale_of_the_childs_own_fan_in():
    given, template, start, _, _ = _compiled("residual")
    variant = random_variants.random_variant(given, 7, skip=0, drop=0)
    child = masks.describe(given, template, variant)
    parameters = start(child, 0)
    gains = graph.initial_gains(graph.nodes(variant))
    nodes = {node.name: node for node in graph.nodes(variant)}
    ones = jax.tree.map(np.ones_like, parameters)
    weights = extract.weights(template, child, variant, parameters)
    scale = extract.weights(template, child, variant, jax.jit(initial.scaled)(ones, child))
    for name in ("stem", "b1", "fc"):
        members = [n for n in weights if n == name or n.startswith(f"{name}/")]
        for member in members:
            if "kernel" not in scale.get(member, {}):
                continue
            kernel = scale[member]["kernel"]
            fan_in = np.prod(kernel.shape[:-1])
            own = gains[name] if member == name else 1.0
            assert nodes[member].type in ("Convolution", "InnerProduct")
            np.testing.assert_allclose(kernel, np.sqrt(own / fan_in), rtol=1e-5)
