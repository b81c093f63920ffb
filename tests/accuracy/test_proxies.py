import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.accuracy import extract, initial, masks, naswot, proxies, synflow
from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network, graph
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError
from tests.accuracy import networks, random_variants
from tests.build import numpy_network


def _linear(network):
    """Return a network without activations and normalisation, as SynFlow sees it."""
    plain = [
        layer.with_attributes(activation_fn=None, normalizer_fn=None) for layer in network.layers
    ]
    return network.replace(layers=tuple(plain))


def _saliencies(network, weights):
    """Return the sum over all weights of |w dR / dw| at an all-ones image, by reverse mode."""
    module = flax_network.build(network, jax.random.key(0))
    absolute = {
        name: {role: np.abs(a) if role == "kernel" else 0 * a for role, a in roles.items()}
        for name, roles in weights.items()
    }
    extract.assign(module, absolute)
    shape = next(la for la in network.layers if la.type == "Input").attributes["tensor"]

    @jax.jit
    def scored(module):
        def flow(module):
            return flax_network.apply(module, {}, jnp.ones((1, *shape[1:])))[0].sum()

        return jax.tree.map(lambda w, g: (w * g).sum(), module, jax.grad(flow)(module))

    return float(sum(jax.tree.leaves(scored(module))))


@pytest.mark.parametrize("name", ["lenet", pytest.param("residual", marks=pytest.mark.slow)])
def test_synflow_equals_the_sum_of_saliencies_of_the_rebuilt_network(name):
    given = _linear(networks.ALL[name]())
    template = templates.make(given)
    draws = jax.jit(lambda: initial.draw(template, jax.random.key(0)))()
    score = jax.jit(
        lambda child: synflow.log_synflow(template, child, initial.scaled(draws, child))
    )
    for seed in (4,):
        variant = random_variants.random_variant(given, seed)
        child = masks.describe(given, template, variant)
        parameters = jax.jit(initial.scaled)(draws, child)
        weights = extract.weights(template, child, variant, parameters)
        expected = np.log(_saliencies(variant, weights))
        np.testing.assert_allclose(score(child), expected, rtol=1e-4)


def test_naswot_counts_equal_codes_of_the_rebuilt_network(monkeypatch):
    given = networks.lenet()
    template = templates.make(given)
    images = np.random.default_rng(0).normal(size=(5, 12, 12, 1)).astype(np.float32)
    draws = jax.jit(lambda: initial.draw(template, jax.random.key(0)))()
    score = jax.jit(
        lambda child: naswot.naswot(template, child, initial.scaled(draws, child), images)
    )
    for seed in (0, 2, 5):
        variant = random_variants.random_variant(given, seed) if seed else given
        child = masks.describe(given, template, variant)
        parameters = jax.jit(initial.scaled)(draws, child)
        weights = extract.weights(template, child, variant, parameters)
        codes = []
        activate = numpy_network.activate

        def spy(name, values, codes=codes, activate=activate):
            if name:
                codes.append(values.reshape(5, -1) > 0)
            return activate(name, values)

        monkeypatch.setattr(numpy_network, "activate", spy)
        numpy_network.run(variant, weights, images, graph.logits_layer(variant))
        monkeypatch.setattr(numpy_network, "activate", activate)
        together = np.concatenate(codes, axis=1)
        kernel = (together[:, None] == together[None]).sum(-1) + np.eye(5)
        expected = np.linalg.slogdet(kernel)[1]
        np.testing.assert_allclose(score(child), expected, rtol=1e-4)


def _deep(depth, width):
    layers = {"data": {"type": "Input", "parents": [], "tensor": [1, 1, 1, width]}}
    parent = "data"
    for index in range(depth):
        layers[f"fc{index}"] = {
            "type": "InnerProduct",
            "parents": [parent],
            "num_outputs": width,
            "activation_fn": "relu",
        }
        parent = f"fc{index}"
    return paleo_json.read(json.dumps({"name": "deep", "layers": layers}))


@pytest.mark.slow
def test_synflow_of_a_deep_network_does_not_overflow():
    # Each layer multiplies the flow by about 256 x sqrt(2 / 256) x sqrt(2 / pi) = 18: 18^40 is
    # beyond float32.
    given = _deep(40, 256)
    template = templates.make(given)
    child = masks.describe(given, template, given)
    found = jax.jit(
        lambda key: synflow.log_synflow(
            template, child, initial.scaled(initial.draw(template, key), child)
        )
    )(jax.random.key(0))
    per_layer = np.log(256 * np.sqrt(2 / 256) * np.sqrt(2 / np.pi))
    # 256 ones flow in; the last layer, without rectifier gain here, has it as well; 40 factors.
    expected = 40 * per_layer + np.log(256) + np.log(40)
    assert expected > np.log(np.finfo(np.float32).max)
    np.testing.assert_allclose(found, expected, rtol=0.01)


@pytest.fixture(scope="module")
def scored():
    return proxies.make(networks.lenet(), batch_size=6)


def test_given_network_scores_one_and_smaller_ones_less(scored):
    given = networks.lenet()
    narrow = random_variants.random_variant(given, 3)
    one, less, other = scored.evaluate([given, narrow, narrow], [5, 5, 6])
    assert one.accuracy == 1.0 and one.epochs == 0.0 and not one.stopped
    assert less.accuracy < 1.0 and other.accuracy != less.accuracy
    assert scored.evaluate([narrow], [5]) == [less]
    assert scored.baseline([1, 2]) == [one, one]
    assert scored.kind == "proxy" and scored.after_baseline([one]) is scored


def test_score_is_the_worst_relative_drop():
    # NASWOT falls from 100 to 80, log SynFlow from 20 to 19: the worst drop is a fifth.
    found, given = proxies.Scores(80.0, 19.0), proxies.Scores(100.0, 20.0)
    assert proxies.relative_score(found, given) == pytest.approx(0.8)
    # Gains do not make up for losses.
    assert proxies.relative_score(proxies.Scores(300.0, 10.0), given) == pytest.approx(0.5)
    # Near zero the drop is absolute, and a network that carries nothing scores the least.
    assert proxies.relative_score(
        proxies.Scores(80.0, 0.0), proxies.Scores(80.0, 0.25)
    ) == pytest.approx(0.75)
    assert proxies.relative_score(proxies.Scores(80.0, -np.inf), given) == 0.0


def test_networks_without_activations_are_scored_by_their_outputs():
    scores = proxies.make(_linear(networks.lenet()), batch_size=4)
    assert scores.evaluate([scores.given], [0])[0].accuracy == 1.0
    reference = scores.prepared(0)[1]
    assert np.isfinite(reference.naswot) and reference.naswot > 0


def test_what_cannot_be_scored_is_refused(scored):
    with pytest.raises(SpecError, match="layer 'data': not a variant"):
        scored.evaluate([networks.residual()], [0])
    with pytest.raises(ValueError, match=r"images \[1, 8, 8, 3\]: two or more of \[8, 8, 3\]"):
        proxies.make(networks.residual(), batch_size=1)
