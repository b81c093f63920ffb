import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.accuracy import extract, initial, masks, naswot, proxies, synflow
from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network, sequence
from greennas_jax.spec import paleo_json
from tests.accuracy import random_variants, transformers
from tests.build import numpy_network


def _flow(network, weights):
    """Return the flow of a network of one path through numpy, by the rules of the docstring."""
    flow, scale = None, {}
    for layer in network.layers:
        own = {
            role: np.abs(a).astype(np.float64) for role, a in weights.get(layer.name, {}).items()
        }
        parents = [scale[parent] for parent in layer.parents]
        match layer.type:
            case "Input":
                flow = np.ones(layer.attributes["tensor"][1:])
            case "Embedding":
                flow = np.tile(own["table"].mean(0), (len(parents[0]), 1))
            case "LayerNorm":
                flow = parents[0] * own["scale"]
            case "MultiHeadAttention":
                values = np.einsum("d,dke->ke", parents[0].mean(0), own["value"])
                heads = own["query"].shape[1]
                values = values.repeat(heads // len(values), axis=0)
                flow = np.tile(np.einsum("he,hed->d", values, own["output"]), (len(parents[0]), 1))
            case "FeedForward":
                hidden = parents[0] @ own["inner"]
                if "gate" in own:
                    level = parents[0].mean(-1, keepdims=True)
                    hidden = hidden * (parents[0] / level @ own["gate"])
                flow = hidden @ own["outer"]
            case "Elementwise":
                flow = sum(parents)
            case "SequencePool":
                flow = parents[0].mean(0)
            case "InnerProduct":
                flow = parents[0] @ own["kernel"]
            case _:
                flow = parents[0]
        scale[layer.name] = flow
    return flow.sum()


def _saliencies(network, weights):
    """Return the sum of |w| dR / d|w| by differences, one role after the other."""
    total = 0.0
    used = {"table", "scale", "value", "output", "inner", "outer", "gate", "kernel"}
    for name, roles in weights.items():
        for role in used & set(roles):
            high, low = (
                _flow(network, {**weights, name: {**roles, role: roles[role] * (1 + step)}})
                for step in (1e-4, -1e-4)
            )
            total += (high - low) / 2e-4
    return total


def _small(gated, shared):
    """Return a transformer without places, whose places are all alike."""
    of = {"type": "Elementwise"}
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [2, 5]},
        "embed": {"type": "Embedding", "parents": ["data"], "vocabulary": 7, "width": 8},
        "norm": {"type": "LayerNorm", "parents": ["embed"]},
        "mix": {
            "type": "MultiHeadAttention",
            "parents": ["norm"],
            "heads": 4,
            "key_value_heads": shared,
        },
        "add": {**of, "parents": ["embed", "mix"]},
        "feed": {"type": "FeedForward", "parents": ["add"], "hidden": 12, "gated": gated},
        "add2": {**of, "parents": ["add", "feed"]},
        "pool": {"type": "SequencePool", "parents": ["add2"], "method": "mean"},
        "head": {"type": "InnerProduct", "parents": ["pool"], "num_outputs": 3},
    }
    return paleo_json.read(json.dumps({"name": "small", "layers": layers}))


@pytest.mark.parametrize("gated, shared", [(False, 4), (True, 2)])
def test_synflow_of_a_transformer_sums_its_saliencies(gated, shared):
    given = _small(gated, shared)
    template = templates.make(given)
    draws = jax.jit(lambda: initial.draw(template, jax.random.key(0)))()
    score = jax.jit(
        lambda child: synflow.log_synflow(template, child, initial.scaled(draws, child))
    )
    for seed in range(2):
        variant = random_variants.random_transformer(given, seed) if seed else given
        child = masks.describe(given, template, variant)
        parameters = jax.jit(initial.scaled)(draws, child)
        weights = extract.weights(template, child, variant, parameters)
        expected = np.log(_saliencies(variant, weights))
        np.testing.assert_allclose(score(child), expected, rtol=1e-3)


def test_all_alike_tokens_attend_uniformly():
    """With one token everywhere the network computes what the flow takes for granted."""
    given = _small(False, 4)
    module = jax.jit(lambda: flax_network.build(given, jax.random.key(0)))()
    roles = module.named_modules()["mix"].roles()

    def summed(query, values):
        node = next(node for node in module.nodes if node.name == "mix")
        return sequence.apply(node, {**roles, "query": query}, [values]).sum()

    moved = jax.jit(lambda values: jnp.abs(jax.grad(summed)(roles["query"], values)).max())
    values = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    alike, differing = moved(np.repeat(values[:, :1], 5, axis=1)), moved(values)
    assert differing > 1e-2 and alike < 1e-4 * differing


def test_naswot_counts_the_hidden_codes_of_the_rebuilt_network():
    given = transformers.vit(drop=None)
    template = templates.make(given)
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype(np.float32)
    draws = jax.jit(lambda: initial.draw(template, jax.random.key(0)))()
    score = jax.jit(
        lambda child: naswot.naswot(template, child, initial.scaled(draws, child), images)
    )
    for seed in (0, 2):
        variant = random_variants.random_transformer(given, seed, drop=0.2) if seed else given
        child = masks.describe(given, template, variant)
        parameters = jax.jit(initial.scaled)(draws, child)
        weights = extract.weights(template, child, variant, parameters)
        codes = []
        for name in ("feed0", "feed1"):
            if f"{name}/mix" in variant.by_name():
                own = weights[f"{name}/mix"]
                seen = numpy_network.run(variant, weights, images, f"{name}/norm", whole=True)
                codes.append((seen @ own["inner"] + own["inner_bias"] > 0).reshape(5, -1))
        together = np.concatenate([np.zeros((5, 0)), *codes], axis=1)
        kernel = (together[:, None] == together[None]).sum(-1) + np.eye(5)
        np.testing.assert_allclose(score(child), np.linalg.slogdet(kernel)[1], rtol=1e-4)


@pytest.mark.parametrize("name", ["bert", "translator"])
def test_every_transformer_is_scored(name):
    given = transformers.ALL[name]()
    scored = proxies.make(given, batch_size=6)
    smaller = random_variants.random_transformer(given, 3, drop=0)
    one, less = scored.evaluate([given, smaller], [0, 0])
    assert one.accuracy == 1.0 and np.isfinite(less.accuracy) and less.accuracy != 1.0
    reference = scored.prepared(0)[1]
    assert np.isfinite(reference.naswot) and np.isfinite(reference.log_synflow)
