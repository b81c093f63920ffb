"""Whatever the transformer and whatever the tokens, the space around it holds together."""

import hypothesis
import numpy as np
from hypothesis import strategies

from greennas_jax.costs import devices, layer_table, terms
from greennas_jax.spaces import edits, exact, factors
from greennas_jax.spaces.edits import EditsConfig
from greennas_jax.spec import network as networks
from greennas_jax.spec import paleo_json, shapes
from tests.spaces import sequence_examples
from tests.spaces.conftest import TRAINING
from tests.spaces.examples import inner, plain

WIDTH = 24


@strategies.composite
def attentions(draw, causal):
    shared = draw(strategies.sampled_from([1, 2, 3, 4]))
    heads = shared * draw(strategies.sampled_from([1, 2]))
    stated = {} if WIDTH % heads == 0 and draw(strategies.booleans()) else {"head_width": 6}
    grouped = {"key_value_heads": shared} if shared != heads or draw(strategies.booleans()) else {}
    return sequence_examples.attend(heads, causal=causal, **stated, **grouped)


@strategies.composite
def feeds(draw):
    return sequence_examples.feed(
        draw(strategies.integers(1, 80)), gated=draw(strategies.booleans())
    )


def products(draw, last, number):
    """A residual pair of inner products at each position, or one, without a shortcut."""
    width = draw(strategies.sampled_from([8, 24, 40]))
    layers = {
        f"p{number}": plain("InnerProduct", last, num_outputs=width, per_position=True),
        f"p{number}/act": plain("Activation", f"p{number}", activation_fn="gelu"),
        f"p{number}/out": plain(
            "InnerProduct", f"p{number}/act", num_outputs=WIDTH, per_position=True
        ),
    }
    if not draw(strategies.booleans()):
        return layers, f"p{number}/out"
    return {**layers, f"p{number}/sum": plain("Elementwise", last, f"p{number}/out")}, (
        f"p{number}/sum"
    )


@strategies.composite
def transformers(draw):
    layers, last = {"embed": plain("Embedding", "ids", vocabulary=30, width=WIDTH)}, "embed"
    causal = draw(strategies.booleans())
    for number in range(draw(strategies.integers(1, 4))):
        kind = draw(strategies.sampled_from(["attention", "feed", "bare", "products"]))
        if kind == "products":
            more, last = products(draw, last, number)
        else:
            layer = draw(feeds() if kind == "feed" else attentions(causal))
            options = {
                "norm": draw(strategies.sampled_from([None, "before", "after"])),
                "dropout": draw(strategies.booleans()),
            }
            more, end = sequence_examples.branch(last, f"b{number}", layer, **options)
            if kind == "bare":
                more = {
                    f"b{number}": plain(layer[0], last, **layer[2]),
                    f"b{number}/norm": plain("LayerNorm", f"b{number}"),
                }
                end = f"b{number}/norm"
            last = end
        layers |= more
    if draw(strategies.booleans()):
        layers["pool"] = plain("SequencePool", last, method="first")
        layers |= {"hidden": inner("pool", draw(strategies.integers(1, 40)))}
        layers["fc"] = inner("hidden", 3)
    else:
        layers["head"] = plain(
            "InnerProduct", last, num_outputs=30, per_position=True, weights_of="embed"
        )
    return sequence_examples.network("random", layers, ids=[2, 5])


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
@hypothesis.given(given=transformers(), data=strategies.data())
def test_random_transformer(given, data):
    shapes.infer(given)
    frozen = data.draw(strategies.sampled_from([(), ("embed",), (given.layers[2].name,)]))
    space = edits.build(given, config=EditsConfig(freeze=frozen))
    zeros = np.zeros(len(space.positions), np.int32)
    assert space.decode(zeros) == given
    wanted = [terms.get("energy"), terms.get("flops"), terms.get("parameters")]
    device = devices.load("titan_x")
    costs = space.factors(device, wanted, TRAINING)
    lowest = exact.cheapest(costs, {"energy": 1.0})[1]
    for _ in range(3):
        tokens = np.array(
            [data.draw(strategies.integers(0, size - 1)) for size in space.sizes.tolist()], np.int32
        )
        decoded = space.decode(tokens)
        networks.check_graph(decoded)
        shapes.infer(decoded)
        np.testing.assert_array_equal(space.encode(decoded), space.canonical(tokens)[0])
        assert paleo_json.read(paleo_json.write(decoded)).by_name() == decoded.by_name()
        assert {layer.name for layer in decoded.layers} >= {"ids", "embed", given.layers[-1].name}
        for name in frozen:
            assert decoded.by_name()[name].attributes == given.by_name()[name].attributes
        table = layer_table.from_network(decoded)
        expected = [term.function(table, device, TRAINING).sum() for term in wanted]
        found = factors.exact(costs, tokens[:, None])[:, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        assert lowest <= found[0] * (1 + 1e-12)
