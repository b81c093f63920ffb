import numpy as np
import pytest

from greennas_jax.costs import counts, passes, traffic
from greennas_jax.costs.settings import CostSettings

INFERENCE = CostSettings()
# N 2 sequences of 3 positions of width 4; 5 hidden: x = y = 24, f = 30, weights 20 and 20.
SHAPE = (2, 3, 4)
X, F, W = 24, 30, 20
BARE = {"hidden": 5, "use_bias": False, "activation_fn": None}


def work_of(table, settings=INFERENCE):
    work = traffic.work(table, settings)
    steps = (work.forward, work.backward_data, work.backward_filter)
    moved = tuple(float(passes.moved_bytes(step)[0]) / 4 for step in steps)
    return tuple(float(step.flops[0]) for step in steps), moved


@pytest.fixture
def feed(row):
    def make(**text):
        return row("FeedForward", SHAPE, **BARE | text)

    return make


def test_two_products(feed):
    flops, moved = work_of(feed())
    # 2 * 6 positions * 4 * 5 = 240 FLOP each, up and down.
    assert flops == (480, 480, 480)
    assert moved == (X + 2 * F + X + 2 * W,) * 3


def test_gate(feed):
    flops, moved = work_of(feed(gated=True))
    # One product more; the gate reads two tensors and writes one, its gradient reads three and
    # writes two; the two gradients of x are added.
    assert flops == (720, 720, 720)
    products = 2 * (X + F + W) + (F + X + W)
    assert moved == (products + 3 * F, products + 5 * F + 3 * X, products)


def test_activation_and_bias(feed):
    flops, moved = work_of(feed(activation_fn="gelu", use_bias=True))
    assert flops == (480, 480, 480)
    products = X + 2 * F + X + 2 * W
    # Hidden values and output are read and written again; 5 + 4 biases.
    assert moved[0] == products + 2 * F + 2 * X + 9
    assert moved[1] == products + 3 * F
    assert moved[2] == products + F + X + 9
    assert work_of(feed(activation_fn="relu"))[1][0] == products + 2 * F


def test_no_gradient_reaches_a_source(feed):
    flops, moved = work_of(feed(activation_fn="gelu").replace(reads_input=np.ones(1)))
    assert flops == (480, 240, 480)
    assert moved[1] == (X + W + F) + 3 * F


def test_parameters(feed):
    assert counts.parameters(feed(), INFERENCE)[0] == 40
    assert counts.parameters(feed(use_bias=True), INFERENCE)[0] == 40 + 5 + 4
    assert counts.parameters(feed(gated=True, use_bias=True), INFERENCE)[0] == 60 + 10 + 4


def test_what_is_kept_and_alive_inside(feed):
    training = CostSettings(mode="training")
    # The hidden values in front of and behind the activation; once where nothing changes them.
    for text, kept in (({}, F), ({"activation_fn": "gelu"}, 2 * F), ({"gated": True}, 3 * F)):
        assert counts.activation_bytes(feed(**text), training)[0] == 4 * (X + kept)
    assert counts.working_bytes(feed(), INFERENCE)[0] == 4 * F
    assert counts.working_bytes(feed(gated=True), INFERENCE)[0] == 4 * 2 * F


def test_gradients_of_weights_are_single_precision(feed):
    table = feed(use_bias=True)
    half = CostSettings(mode="training", dtype="bf16")
    work = traffic.work(table, half)
    # Tensors x, f, f, y and the biases' gradients' sources f and y in two bytes; 40 weights and 9
    # biases in four.
    expected = 2 * (2 * X + 2 * F + F + X) + 4 * 49
    assert passes.moved_bytes(work.backward_filter)[0] == expected
