import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.accuracy import (
    execution,
    extract,
    initial,
    jacobian_covariance,
    masks,
    scores,
    sizes,
    training,
)
from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network, graph, layout
from greennas_jax.spec import paleo_json, variants
from tests.accuracy import networks, random_variants, transformers


def _small():
    """Return a network with batch normalisation that compiles fast."""
    convolution = {"type": "Convolution", "strides": [1, 1, 1, 1], "padding": "SAME"}
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [4, 6, 6, 2]},
        "conv": {
            **convolution,
            "parents": ["data"],
            "filter": [3, 3, 2, 6],
            "normalizer_fn": "batch_norm",
            "use_bias": False,
            "activation_fn": "relu",
        },
        "fc": {"type": "InnerProduct", "parents": ["conv"], "num_outputs": 5},
    }
    return paleo_json.read(json.dumps({"name": "small", "layers": layers}))


def _variant(operation, kernel, width, groups=1, middle=0):
    """Return the small network with its convolution realised differently."""
    given = _small()
    data, conv, dense = given.layers
    chosen = variants.Variant(operation, kernel, width, groups, middle)
    return given.replace(layers=(data, *variants.realise(conv, (4, 6, 6, 2), chosen), dense))


@pytest.fixture(scope="module")
def case():
    """Return a template, variants of its network, their arrays and a batch."""
    template = templates.make(_small())
    found = [
        _variant("given", (1, 1), 5),
        _variant("separable", (3, 3), 6),
        _variant("bottleneck", (3, 3), 4, middle=2),
    ]
    children = [masks.describe(_small(), template, variant) for variant in found]
    return template, found, children, scores.random_batch(template, 6, 0, 5)


def _module(template, child, variant, seed):
    """Return the rebuilt network with the weights that the seed draws for the child."""
    draws = jax.jit(lambda: initial.draw(template, jax.random.key(np.uint32(seed))))()
    weights = extract.weights(template, child, variant, initial.scaled(draws, child))
    module = flax_network.build(variant, jax.random.key(0))
    extract.assign(module, weights)
    return module


def _covariance_score(module, images):
    """Return Mellor's score in float64 from a Jacobian of the rebuilt network."""

    def summed(images):
        statistics = flax_network.initial_statistics(module)
        return flax_network.apply(module, statistics, images, training=True)[0].sum()

    jacobian = np.asarray(jax.jit(jax.grad(summed))(images), np.float64)
    values = np.linalg.eigvalsh(np.corrcoef(jacobian.reshape(len(images), -1)))
    return -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5))


def _gradient_norms(module, batch):
    """Return the sum of the norms of the kernels' gradients of the rebuilt network."""

    def loss(module):
        statistics = flax_network.initial_statistics(module)
        logits, _ = flax_network.apply(module, statistics, batch.images, training=True)
        logits = logits - jax.scipy.special.logsumexp(logits, axis=-1, keepdims=True)
        return -logits[jnp.arange(len(batch.labels)), batch.labels].mean()

    found = jax.jit(jax.grad(loss))(module).named_modules()
    parts = [part for part in found.values() if isinstance(part, flax_network.Linear)]
    return sum(np.sqrt(np.square(part.kernel[...]).sum()) for part in parts)


@pytest.mark.slow
def test_scores_equal_those_of_the_rebuilt_network(case):
    template, found, children, batch = case
    run = execution.Execution(together="vmap", method="lax", per_device=2)
    values = scores.make(template, run=run)(children, [7, 8, 9], batch)
    for index, (child, variant) in enumerate(zip(children, found, strict=True)):
        module = _module(template, child, variant, 7 + index)
        np.testing.assert_allclose(
            values["jacobian_covariance"][index],
            _covariance_score(module, batch.images),
            rtol=5e-3,
        )
        np.testing.assert_allclose(
            values["gradient_norm"][index], _gradient_norms(module, batch), rtol=1e-3
        )
        codes = _codes(module, batch.images)
        kernel = (codes[:, None] == codes[None]).sum(-1) + np.eye(len(codes))
        np.testing.assert_allclose(values["naswot"][index], np.linalg.slogdet(kernel)[1], rtol=1e-4)
        assert values["parameters"][index] == flax_network.parameter_count(module)
        assert values["flops"][index] == _products(variant)
        assert np.isfinite(values["log_synflow"][index])
    # Matrix products of unfolded images, one child after the other, score alike.
    run = execution.Execution(together="map", method="im2col", per_device=2)
    again = scores.make(template, ["naswot"], run)(children, [7, 8, 9], batch)
    np.testing.assert_allclose(again["naswot"], values["naswot"], rtol=1e-4)


