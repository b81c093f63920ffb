import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.costs import attention, counts, passes, traffic
from greennas_jax.costs.settings import CostSettings

INFERENCE = CostSettings()
TRAINING = CostSettings(mode="training")
FUSED = CostSettings(attention="fused")
# N 2 sequences of S 6 positions of width D 8; 4 heads of width 3.
SHAPE = (2, 6, 8)
PLAIN = {"heads": 4, "head_width": 3, "use_bias": False}
# x = 2*6*8, q = 2*6*4*3 = keys = values, s = 2*4*6*6; weights 8*12 = 96 in each of four products.
X, Q, S, W = 96, 144, 288, 96


@pytest.fixture
def attend(row):
    """Return a function that makes the table of one attention."""

    def make(*inputs, **text):
        parents = ("x", "memory")[: len(inputs)]
        return row("MultiHeadAttention", *inputs, parents=parents, **text)

    return make


def flops(table, settings=INFERENCE):
    work = traffic.work(table, settings)
    steps = (work.forward, work.backward_data, work.backward_filter)
    return tuple(float(step.flops[0]) for step in steps)


def elements(table, settings=INFERENCE):
    """Return the elements of 4 bytes moved by (forward, data gradient, filter gradient)."""
    work = traffic.work(table, settings)
    steps = (work.forward, work.backward_data, work.backward_filter)
    return tuple(float(passes.moved_bytes(step)[0]) / 4 for step in steps)


def test_products_with_weights_and_of_activations(attend):
    # Four products 2 * 12 positions * 8 * 12 = 2304 FLOP; scores and sum 2 * 2 * 2*4*6*6*3 = 3456.
    # Their gradients: all four inputs, twice the scores' products; four weights.
    assert flops(attend(SHAPE, **PLAIN)) == (4 * 2304 + 3456, 4 * 2304 + 2 * 3456, 4 * 2304)


def test_tensors_that_are_moved(attend):
    forward, data, filters = elements(attend(SHAPE, **PLAIN))
    # Products: x three times, q, keys, values written, the sum read, the output written.
    products = 4 * X + 4 * Q
    # Scores q k -> s; softmax s -> s; sum s v -> o.
    assert forward == products + 4 * W + (2 * Q + S) + 2 * S + (S + 2 * Q)
    # dout -> do; dp and dv, each of two tensors; the softmax reads two and writes one; dq and dk;
    # three products to dx, which are added.
    inner = (X + W + Q) + 2 * (2 * Q + S) + 3 * S + 2 * (S + 2 * Q)
    assert data == inner + 3 * (Q + W + X) + 4 * X
    assert filters == products + 4 * W


def test_no_gradient_reaches_a_source(attend):
    table = attend(SHAPE, **PLAIN).replace(reads_input=np.ones(1))
    # What leads to dq, dk and dv is needed for the weights all the same.
    assert flops(table)[1] == 2304 + 2 * 3456
    assert elements(table)[1] == (X + W + Q) + 2 * (2 * Q + S) + 3 * S + 2 * (S + 2 * Q)


def test_biases_read_and_write_what_they_are_added_to(attend):
    bare, full = (elements(attend(SHAPE, **PLAIN | {"use_bias": b})) for b in (False, True))
    # 12 for each of queries, keys and values, 8 for the output.
    assert full[0] - bare[0] == 2 * (3 * Q + X) + 44
    assert full[1] == bare[1]
    assert full[2] - bare[2] == (3 * Q + X) + 44


def test_grouped_queries_share_keys_and_values(attend):
    table = attend(SHAPE, **PLAIN | {"key_value_heads": 2})
    # Keys and values have half the width: 2 * 12 * 8 * 6 = 1152 FLOP each.
    assert flops(table)[0] == 2 * 2304 + 2 * 1152 + 3456
    # Their products move 72 instead of 144 elements and 48 instead of 96 weights; so do the scores
    # and the sum, which read keys and values.
    bare = elements(attend(SHAPE, **PLAIN))
    assert bare[0] - elements(table)[0] == 2 * (72 + 48) + 2 * 72
    assert counts.parameters(table, INFERENCE)[0] == 2 * 96 + 2 * 48


