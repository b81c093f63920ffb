import dataclasses

import numpy as np
import pytest

from greennas_jax.costs import counts, generation, layer_table, paleo
from greennas_jax.costs.settings import MODES, CostSettings
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import SpecError


def of(kind, *parents, **attributes):
    return {"type": kind, "parents": list(parents), **attributes}


IDS = {"type": "Input", "parents": [], "tensor": [2, 6]}
EMBED = of("Embedding", "ids", vocabulary=20, width=8, positions=9)
CAUSAL = {"heads": 2, "causal": True, "use_bias": False}
DECODER = {
    "ids": IDS,
    "embed": EMBED,
    "attend": of("MultiHeadAttention", "embed", **CAUSAL),
    "feed": of("FeedForward", "attend", hidden=16),
    "head": of("InnerProduct", "feed", num_outputs=20, per_position=True),
}
# A memory of 5 positions of width 10, made by an encoder, to which a causal decoder attends.
BOTH = {
    "source": {"type": "Input", "parents": [], "tensor": [2, 5, 10]},
    "encode": of("MultiHeadAttention", "source", heads=2),
    "memory": of("LayerNorm", "encode"),
    **DECODER,
    "cross": of("MultiHeadAttention", "feed", "memory", heads=2),
    "last": of("LayerNorm", "cross"),
}


@pytest.fixture
def decoder(network_of):
    return network_of(DECODER)


def rows_of(run, batch_size=None):
    """Return the table of a run, and the number of each row by its layer's name."""
    table = generation.table(run, batch_size)
    return table, {name: i for i, name in enumerate(shapes.infer(run.network))}


@pytest.mark.parametrize("mode", ["inference", "training", "prefill"])
def test_a_whole_sequence_runs_as_it_stands(decoder, mode):
    run = generation.prepare(decoder, mode)
    assert run == (decoder, {"ids": 6}, 0, {}, frozenset())
    assert run.tokens == 6
    np.testing.assert_array_equal(
        generation.table(run).in_height, layer_table.from_network(decoder).in_height
    )


def test_one_more_token(decoder):
    run = generation.prepare(decoder, "decode")
    assert (run.context, run.tokens, run.cached, run.idle) == (6, 1, {"attend": 5}, frozenset())
    table, row = rows_of(run, batch_size=3)
    assert set(table.batch) == {3}
    assert [table.in_height[row[name]] for name in ("embed", "attend", "feed", "head")] == [1] * 4
    # Five positions in the cache and the new one.
    assert table.keys[row["attend"]] == 6
    assert table.cached.sum() == 5
    settings = CostSettings(mode="decode")
    whole = counts.parameters(layer_table.from_network(decoder), settings).sum()
    assert counts.parameters(table, settings).sum() == whole


def test_context_and_length(decoder):
    assert generation.prepare(decoder, "decode", context=9).cached == {"attend": 8}
    assert generation.prepare(decoder, "decode", 4).cached == {"attend": 3}
    longer = generation.prepare(decoder, "prefill", 9)
    assert longer.tokens == 9
    assert shapes.infer(longer.network)["feed"].output == (2, 9, 8)


def test_an_encoder_does_not_run_again(network_of):
    network = network_of(BOTH)
    assert generation.prepare(network, "prefill").tokens == 6 + 5
    run = generation.prepare(network, "decode")
    assert run.idle == {"source", "encode", "memory"}
    assert (run.tokens, run.cached) == (1, {"attend": 5, "cross": 5})
    table, row = rows_of(run)
    # All of the memory's keys and values come from the cache, its length is as it was.
    assert table.memory_length[row["cross"]] == table.keys[row["cross"]] == 5
    assert table.in_height[row["cross"]] == 1
    assert generation.prepare(network, "decode", context=2).cached == {"attend": 1, "cross": 5}


