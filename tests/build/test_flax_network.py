import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from greennas_jax.build import convolution, flax_network, graph
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Layer, Network, SpecError
from tests.accuracy import networks
from tests.build import numpy_network


def _weights(module):
    """Return a module's parameters by layer and role, as numpy arrays."""
    found = {}
    for name, part in module.named_modules().items():
        roles = {}
        normalization = part
        if isinstance(part, flax_network.Linear):
            roles["kernel"] = part.kernel[...]
            if part.bias is not None:
                roles["bias"] = part.bias[...]
            normalization = part.normalization
        if normalization is not None:
            roles["scale"], roles["shift"] = normalization.scale[...], normalization.shift[...]
        found[name] = {role: np.asarray(values) for role, values in roles.items()}
    return found


def _perturbed(module):
    """Return a module whose biases and scales are not their initial zeros and ones."""
    rng = np.random.default_rng(5)
    return jax.tree.map(
        lambda a: a + rng.normal(0, 0.1, a.shape).astype(np.float32) if a.ndim == 1 else a, module
    )


def _images(network, count=3):
    shape = next(layer for layer in network.layers if layer.type == "Input").attributes["tensor"]
    return np.random.default_rng(0).normal(size=(count, *shape[1:])).astype(np.float32)


def _read(layers):
    return paleo_json.read(json.dumps({"name": "tiny", "layers": layers}))


@functools.partial(jax.jit, static_argnames="training")
def _apply(module, statistics, images, *, training=False, key=None):
    return flax_network.apply(module, statistics, images, training=training, key=key)


def _build(network, key, method="lax"):
    return jax.jit(lambda key: flax_network.build(network, key, convolution=method))(key)


