"""Whole networks against published figures, and what a profile says of sequences."""

import functools

import jax
import jax.numpy as jnp
import pytest

from greennas_jax.build import flax_network
from greennas_jax.costs import devices, profile, profile_text
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json


@pytest.fixture(scope="module")
def totals_of(specs):
    """Return a function that profiles a network and returns its totals."""
    device = devices.load("titan_x")

    @functools.cache
    def profiled(name, mode="inference", batch=1, length=None, context=None, **settings):
        network = paleo_json.load(specs / f"{name}.json")
        found = profile.profile(
            network,
            device,
            CostSettings(mode=mode, **settings),
            batch,
            sequence_length=length,
            context=context,
        )
        return found["totals"]

    return profiled


def test_training_gpt3(totals_of):
    # Brown et al. 2020, table D.1: 3.14e23 FLOP for 300 billion tokens, 6 for each parameter and
    # token; attention's scores are left out there.
    found = totals_of("gpt3_175b", "training")
    assert found["tokens"] == 2048
    per_token = found["weight_flops"] / 2048
    assert per_token * 300e9 == pytest.approx(3.14e23, rel=0.01)
    assert per_token == pytest.approx(6 * 174.6e9, rel=0.01)
    # The scores add 12 S D FLOP for each layer and token: 96 * 12 * 2048 * 12288.
    assert found["attention_flops"] / 2048 == 96 * 12 * 2048 * 12288
    # Only pooling, dropout and the update are in neither: 4 FLOP for each parameter.
    rest = found["flops"] - found["weight_flops"] - found["attention_flops"]
    assert rest == pytest.approx(4 * found["parameters"], rel=1e-6)


def test_bert_base_at_128_tokens(totals_of):
    # Sun et al., MobileBERT, ACL 2020, table 4, and Jiao et al., TinyBERT, 2020, table 1: 22.5
    # billion FLOP.
    assert totals_of("bert_base")["flops"] == pytest.approx(22.5e9, rel=0.01)
    found = totals_of("bert_base", length=256)
    # 85,017,600 weights of the layers, twice, at each of 256 tokens, and once pooler and head;
    # scores and sums 4 S^2 D in each of 12 layers.
    layers = 12 * (4 * 768**2 + 2 * 768 * 3072)
    assert found["weight_flops"] == 2 * (256 * layers + 768 * 768 + 2 * 768)
    assert found["attention_flops"] == 12 * 4 * 256**2 * 768


def test_vit_b16_at_224(totals_of):
    # torchvision's ViT_B_16_Weights: 17.56 GFLOPS, a multiply-add counted as one.
    assert totals_of("vit_b16")["flops"] / 2 == pytest.approx(17.56e9, rel=0.001)
    assert "tokens" not in totals_of("vit_b16")


@pytest.mark.parametrize(
    ("name", "weights"),
    # All parameters in products: without embedding (Llama), positions (GPT-2), and what only adds.
    [("llama2_7b", 6_738_415_616 - 32_000 * 4_096 - 65 * 4_096), ("gpt2", 84_934_656 + 38_597_376)],
)
def test_two_operations_for_each_weight_and_token(totals_of, name, weights):
    for mode, times in (("inference", 2), ("prefill", 2), ("training", 6)):
        found = totals_of(name, mode)
        assert found["weight_flops"] == times * weights * found["tokens"]
    assert totals_of(name, "decode")["weight_flops"] == 2 * weights


def test_training_t5_is_near_its_published_cost(totals_of):
    # Patterson et al. 2021, table 4: 4.05e22 FLOP; Raffel et al. 2020, section 3.7: one million
    # steps of 2^11 sequences. 7 % more is counted here.
    found = totals_of("t5_11b", "training")
    assert found["tokens"] == 512 + 114
    assert found["weight_flops"] * 2**11 * 1e6 == pytest.approx(4.05e22, rel=0.08)


def test_cache_of_keys_and_values(totals_of):
    # Keys and values of 32 layers, 4,096 wide: one MiB in four bytes for each token of Llama 2 7B.
    found = totals_of("llama2_7b", "decode", 3, context=1000)
    assert 2 * 32 * 4096 * 4 == 2**20
    assert found["kv_cache_bytes"] == 3 * 1000 * 2 * 32 * 4096 * 4
    assert totals_of("llama2_7b")["kv_cache_bytes"] == 0
    # T5 keeps its decoder's 114 and, for the 512 tokens of the encoder, as much for each layer.
    expected = 4 * 2 * 24 * 128 * 128 * (114 + 512)
    assert totals_of("t5_11b", "decode")["kv_cache_bytes"] == expected
    assert totals_of("t5_11b", "prefill")["kv_cache_bytes"] == expected


def test_a_step_reads_every_weight_and_the_cache_once(totals_of):
    found = totals_of("llama2_7b", "decode")
    weights = 4 * (6_738_415_616 - 32_000 * 4_096)
    cache = 4 * 4096 * 2 * 32 * 4096
    # What else moves, one token's tensors and scores, is small.
    assert weights + cache < found["bytes"] < 1.02 * (weights + cache)
    # 16 sequences read the weights once and 16 caches.
    batch = totals_of("llama2_7b", "decode", 16)
    assert weights + 16 * cache < batch["bytes"] < 1.02 * (weights + 16 * cache)
    assert batch["energy_per_token_j"] < found["energy_per_token_j"] / 4