def test_rotation_reads_and_writes_queries_and_keys(attend):
    text = {"heads": 4, "use_bias": False}
    bare, full = (elements(attend(SHAPE, **text, rotary=r)) for r in (False, True))
    # Heads of width 2: 2 * 6 * 8 = 96 queries and as many keys; 6 * 2 sines and cosines.
    assert [a - b for a, b in zip(full, bare, strict=True)] == [4 * 96 + 12, 4 * 96 + 12, 0]


def test_relative_biases(attend):
    bare, full = (elements(attend(SHAPE, **PLAIN, relative_buckets=n)) for n in (0, 5))
    # 5 * 4 biases are read, a map of 4*6*6 = 144 is written and read; the gradient is summed over
    # the batch into such a map, which is read and summed over the distances of a bucket.
    changes = [a - b for a, b in zip(full, bare, strict=True)]
    assert changes == [20 + 2 * 144, 0, S + 2 * 144 + 20]
    found = counts.parameters(attend(SHAPE, **PLAIN, relative_buckets=5), INFERENCE)[0]
    assert found == 4 * W + 20


def test_attention_to_another_sequence(attend):
    table = attend(SHAPE, (2, 5, 10), **PLAIN)
    # Queries and output 2304; keys and values 2 * 10 positions * 10 * 12 = 2400; scores
    # 2 * 2 * 2*4*6*5*3 = 2880.
    assert flops(table)[0] == 2 * 2304 + 2 * 2400 + 2880
    assert counts.parameters(table, INFERENCE)[0] == 2 * 96 + 2 * 120
    m, k, s = 2 * 5 * 10, 2 * 5 * 12, 2 * 4 * 6 * 5
    forward, data, _ = elements(table)
    products = (X + Q) + 2 * (m + k) + (Q + X) + 2 * 96 + 2 * 120
    assert forward == products + (Q + k + s) + 2 * s + (s + k + Q)
    # Only the memory's gradient has two parts to add: 3 m.
    source = (Q + 96 + X) + 2 * (k + 120 + m) + 3 * m
    assert data == (X + 96 + Q) + 4 * (Q + k + s) + 3 * s + source


def test_fused_scores_stay_on_the_chip(attend):
    plain, causal = (attend(SHAPE, **PLAIN, causal=c) for c in (False, True))
    # All pairs, or 6 * 7 / 2 = 21 of 36.
    assert flops(plain, FUSED)[0] == 4 * 2304 + 3456
    assert flops(causal, FUSED)[0] == 4 * 2304 + 3456 * 21 / 36
    # The gradient computes the scores again: five products for two.
    assert flops(causal, FUSED)[1] == 4 * 2304 + 2.5 * 3456 * 21 / 36
    assert flops(causal, INFERENCE)[0] == 4 * 2304 + 3456
    forward, data, _ = elements(plain, FUSED)
    assert forward == 4 * X + 4 * Q + 4 * W + 4 * Q
    # For each of 2*4*6 rows one number is kept in training, and read with one more in the gradient.
    training = CostSettings(attention="fused", mode="training")
    assert elements(plain, training)[0] == forward + 48
    inner = (X + W + Q) + (2 * Q + 48) + (3 * Q + 4 * Q + 2 * 48)
    assert data == inner + 3 * (Q + W + X) + 4 * X


def test_one_more_token_reads_the_cache(attend):
    table = attend((2, 1, 8), **PLAIN, causal=True).replace(cached=np.array([5.0]))
    # One position of each sequence; 2 * 2 * 2*4*1*6*3 = 576 for scores and sum over six keys.
    assert flops(table)[0] == 4 * (2304 / 6) + 576
    x, q, a, s = 16, 24, 2 * 6 * 12, 2 * 4 * 6
    # The weights are read whole, keys and values of all six positions, one of them just written.
    assert elements(table)[0] == 4 * (x + q) + 4 * W + (q + a + s) + 2 * s + (s + a + q)
    for kind in (INFERENCE, FUSED):
        assert flops(table, kind)[0] == 4 * (2304 / 6) + 576


def test_one_more_token_reads_another_sequence_from_the_cache(attend):
    table = attend((2, 1, 8), (2, 5, 10), **PLAIN).replace(cached=np.array([5.0]))
    # Neither keys nor values are computed, and their weights are not read.
    assert flops(table)[0] == 2 * (2304 / 6) + 2 * 2 * 2 * 4 * 5 * 3
    x, q, a, s = 16, 24, 2 * 5 * 12, 2 * 4 * 5
    assert elements(table)[0] == 2 * (x + q) + 2 * 96 + (q + a + s) + 2 * s + (s + a + q)
    assert counts.parameters(table, INFERENCE)[0] == 2 * 96 + 2 * 120


