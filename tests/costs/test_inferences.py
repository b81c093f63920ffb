import json

import numpy as np
import pytest

from greennas_jax.costs import devices, inferences
from greennas_jax.costs import profile as cost_profile
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json

TITAN = devices.load("titan_x")
COSTS = CostSettings()
KEYS = ("time_ms", "flops", "bytes", "energy_j")


def _block(name, parent, *, causal, memory=None):
    heads = {"type": "MultiHeadAttention", "heads": 2}
    layers = {f"{name}/own": heads | {"parents": [parent], "causal": causal}}
    last = f"{name}/own"
    if memory:
        layers[f"{name}/other"] = heads | {"parents": [last, memory]}
        last = f"{name}/other"
    layers[f"{name}/hidden"] = {"type": "FeedForward", "parents": [last], "hidden": 64}
    return layers


def _tokens(name, length):
    return {
        name: {"type": "Input", "parents": [], "tensor": [1, length]},
        f"{name}/table": {"type": "Embedding", "parents": [name], "vocabulary": 90, "width": 16},
    }


def network(layers):
    return paleo_json.read(json.dumps({"name": "test", "layers": layers}))


DECODER = network(_tokens("words", 8) | _block("block", "words/table", causal=True))
ENCODER = network(_tokens("words", 8) | _block("block", "words/table", causal=False))
BOTH = network(
    _tokens("source", 8)
    | _tokens("target", 4)
    | _block("encoder", "source/table", causal=False)
    | _block("decoder", "target/table", causal=True, memory="encoder/hidden")
)


def test_an_example_is_one_pass():
    (phase,) = inferences.of_examples(ENCODER, TITAN, COSTS, 4, 6)
    whole = cost_profile.profile(ENCODER, TITAN, COSTS, 4, sequence_length=6)["totals"]
    assert (phase.name, phase.batch_size, phase.calls) == ("inference", 4, 1)
    assert all(phase.totals[key] == whole[key] for key in KEYS)


def test_a_prompt_yields_the_first_token():
    (phase,) = inferences.of_tokens(DECODER, TITAN, COSTS, 2, 6, 1)
    read = cost_profile.profile(DECODER, TITAN, CostSettings(mode="prefill"), 2, sequence_length=6)[
        "totals"
    ]
    assert (phase.name, phase.batch_size) == ("prefill", 2)
    assert all(phase.totals[key] == read[key] for key in KEYS)


def test_every_further_token_is_a_step_over_all_before_it():
    """Prompt of 6, 5 tokens made: 4 steps that attend to 7, 8, 9 and 10 tokens."""
    _, phase = inferences.of_tokens(DECODER, TITAN, COSTS, 2, 6, 5)
    assert (phase.name, phase.calls) == ("decode", 4)
    steps = [
        cost_profile.profile(DECODER, TITAN, CostSettings(mode="decode"), 2, context=context)
        for context in (7, 8, 9, 10)
    ]
    for key in KEYS:
        total = sum(step["totals"][key] for step in steps)
        np.testing.assert_allclose(phase.calls * phase.totals[key], total, rtol=1e-6)


def test_an_encoder_reads_the_prompt_and_the_decoder_starts_with_one_token():
    prefill, decode = inferences.of_tokens(BOTH, TITAN, COSTS, 1, 7, 3)
    encoder = network(_tokens("words", 7) | _block("block", "words/table", causal=False))
    alone = cost_profile.profile(encoder, TITAN, COSTS, 1)["totals"]["flops"]
    # The decoder's first token: products of 16 x 16 weights, 4 of its own attention, 2 of the
    # other, of which 2 more make keys and values of 7 tokens; 2 of 16 x 64.
    first = 2 * (6 * 256 + 2 * 7 * 256 + 2 * 1024)
    assert alone + first < prefill.totals["flops"] < 1.1 * (alone + first)
    assert decode.calls == 2
    assert decode.totals["flops"] < first


def test_longer_prompts_and_more_tokens_take_more():
    def energy(prompt, made):
        phases = inferences.of_tokens(DECODER, TITAN, COSTS, 1, prompt, made)
        return sum(phase.of_one("energy_j") for phase in phases)

    assert energy(8, 8) < energy(16, 8) < energy(16, 16)


def test_unknown_energy_stays_unknown():
    dark = TITAN.replace(power_known=False)
    phases = inferences.of_tokens(DECODER, dark, COSTS, 1, 4, 4)
    assert [phase.totals["energy_j"] for phase in phases] == [None, None]


@pytest.mark.parametrize(
    ("net", "prompt", "made", "words"),
    [
        (ENCODER, 4, 4, "no causal MultiHeadAttention"),
        (DECODER, 0, 4, "prefill_tokens is 0"),
        (DECODER, 4, 0, "decode_tokens is 0"),
    ],
)
def test_refused(net, prompt, made, words):
    with pytest.raises(ValueError, match=words):
        inferences.of_tokens(net, TITAN, COSTS, 1, prompt, made)