def test_memory_of_prefill_and_decode(totals_of):
    whole, prefill, decode = (
        totals_of("llama2_7b", mode) for mode in ("inference", "prefill", "decode")
    )
    weights = 4 * 6_738_415_616
    for found in (prefill, decode):
        assert found["peak_memory_bytes"] > weights + found["kv_cache_bytes"]
        for mode in ("inference", "training"):
            key = f"peak_memory_{mode}_bytes"
            assert found[key] == whole[key]
    # One token's tensors are nothing beside weights and cache.
    assert decode["peak_memory_bytes"] < 1.001 * (weights + decode["kv_cache_bytes"])
    assert prefill["peak_memory_bytes"] > decode["peak_memory_bytes"]


def test_a_compiled_network_computes_what_is_counted(specs, totals_of):
    """XLA's own count of the executed network: the products, and what is done once per element."""
    network = paleo_json.load(specs / "vit_digits.json")
    module = flax_network.build(network, jax.random.key(0))
    statistics = flax_network.initial_statistics(module)
    images = jnp.zeros((1, 28, 28, 1), jnp.float32)
    step = jax.jit(lambda images: flax_network.apply(module, statistics, images)[0])
    counted = (step.lower(images).compile().cost_analysis() or {})["flops"]
    assert 1 <= counted / totals_of("vit_digits")["flops"] <= 1.15


def test_fused_attention_moves_no_scores(totals_of):
    plain, fused = (
        totals_of("gpt2", "training", attention=kind) for kind in ("materialised", "fused")
    )
    assert fused["weight_flops"] == plain["weight_flops"]
    # 2 + 5 products up to the diagonal for 2 + 4 of the square.
    assert fused["attention_flops"] == plain["attention_flops"] * 7 / 6 * (1025 / 2 / 1024)
    # Four and seven times 12 heads * 1024^2 scores in each of 12 layers are not moved.
    assert plain["bytes"] - fused["bytes"] > 0.9 * 4 * 11 * 12 * 12 * 1024**2
    assert fused["peak_memory_bytes"] < plain["peak_memory_bytes"]


def profiled(specs, name, **settings):
    network = paleo_json.load(specs / f"{name}.json")
    return profile.profile(network, devices.load("titan_x"), CostSettings(**settings))


def test_layers_that_do_not_run(specs):
    found = profiled(specs, "t5_11b", mode="decode")
    assert found["sequence"] == {"lengths": {"tokens": 512, "targets": 1}, "context": 114}
    idle = [layer["name"] for layer in found["coverage"]["zero_cost_layers"] if "reason" in layer]
    # Embedding, 24 layers of six, and the last normalisation.
    assert len(idle) == 1 + 24 * 6 + 1
    assert all(name.startswith("encoder/") for name in idle)
    layer = next(r for r in found["layers"] if r["name"] == "encoder/layer3/feed_forward")
    assert (layer["time_ms"], layer["energy_j"], layer["flops"], layer["bytes"]) == (0, 0, 0, 0)
    assert layer["parameters"] == 2 * 1024 * 65536
    assert "not run for one more token: 146 layers" in profile_text.text(found)


def test_text_of_a_step(specs):
    text = profile_text.text(profiled(specs, "gpt2", mode="decode"))
    assert "GPT-2 on titan_x, batch 8, decode" in text
    assert "decode makes the forward pass only" in text
    for line in ("attention scores", "key-value cache", "energy per token"):
        assert line in text


def test_the_original_knows_no_transformers(specs):
    with pytest.raises(ValueError, match="layer 'embedding': Paleo has no layers of transformers"):
        profiled(specs, "bert_tiny", compat="paleo")
    network = paleo_json.load(specs / "bert_tiny.json")
    device = devices.load("titan_x")
    found = profile.profile(network, device, CostSettings(), explained=True)["explain"]
    assert found["paleo_ms"] is None
    assert found["default_ms"] > 0
    with pytest.raises(ValueError, match="mode is 'decode', which the original Paleo does not"):
        profile.profile(network, device, CostSettings(mode="decode"), explained=True)


def test_networks_without_sequences_say_nothing_of_them(specs):
    found = profiled(specs, "lenet5", mode="training")
    assert "sequence" not in found
    assert not {"tokens", "energy_per_token_j", "kv_cache_bytes"} & set(found["totals"])
    assert found["totals"]["attention_flops"] == 0
    # Three products of 2 FLOP for each of conv1 0.1176, conv2 0.24 and inner products 0.059
    # million weights' uses, and no data gradient of conv1, of 128 images.
    each = (28 * 28 * 150, 10 * 10 * 2400, 48_000 + 10_080 + 840)
    assert found["totals"]["weight_flops"] == 128 * (6 * sum(each) - 2 * each[0])
