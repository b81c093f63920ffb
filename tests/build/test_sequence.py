import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from greennas_jax.build import attention, flax_network, graph, sequence
from greennas_jax.costs import counts, layer_table, settings
from greennas_jax.spec import paleo_json, sequence_layers
from greennas_jax.spec.network import SpecError
from tests.accuracy import transformers
from tests.build import numpy_network, numpy_transformer

_apply = jax.jit(lambda module, inputs: flax_network.apply(module, {}, inputs)[0])


def _weights(module):
    """Return a module's parameters by layer and role, as numpy arrays."""
    found = {}
    for name, part in module.named_modules().items():
        roles = part.roles() if isinstance(part, sequence.Parameters) else {}
        if isinstance(part, flax_network.Linear):
            linear = {"kernel": part.kernel, "bias": part.bias}
            roles = {role: values[...] for role, values in linear.items() if values is not None}
        found[name] = {role: np.asarray(values) for role, values in roles.items()}
    return found


def _perturbed(module, by=0.3):
    """Return a module none of whose parameters is zero or one."""
    rng = np.random.default_rng(5)
    return jax.tree.map(lambda a: a + rng.normal(0, by, a.shape).astype(np.float32), module)


def _inputs(network, count=3):
    nodes = graph.nodes(network)
    shape, vocabulary = (count, *nodes[0].output[1:]), graph.vocabulary(nodes)
    rng = np.random.default_rng(0)
    if vocabulary:
        return rng.integers(0, vocabulary, shape).astype(np.int32)
    return rng.normal(size=shape).astype(np.float32)


@functools.cache
def _built(name, method="lax"):
    network = transformers.ALL[name]()
    build = functools.partial(flax_network.build, network, convolution=method)
    return network, jax.jit(build)(jax.random.key(0))


def _one(kind, length=6, width=8, **attributes):
    """Return a network of one layer on sequences [N, S, D], and its module with parameters."""
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [2, length, width]},
        "one": {"type": kind, "parents": ["data"], **attributes},
    }
    network = paleo_json.read(json.dumps({"name": "one", "layers": layers}))
    module = _perturbed(jax.jit(lambda: flax_network.build(network, jax.random.key(1)))())
    return network, module


def _output(module, values):
    """Return the output of a network of one layer at every place."""
    node = module.nodes[-1]
    return sequence.apply(node, module.named_modules()["one"].roles(), [values])


@pytest.mark.parametrize("method", ["lax", "im2col"])
@pytest.mark.parametrize("name", transformers.ALL)
def test_every_transformer_equals_numpy(name, method):
    network, module = _built(name, method)
    module, inputs = _perturbed(module), _inputs(network)
    logits = graph.logits_layer(network)
    expected = numpy_network.run(network, _weights(module), inputs, logits)
    np.testing.assert_allclose(_apply(module, inputs), expected, rtol=1e-4, atol=1e-5)


# By hand. ViT of 12: patches 4*4*12+12; class token 12, 5 places 60; each block two norms 48,
# attention 4*(12*12+12), feed-forward 2*12*20+20+12; last norm 24, head 12*5+5.
# BERT of 12: table 84, places 120, segments 24, norm 24; the same blocks; pooler 156, head 65.
# GPT of 8: table 88; each block two norms 16, attention 8*6*(4+2+2+4), feed-forward 3*8*12; norm 8.
@pytest.mark.parametrize(
    "name, count",
    [
        ("vit", 204 + 72 + 2 * (48 + 624 + 512) + 24 + 65),
        ("bert", 252 + 2 * (48 + 624 + 512) + 156 + 65),
        ("gpt", 88 + 2 * (16 + 576 + 288) + 8),
    ],
)
def test_parameter_counts(name, count):
    assert flax_network.parameter_count(_built(name)[1]) == count


def test_first_weights_have_the_variance_of_their_fan_in():
    network = transformers.vit(width=64, heads=4, hidden=256, blocks=1)
    module = jax.jit(lambda: flax_network.build(network, jax.random.key(0)))()
    roles = {
        name: part.roles()
        for name, part in module.named_modules().items()
        if isinstance(part, sequence.Parameters)
    }
    mix, feed = roles["attend0/mix"], roles["feed0/mix"]
    for role in ("query", "key", "value", "output"):
        np.testing.assert_allclose(mix[role].var(), 1 / 64, rtol=0.1)
    # What stands in front of a rectifier has twice the variance.
    np.testing.assert_allclose(feed["inner"].var(), 2 / 64, rtol=0.1)
    np.testing.assert_allclose(feed["outer"].var(), 1 / 256, rtol=0.1)
    np.testing.assert_allclose(roles["place"]["positions"].std(), 0.02, rtol=0.2)
    assert not roles["place"]["class_token"].any() and not mix["query_bias"].any()
    np.testing.assert_array_equal(roles["norm"]["scale"], 1.0)