@pytest.mark.parametrize("method", convolution.METHODS)
@pytest.mark.parametrize("name", networks.ALL)
def test_every_layer_type_equals_numpy(name, method):
    network = networks.ALL[name]()
    module = _perturbed(_build(network, jax.random.key(0), method))
    images = _images(network)
    found, _ = _apply(module, flax_network.initial_statistics(module), images)
    logits = graph.logits_layer(network)
    expected = numpy_network.run(network, _weights(module), images, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", convolution.METHODS)
def test_training_normalises_by_the_batch_and_moves_the_statistics(method):
    network = networks.residual()
    module = _build(network, jax.random.key(0), method)
    images = _images(network, 6)
    before = flax_network.initial_statistics(module)
    found, after = _apply(module, before, images, training=True)
    weights, logits = _weights(module), graph.logits_layer(network)
    expected = numpy_network.run(network, weights, images, logits, training=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    stem = numpy_network.convolve(images, weights["stem"]["kernel"], (1, 1), "SAME", 1)
    # Running moments: 0.9 of the old (0 and 1) and 0.1 of the batch's.
    np.testing.assert_allclose(after["stem"].mean, 0.1 * stem.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(after["stem"].variance, 0.9 + 0.1 * stem.var((0, 1, 2)), rtol=1e-5)
    _, still = _apply(module, after, images)
    chex.assert_trees_all_equal(still, after)


def test_statistics_not_the_batch_normalise_in_evaluation():
    network = networks.residual()
    module = _build(network, jax.random.key(0))
    statistics, images = flax_network.initial_statistics(module), _images(network, 4)
    together, _ = _apply(module, statistics, images)
    alone, _ = _apply(module, statistics, images[:1])
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5, atol=1e-6)


# LeNet-5 by hand: 5*5*1*6+6, 5*5*6*16+16, 400*120+120, 120*84+84, 84*10+10. The others are the
# published counts of AlexNet (one weird trick, with groups), ResNet-50 and MobileNet.
@pytest.mark.parametrize(
    "name, count",
    [
        ("lenet5", 156 + 2416 + 48120 + 10164 + 850),
        ("alexnet", 60_965_224),
        ("resnet50", 25_557_032),
        ("mobilenet_v1", 4_231_976),
    ],
)
def test_parameter_counts_are_the_published_ones(specs, name, count):
    network = paleo_json.load(specs / f"{name}.json")
    shapes = jax.eval_shape(lambda key: flax_network.build(network, key), jax.random.key(0))
    assert flax_network.parameter_count(shapes) == count


def test_parameter_counts_are_paleos_where_there_is_no_normalisation(shared):
    for name in ("alex_v2", "vgg16", "nin", "syn_residual", "syn_conv_variants"):
        network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
        shapes = jax.eval_shape(
            lambda key, n=network: flax_network.build(n, key), jax.random.key(0)
        )
        reference = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
        assert flax_network.parameter_count(shapes) == reference["num_params"], name


def test_initial_kernels_have_the_variance_of_their_fan_in():
    network = _read(
        {
            "data": {"type": "Input", "parents": [], "tensor": [1, 8, 8, 64]},
            "a": {
                "type": "Convolution",
                "parents": ["data"],
                "filter": [3, 3, 64, 64],
                "strides": [1, 1, 1, 1],
                "padding": "SAME",
                "activation_fn": "relu",
            },
            "b": {"type": "InnerProduct", "parents": ["a"], "num_outputs": 16},
        }
    )
    modules = _build(network, jax.random.key(0)).named_modules()
    # Rectified: 2 / (3 * 3 * 64); linear: 1 / (8 * 8 * 64).
    np.testing.assert_allclose(modules["a"].kernel[...].var(), 2 / 576, rtol=0.05)
    np.testing.assert_allclose(modules["b"].kernel[...].var(), 1 / 4096, rtol=0.05)


def test_dropout_needs_a_key_in_training_and_keeps_the_mean():
    network = _read(
        {
            "data": {"type": "Input", "parents": [], "tensor": [1, 1, 1, 4096]},
            "drop": {"type": "Dropout", "parents": ["data"], "dropout_keep_prob": 0.25},
        }
    )
    module = _build(network, jax.random.key(0))
    images = jnp.ones((2, 1, 1, 4096))
    found, _ = _apply(module, {}, images, training=True, key=jax.random.key(1))
    assert set(np.unique(found)) == {0.0, 4.0}
    np.testing.assert_allclose(found.mean(), 1.0, atol=0.1)
    other, _ = _apply(module, {}, images, training=True, key=jax.random.key(2))
    assert not np.array_equal(found, other)
    np.testing.assert_array_equal(_apply(module, {}, images)[0], np.ones((2, 4096)))
    with pytest.raises(ValueError, match="layer 'drop': dropout in training needs a key"):
        flax_network.apply(module, {}, images, training=True)


@pytest.mark.parametrize("graph_mode", [True, False])
def test_module_is_a_pytree_that_learns_under_plain_jax(graph_mode):
    with nnx.set_graph_mode(graph_mode):
        network = networks.lenet()
        module = _build(network, jax.random.key(0), "im2col")
        images = jnp.asarray(_images(network, 8))
        labels = jnp.arange(8) % 5
        optimizer = optax.adam(1e-2)

        @jax.jit
        def step(module, state):
            def loss(module):
                logits, _ = flax_network.apply(module, {}, images, training=True)
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            value, gradient = jax.value_and_grad(loss)(module)
            changes, state = optimizer.update(gradient, state)
            return optax.apply_updates(module, changes), state, value

        state, values = optimizer.init(module), []
        for _ in range(40):
            module, state, value = step(module, state)
            values.append(float(value))
        assert values[-1] < 0.2 * values[0]


def test_main_exit_is_read_and_dead_ends_are_not():
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 1, 1, 4]},
        "fc": {"type": "InnerProduct", "parents": ["data"], "num_outputs": 3},
        "prob": {"type": "Softmax", "parents": ["fc"]},
        "dead": {"type": "Dropout", "parents": ["data"]},
    }
    network = _read(layers)
    assert graph.output_layer(network) == "prob"
    assert graph.logits_layer(network) == "fc"
    module = _build(network, jax.random.key(0))
    chex.assert_shape(_apply(module, {}, jnp.ones((2, 1, 1, 4)))[0], (2, 3))


@pytest.mark.parametrize(
    "layer, message",
    [
        ({"type": "Attention"}, "type 'Attention' cannot be executed; allowed: Input, Conv"),
        (
            {"type": "Softmax", "attributes": {"num_classes": 7}},
            "'num_classes' is 7, but its input has 4",
        ),
    ],
)
def test_what_cannot_be_executed_is_named(layer, message):
    data = Layer(name="data", type="Input", parents=(), attributes={"tensor": [1, 4, 4, 4]})
    odd = Layer(name="odd", parents=("data",), **layer)
    with pytest.raises(SpecError, match=f"layer 'odd': .*{message}"):
        flax_network.build(Network(name="tiny", layers=(data, odd)), jax.random.key(0))


def test_two_inputs_are_refused():
    data = {"type": "Input", "parents": [], "tensor": [1, 1, 1, 4]}
    network = _read({"a": data, "b": data, "sum": {"type": "Elementwise", "parents": ["a", "b"]}})
    with pytest.raises(SpecError, match="'tiny' has several inputs; one can be executed"):
        flax_network.build(network, jax.random.key(0))
