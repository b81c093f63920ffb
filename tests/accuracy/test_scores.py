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
from greennas_jax.build import flax_network, graph
from tests.accuracy import networks, random_variants, transformers

NETWORKS = ("lenet", "residual")


def _case(name, seeds=(1, 4)):
    """Return a template, variants of its network, their arrays and a batch."""
    given = networks.ALL[name]()
    template = templates.make(given)
    variants = [random_variants.random_variant(given, seed) for seed in seeds]
    children = [masks.describe(given, template, variant) for variant in variants]
    batch = scores.random_batch(template, 6, 0, 5)
    return template, variants, children, batch


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


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_equal_those_of_the_rebuilt_network(name):
    template, variants, children, batch = _case(name)
    wanted = ["jacobian_covariance", "gradient_norm", "parameters"]
    run = execution.Execution(method="im2col", per_device=2)
    found = scores.make(template, wanted, run)(children, [7, 8], batch)
    for index, (child, variant) in enumerate(zip(children, variants, strict=True)):
        module = _module(template, child, variant, 7 + index)
        np.testing.assert_allclose(
            found["jacobian_covariance"][index],
            _covariance_score(module, batch.images),
            rtol=5e-3,
        )
        np.testing.assert_allclose(
            found["gradient_norm"][index], _gradient_norms(module, batch), rtol=1e-3
        )
        assert found["parameters"][index] == flax_network.parameter_count(module)


@pytest.mark.parametrize("together", ["map", "vmap"])
def test_both_forms_of_convolution_score_alike(together):
    template, _, children, batch = _case("residual", (1, 2, 3))
    form = {"map": "im2col", "vmap": "lax"}[together]
    run = execution.Execution(together=together, method=form, per_device=2)
    names = ["naswot", "log_synflow"]
    found = scores.make(template, names, run)(children, [0, 0, 0], batch)
    for name in names:
        alone = [
            scores.get(name).function(
                scores.Sight(
                    template,
                    child,
                    initial.scaled(initial.draw(template, jax.random.key(np.uint32(0))), child),
                    batch,
                    "lax",
                )
            )
            for child in children
        ]
        np.testing.assert_allclose(found[name], alone, rtol=1e-4)


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
    for seed in range(4):
        variant = random_variants.random_variant(given, seed, resizing=resizing)
        held, operations = counted(masks.describe(given, template, variant))
        module = flax_network.build(variant, jax.random.key(0))
        assert held == flax_network.parameter_count(module)
        assert operations == _products(variant)


@pytest.mark.parametrize("name", list(transformers.ALL))
def test_sizes_of_transformers(name):
    given = transformers.ALL[name]()
    template = templates.make(given)
    variant = random_variants.random_transformer(given, 3)
    child = masks.describe(given, template, variant)
    module = flax_network.build(variant, jax.random.key(0))
    assert sizes.parameters(template, child) == flax_network.parameter_count(module)
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