def test_causal_attention_knows_nothing_of_what_follows():
    _, module = _one("MultiHeadAttention", heads=2, causal=True, relative_buckets=8, rotary=True)
    values = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
    changed = values.copy()
    changed[:, 4:] += 1.0
    before, after = _output(module, values), _output(module, changed)
    np.testing.assert_allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert np.abs(before[:, 4:] - after[:, 4:]).min(axis=(0, 2)).min() > 1e-3
    _, both_ways = _one("MultiHeadAttention", heads=2)
    moved = _output(both_ways, changed) - _output(both_ways, values)
    assert np.abs(moved[:, :4]).max() > 1e-3


def test_attention_without_places_follows_a_permutation():
    _, module = _one("MultiHeadAttention", heads=4, key_value_heads=2)
    values = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
    order = np.array([3, 0, 5, 1, 4, 2])
    found = _output(module, values[:, order])
    np.testing.assert_allclose(found, _output(module, values)[:, order], atol=1e-5)
    for attributes in ({"rotary": True}, {"relative_buckets": 6}):
        _, placed = _one("MultiHeadAttention", heads=2, **attributes)
        moved = _output(placed, values[:, order]) - _output(placed, values)[:, order]
        assert np.abs(moved).max() > 1e-2, attributes


def test_turned_heads_know_the_distance_alone():
    rng = np.random.default_rng(0)
    ask, key = rng.normal(size=(2, 10)).astype(np.float32)
    placed = np.broadcast_to(ask, (1, 12, 1, 10)), np.broadcast_to(key, (1, 12, 1, 10))
    asks, keys = (np.asarray(attention.rotate(jnp.asarray(part)))[0, :, 0] for part in placed)
    products = asks @ keys.T
    for distance in range(-5, 6):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], atol=1e-4)
    assert products[0].std() > 1e-2
    np.testing.assert_allclose(asks[3], numpy_transformer.rotated(ask, 3), rtol=1e-4, atol=1e-5)
    # The first pair turns by one radian a place, and lengths stay.
    angle = np.arctan2(*asks[1, 1::-1]) - np.arctan2(*ask[1::-1])
    np.testing.assert_allclose(angle % (2 * np.pi), 1.0, rtol=1e-4)
    np.testing.assert_allclose((asks**2).sum(1), (ask**2).sum(), rtol=1e-5)


@pytest.mark.parametrize("buckets, causal", [(32, False), (32, True), (8, False), (6, True)])
def test_buckets_of_distances_are_t5s(buckets, causal):
    found = attention.distance_buckets(150, 150, buckets, causal=causal)
    expected = [
        [numpy_transformer.bucket(i, j, buckets, causal) for j in range(150)] for i in range(150)
    ]
    np.testing.assert_array_equal(found, expected)
    assert found.min() == 0 and found.max() == buckets - 1


def test_buckets_as_published():
    # 32 buckets: 8 distances of their own each way, then to 128; those ahead from 16 on.
    found = attention.distance_buckets(300, 300, 32, causal=False)
    assert found[200, 200] == 0 and found[200, 193] == 7 and found[200, 207] == 23
    # 8 + floor(8 log(16 / 8) / log(128 / 8)) = 10; from 128 on all alike.
    assert found[200, 184] == 10 and found[200, 216] == 26
    assert found[200, 72] == found[200, 0] == 15 and found[0, 128] == found[0, 299] == 31
    for buckets in (1, 2, 3):
        few = attention.distance_buckets(9, 7, buckets, causal=False)
        assert few.shape == (9, 7) and few.min() == 0 and few.max() == buckets - 1


def test_grouped_heads_equal_heads_whose_keys_repeat():
    grouped, module = _one("MultiHeadAttention", heads=6, key_value_heads=2, head_width=4)
    whole = grouped.replace(
        layers=tuple(
            layer.with_attributes(key_value_heads=6) if layer.name == "one" else layer
            for layer in grouped.layers
        )
    )
    roles = module.named_modules()["one"].roles()
    repeated = dict(roles)
    for role in ("key", "value"):
        repeated[role] = np.repeat(roles[role], 3, axis=1)
        repeated[f"{role}_bias"] = np.repeat(roles[f"{role}_bias"], 3, axis=0)
    values = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
    found = sequence.apply(graph.nodes(grouped)[1], roles, [values])
    expected = sequence.apply(graph.nodes(whole)[1], repeated, [values])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_normalised_vectors_have_mean_zero_and_length_one():
    values = np.random.default_rng(0).normal(3, 2, (2, 6, 8)).astype(np.float32)
    _, module = _one("LayerNorm")
    plain = {"scale": jnp.ones(8), "shift": jnp.zeros(8)}
    found = sequence.layer_norm(module.nodes[1].view, plain, values)
    np.testing.assert_allclose(found.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(-1), 1, rtol=1e-3)
    scaled = sequence.layer_norm(sequence_layers.LayerNorm(True, False), plain, values)
    np.testing.assert_allclose((scaled**2).mean(-1), 1, rtol=1e-3)
    assert np.abs(scaled.mean(-1)).min() > 0.1