def test_a_step_after_another_costs_what_the_steps_cost(decoder):
    """Decoding n tokens computes what prefilling them does, where masked pairs are not computed."""
    settings = CostSettings(mode="decode", attention="fused")

    def flops(run):
        return paleo.totals(generation.table(run), settings)[0]

    steps = sum(flops(generation.prepare(decoder, "decode", context=n + 1)) for n in range(6))
    np.testing.assert_allclose(steps, flops(generation.prepare(decoder, "prefill")))


@pytest.mark.parametrize(
    ("changed", "mode", "said"),
    [
        ({"attend": of("MultiHeadAttention", "embed", heads=2)}, "decode", "no causal MultiHead"),
        ({"more": of("MultiHeadAttention", "feed", heads=2)}, "prefill", "'more' .* not causal"),
        ({"pool": of("SequencePool", "feed")}, "decode", "'pool' .* whole sequence"),
        ({"first": of("Embedding", "feed", width=8, class_token=True)}, "decode", "'class_token'"),
        ({"flat": of("InnerProduct", "feed", num_outputs=3)}, "decode", "sequence of 6"),
        (
            {"self": of("MultiHeadAttention", "feed", "attend", heads=2)},
            "decode",
            "'self' .* another sequence that grows",
        ),
    ],
)
def test_networks_that_make_no_tokens_one_after_another(network_of, changed, mode, said):
    network = network_of(DECODER | changed)
    with pytest.raises(SpecError, match=said) as caught:
        generation.prepare(network, mode)
    assert "\n" not in str(caught.value)
    generation.prepare(network, "inference")


@pytest.mark.parametrize("mode", MODES)
def test_networks_without_sequences(specs, mode):
    network = paleo_json.load(specs / "lenet5.json")
    with pytest.raises(SpecError, match="'sequence_length' is for networks that do"):
        generation.prepare(network, mode, 4)
    if mode in ("inference", "training"):
        assert generation.prepare(network, mode).lengths == {}
    else:
        with pytest.raises(SpecError, match="has no causal MultiHeadAttention"):
            generation.prepare(network, mode)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sequence_length": 0}, "sequence_length is 0; allowed: whole numbers from 1"),
        ({"context": -1, "mode": "decode"}, "context is -1; allowed"),
        ({"context": 3}, "it is for mode 'decode' alone"),
        ({"context": 10, "mode": "decode"}, "context of 10 is longer than its 9 'positions'"),
    ],
)
def test_lengths_that_mean_nothing(decoder, arguments, said):
    with pytest.raises(ValueError, match=said):
        generation.prepare(decoder, **{"mode": "inference", **arguments})


def test_positions_bound_the_length(decoder):
    run = generation.prepare(decoder, "inference", 10)
    with pytest.raises(SpecError, match="a sequence of 10 is longer than its 9 'positions'"):
        generation.table(run)


def test_weights_for_one_length_are_no_others(network_of):
    network = network_of(DECODER | {"flat": of("InnerProduct", "feed", num_outputs=3)})
    with pytest.raises(SpecError, match=r"'flat' \(InnerProduct\): has weights for a sequence"):
        generation.prepare(network, "inference", 4)


def test_inputs_of_images_have_no_length(network_of):
    images = {"data": {"type": "Input", "parents": [], "tensor": [2, 8, 8, 3]}}
    flat = of("Reshape", "data", output_shape=[-1, 64, 3])
    network = network_of(images | {"flat": flat, "norm": of("LayerNorm", "flat")})
    assert generation.prepare(network, "inference").lengths == {}
    causal = images | {"flat": flat, "self": of("MultiHeadAttention", "flat", heads=1, causal=True)}
    with pytest.raises(SpecError, match="neither token numbers nor"):
        generation.prepare(network_of(causal), "decode")


def test_costs_follow_the_mode(decoder):
    run = generation.prepare(decoder, "decode")
    table = generation.table(run)
    for mode in ("prefill", "decode"):
        settings = CostSettings(mode=mode)
        forward = dataclasses.replace(settings, mode="inference")
        np.testing.assert_array_equal(paleo.totals(table, settings), paleo.totals(table, forward))