def test_what_stands_in_the_cache(attend):
    prefill = CostSettings(mode="prefill")
    causal = attend(SHAPE, **PLAIN, causal=True)
    # Keys and values of 2 * 6 positions, 12 wide.
    assert counts.cache_bytes(causal, prefill)[0] == 4 * 2 * 144
    assert counts.cache_bytes(causal, INFERENCE)[0] == 0
    half = CostSettings(mode="prefill", dtype="bf16")
    assert counts.cache_bytes(causal, half)[0] == 2 * 2 * 144
    # Attention that is not causal makes no tokens one after another; another sequence is kept.
    assert counts.cache_bytes(attend(SHAPE, **PLAIN), prefill)[0] == 0
    across = attend(SHAPE, (2, 5, 10), **PLAIN)
    assert counts.cache_bytes(across, prefill)[0] == 4 * 2 * 2 * 5 * 12
    grouped = attend(SHAPE, **PLAIN | {"key_value_heads": 1}, causal=True)
    assert counts.cache_bytes(grouped, prefill)[0] == 4 * 2 * 144 / 4


def test_what_is_kept_and_alive_inside(attend):
    table = attend(SHAPE, **PLAIN, causal=True)
    # Training: queries, keys, values, sum and the softmax's output, beside the output.
    assert counts.activation_bytes(table, TRAINING)[0] == 4 * (X + 4 * Q + S)
    fused = CostSettings(mode="training", attention="fused")
    assert counts.activation_bytes(table, fused)[0] == 4 * (X + 4 * Q + 48)
    assert counts.activation_bytes(table, INFERENCE)[0] == 4 * X
    # While it runs: queries, keys, values and scores; keys and values are in the cache if there is
    # one. Fused, the sum takes the scores' place.
    assert counts.working_bytes(table, INFERENCE)[0] == 4 * (3 * Q + S)
    assert counts.working_bytes(table, CostSettings(mode="prefill"))[0] == 4 * (Q + S)
    assert counts.working_bytes(table, FUSED)[0] == 4 * 4 * Q


def test_products_of_activations_of_a_step(attend):
    table = attend(SHAPE, **PLAIN, causal=True)
    assert attention.score_flops_of_mode(table, INFERENCE)[0] == 3456
    assert attention.score_flops_of_mode(table, TRAINING)[0] == 3 * 3456


def test_cost_is_quadratic_in_the_length(attend):
    text = {"heads": 2, "use_bias": False}
    once, twice = (attention.score_flops(attend((1, n, 8), **text), FUSED)[0] for n in (50, 100))
    assert twice == 4 * once
    causal = [
        attention.score_flops(attend((1, n, 8), **text, causal=True), FUSED)[0] for n in (1, 100)
    ]
    # One position attends to itself: 2 products of 8; a hundred to 5,050 pairs.
    assert causal == [2 * 2 * 8, 5050 * 2 * 2 * 8]


@pytest.mark.parametrize("causal", [False, True])
def test_the_compiler_computes_masked_pairs(attend, causal):
    """XLA's own count of a compiled attention: products, and a few operations for each score."""
    batch, heads, length, width = 2, 4, 48, 32

    def attention_of(q, k, v):
        scores = jnp.einsum("nhqe,nhke->nhqk", q, k)
        if causal:
            mask = jnp.tril(jnp.ones((length, length), bool))
            scores = jnp.where(mask, scores, -jnp.inf)
        return jnp.einsum("nhqk,nhke->nhqe", jax.nn.softmax(scores), v)

    shape = jnp.zeros((batch, heads, length, width), jnp.float32)
    compiled = jax.jit(attention_of).lower(shape, shape, shape).compile()
    counted = (compiled.cost_analysis() or {})["flops"]
    text = {"heads": heads, "causal": causal}
    table = attend((batch, length, heads * width), **text)
    products = attention.score_flops(table, INFERENCE)[0]
    scores = batch * heads * length**2
    assert products <= counted <= products + 8 * scores
    # Of causal attention, the pairs up to the diagonal would be half.
    assert attention.score_flops(table, FUSED)[0] < 0.52 * products or not causal