def test_live_moments_are_those_of_the_live_part():
    values = np.random.default_rng(0).normal(3, 2, (2, 6, 8)).astype(np.float32)
    live = np.array([1, 1, 0, 1, 0, 1, 1, 0], np.float32)
    roles = {"scale": np.arange(8, dtype=np.float32), "shift": np.ones(8, np.float32)}
    short = {role: part[live > 0] for role, part in roles.items()}
    for view in (sequence_layers.LayerNorm(False, True), sequence_layers.LayerNorm(True, True)):
        found = sequence.layer_norm(view, roles, values * live, jnp.asarray(live))
        expected = sequence.layer_norm(view, short, values[..., live > 0])
        np.testing.assert_allclose(found[..., live > 0], expected, rtol=1e-5)
    nothing = sequence.layer_norm(view, roles, 0 * values, jnp.zeros(8))
    assert np.isfinite(nothing).all()


def test_small_and_large_tables_are_read_alike():
    table = np.random.default_rng(0).normal(size=(sequence.SMALL_VOCABULARY + 1, 4))
    tokens = np.array([[0, 255, 3], [7, 7, 100]])
    whole = sequence.look_up(jnp.asarray(table, jnp.float32), tokens)
    np.testing.assert_allclose(whole, table[tokens], rtol=1e-6)
    np.testing.assert_allclose(
        sequence.look_up(jnp.asarray(table[:256], jnp.float32), tokens), whole, rtol=1e-6
    )


def test_gradients_reach_every_parameter():
    network, module = _built("translator")
    inputs = _inputs(network)

    def loss(module):
        return jnp.square(flax_network.apply(module, {}, inputs)[0]).sum()

    for part in jax.tree.leaves(jax.jit(jax.grad(loss))(_perturbed(module))):
        assert np.isfinite(part).all() and np.abs(part).max() > 0


def test_graph_mode_is_not_needed():
    network, module = _built("gpt")
    inputs = _inputs(network)
    with nnx.set_graph_mode(False):
        again = jax.jit(lambda: flax_network.build(network, jax.random.key(0)))()
        np.testing.assert_allclose(_apply(again, inputs), _apply(module, inputs), rtol=1e-6)


def _read(**layers):
    data = {"type": "Input", "parents": [], "tensor": [2, 6]}
    return paleo_json.read(json.dumps({"name": "n", "layers": {"data": data, **layers}}))


def test_token_numbers_are_for_embeddings_alone():
    embed = {"type": "Embedding", "parents": ["data"], "vocabulary": 5, "width": 4}
    dense = {"type": "InnerProduct", "parents": ["data"], "num_outputs": 4}
    with pytest.raises(SpecError, match=r"'dense' \(InnerProduct\) of network 'n' reads token num"):
        graph.nodes(_read(embed=embed, dense=dense))
    behind = {**embed, "parents": ["dense"]}
    with pytest.raises(
        SpecError, match="'embed': its parent 'dense' is of type InnerProduct; only an Input"
    ):
        graph.nodes(_read(dense=dense, embed=behind))
    tied = {"type": "InnerProduct", "parents": ["embed"], "num_outputs": 5, "weights_of": "embed"}
    with pytest.raises(SpecError, match=r"'tied': with 'weights_of' .* 'per_position' must be tru"):
        graph.nodes(_read(embed=embed, tied=tied))
    assert graph.vocabulary(graph.nodes(_read(embed=embed))) == 5
    assert graph.vocabulary(graph.nodes(_read(dense=dense))) == 0


@pytest.mark.parametrize("name", ["vit_digits", "bert_tiny", "bert_base", "gpt2", "vit_b16"])
def test_parameters_are_those_that_are_costed(specs, name):
    network = paleo_json.load(specs / f"{name}.json")
    shapes = jax.eval_shape(lambda: flax_network.build(network, jax.random.key(0)))
    table = layer_table.from_network(network)
    assert flax_network.parameter_count(shapes) == int(
        counts.parameters(table, settings.CostSettings()).sum()
    )