def _codes(module, images):
    """Return which units in front of the rectifier are active, bool [N, units]."""
    node = next(node for node in module.nodes if node.activation == "relu")
    module.logits = node.name
    # A positive unit behind the rectifier was positive in front of it.
    seen = []
    real = layout.average_positions

    def keep(values, order):
        seen.append(np.asarray(values).reshape(len(images), -1) > 0)
        return real(values, order)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "average_positions", keep)
        statistics = flax_network.initial_statistics(module)
        flax_network.apply(module, statistics, images, training=True)
    return seen[0]


def _parameters(network):
    """Return how many numbers the rebuilt network's parameters hold."""
    module = jax.eval_shape(lambda: flax_network.build(network, jax.random.key(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(module))


def _products(network):
    """Return the FLOPs of all products with weights, layer by layer of the rebuilt network."""
    total = 0
    for node in graph.nodes(network):
        view, read, written = node.view, node.inputs[:1], node.output
        if node.type == "Convolution":
            per_output = math.prod(view.kernel) * read[0][-1] // view.groups
            total += 2 * per_output * math.prod(written[1:])
        elif node.type == "Deconvolution":
            total += 2 * math.prod(view.kernel) * math.prod(read[0][1:]) * written[-1]
        elif node.type == "InnerProduct":
            features = read[0][-1] if view.per_position else math.prod(read[0][1:])
            total += 2 * features * math.prod(written[1:])
        elif node.type == "FeedForward":
            matrices = 3 if view.gated else 2
            total += 2 * matrices * math.prod(read[0][1:]) * view.hidden
        elif node.type == "MultiHeadAttention":
            places, width = read[0][1:]
            inner, shared = view.heads * view.head_width, view.key_value_heads * view.head_width
            total += 2 * places * width * (2 * inner + 2 * shared) + 4 * places**2 * inner
    return total


@pytest.mark.parametrize("name", list(networks.ALL))
def test_sizes_are_those_of_the_rebuilt_network(name):
    resizing = name != "decoder"
    given = networks.ALL[name]()
    template = templates.make(given)
    counted = jax.jit(
        lambda child: (sizes.parameters(template, child), sizes.flops(template, child))
    )
    for seed in range(3):
        variant = random_variants.random_variant(given, seed, resizing=resizing)
        held, operations = counted(masks.describe(given, template, variant))
        assert held == _parameters(variant)
        assert operations == _products(variant)


@pytest.mark.parametrize("name", list(transformers.ALL))
def test_sizes_of_transformers(name):
    given = transformers.ALL[name]()
    template = templates.make(given)
    variant = random_variants.random_transformer(given, 3)
    child = masks.describe(given, template, variant)
    assert sizes.parameters(template, child) == _parameters(variant)
    assert sizes.flops(template, child) == _products(variant)


def test_spectrum_of_known_correlations():
    # Two rows, opposite: correlation -1, eigenvalues 0 and 2.
    rows = jnp.asarray([[1.0, -1.0], [-1.0, 1.0]])
    expected = -(math.log(1e-5) + 1e5 + math.log(2 + 1e-5) + 1 / (2 + 1e-5))
    np.testing.assert_allclose(jacobian_covariance.spectrum_score(rows), expected, rtol=1e-2)
    # Uncorrelated rows: eigenvalues 1 and 1, score -2 (log 1 + 1).
    rows = jnp.asarray([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    np.testing.assert_allclose(jacobian_covariance.spectrum_score(rows), -2.0, rtol=1e-4)
    # A row that does not vary carries nothing.
    assert jacobian_covariance.spectrum_score(jnp.asarray([[1.0, 1.0], [0.0, 1.0]])) == -np.inf


def test_scores_are_known_by_name():
    assert scores.names()[:2] == ("naswot", "log_synflow")
    with pytest.raises(ValueError, match="score 'snip' is not known; allowed: naswot, log_syn"):
        scores.get("snip")
    with pytest.raises(ValueError, match="score 'naswot' is already registered"):
        scores.register(scores.get("naswot"))


def test_token_numbers_have_no_jacobian():
    name = next(n for n in transformers.ALL if n.startswith("bert"))
    template = templates.make(transformers.ALL[name]())
    batch = scores.random_batch(template, 2, 0, 2)
    assert batch.images.dtype == np.int32
    with pytest.raises(ValueError, match="images are int32; the Jacobian"):
        jacobian_covariance.jacobian_covariance(template, {}, {}, jnp.asarray(batch.images))


def test_loss_is_that_of_training():
    logits = jnp.asarray([[2.0, 0.0]])
    assert training.loss(logits, jnp.asarray([0])) == pytest.approx(math.log(1 + math.exp(-2)))
