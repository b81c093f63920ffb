import numpy as np
import pytest

from greennas_jax.costs import counts, layer_table, passes, traffic
from greennas_jax.costs.layer_table import Operation
from greennas_jax.costs.settings import CostSettings

INFERENCE = CostSettings()
TRAINING = CostSettings(mode="training")
SHAPE = (2, 4, 4, 8)
SIZE = 2 * 4 * 4 * 8


def moved(table, settings=INFERENCE):
    """Return the bytes of (forward, data gradient, filter gradient)."""
    work = traffic.work(table, settings)
    steps = (work.forward, work.backward_data, work.backward_filter)
    return tuple(float(passes.moved_bytes(step)[0]) for step in steps)


def flops(table, settings=INFERENCE):
    work = traffic.work(table, settings)
    steps = (work.forward, work.backward_data, work.backward_filter)
    return tuple(float(step.flops[0]) for step in steps)


def test_plain_convolution(convolution):
    table = convolution((2, 5, 5, 8), [3, 3, 8, 6], stride=2, use_bias=False)
    # 3x3 outputs. 2 * 3*3*8 * 3*3*6 * 2 = 15552 FLOP in each pass.
    assert flops(table) == (15552, 15552, 15552)
    # in 2*5*5*8 = 400, weights 3*3*8*6 = 432, out 2*3*3*6 = 108.
    assert moved(table) == (4 * 940, 4 * 940, 4 * 940)


def test_grouped_and_depthwise_convolutions(convolution):
    # 2 * 3*3*(8/4) * 4*4*16 * 2 and 2 * 3*3*1 * 4*4*8 * 2.
    assert flops(convolution(SHAPE, [3, 3, 8, 16], groups=4))[0] == 18432
    assert flops(convolution(SHAPE, [3, 3, 8, 8], groups=8))[0] == 4608
    # Weights 3*3*2*16 and 3*3*8.
    assert counts.weights(convolution(SHAPE, [3, 3, 8, 16], groups=4))[0] == 288
    assert counts.weights(convolution(SHAPE, [3, 3, 8, 8], groups=8))[0] == 72


def test_what_follows_in_the_same_layer(convolution):
    def extra(settings=INFERENCE, **text):
        bare = moved(convolution(SHAPE, [1, 1, 8, 8], use_bias=False), settings)
        full = moved(convolution(SHAPE, [1, 1, 8, 8], **text), settings)
        return tuple((a - b) / 4 for a, b in zip(full, bare, strict=True))

    # Bias: the output read and written, 8 biases; backward the gradient read, 8 biases written.
    assert extra(use_bias=True) == (2 * SIZE + 8, 0, SIZE + 8)
    # An activation is fused with the bias.
    assert extra(use_bias=True, activation_fn="relu") == (2 * SIZE + 8, 0, 3 * SIZE + 8)
    assert extra(use_bias=False, activation_fn="relu") == (2 * SIZE, 0, 3 * SIZE)
    normalized = {"use_bias": False, "normalizer_fn": "batch_norm"}
    assert extra(**normalized) == (2 * SIZE + 32, 0, 5 * SIZE)
    assert extra(TRAINING, **normalized) == (3 * SIZE + 32, 0, 5 * SIZE)


def test_inner_product(row):
    table = row("InnerProduct", (4, 10), num_outputs=3, use_bias=False)
    assert flops(table) == (240, 240, 240)
    # 40 + 30 + 12 elements.
    assert moved(table) == (4 * 82, 4 * 82, 4 * 82)


@pytest.mark.parametrize(
    ("kind", "forward", "backward"),
    [
        ("ReLU", 2, 3),
        ("Softmax", None, None),
        ("LRN", 2, 4),
        ("Reshape", 0, 0),
        ("Dropout", 0, 2.25),
        ("Unheard", 2, 2),
    ],
)
def test_layers_of_traffic_alone(row, kind, forward, backward):
    text = {"Reshape": {"output_shape": [-1, 128]}}.get(kind, {})
    if kind == "Softmax":
        # Four rows of ten: read 40, write 40; backward read 80, write 40.
        assert moved(row(kind, (4, 10))) == (320, 480, 0)
        return
    table = row(kind, SHAPE, **text)
    assert moved(table) == (4 * forward * SIZE, 4 * backward * SIZE, 0)
    assert flops(table)[0] == 0


def test_batch_normalisation_layer(row):
    table = row("BatchNorm", SHAPE)
    # One read and one write and four numbers per channel; two reads for the statistics.
    assert moved(table)[0] == 4 * (2 * SIZE + 4 * 8)
    assert moved(table, TRAINING)[0] == 4 * (3 * SIZE + 4 * 8)
    assert counts.parameters(table, INFERENCE)[0] == 16


def test_dropout_works_in_training_only(row):
    table = row("Dropout", SHAPE)
    assert moved(table)[0] == 0
    # Read, write, and a mask of one byte per element.
    assert moved(table, TRAINING)[0] == 4 * 2 * SIZE + SIZE
    assert flops(table, TRAINING)[0] == SIZE


def test_joining_and_adding(row):
    pair = (2, 4, 4, 8), (2, 4, 4, 8)
    assert moved(row("Elementwise", *pair, parents=("a", "b")))[0] == 4 * 3 * SIZE
    assert moved(row("Concatenate", *pair, parents=("a", "b"), dim=3))[0] == 4 * 4 * SIZE


def test_pooling(row):
    text = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "VALID"}
    table = row("Pooling", SHAPE, **text)
    # 2 * 2*2 * (2*2*2*8 = 64 outputs).
    assert flops(table) == (512, 512, 0)
    assert moved(table) == (4 * (SIZE + 64), 4 * (SIZE + 2 * 64), 0)
    assert moved(row("AvgPool", SHAPE, **text))[1] == 4 * (SIZE + 64)


def test_an_input_costs_nothing(network_of):
    only = {"data": {"type": "Input", "parents": [], "tensor": [2, 4, 4, 8]}}
    assert moved(layer_table.from_network(network_of(only))) == (0, 0, 0)


def test_update(convolution):
    table = convolution((1, 4, 4, 1), [1, 1, 1, 3])
    update = traffic.work(table, TRAINING).update
    # 3 weights and 3 biases.
    assert update.flops[0] == 4 * 6
    assert passes.moved_bytes(update)[0] == 5 * 4 * 6


def test_every_operation_has_its_traffic():
    assert set(traffic.TRAFFIC) == set(traffic.TRAINING_TRAFFIC) == set(Operation)


def test_work_of_the_mode(convolution):
    table = convolution(SHAPE, [3, 3, 8, 8], use_bias=False)
    work = traffic.work(table, TRAINING)
    forward = 2 * 9 * 8 * 8 * 32
    assert passes.flops(work, "inference")[0] == forward
    # 576 weights, 4 FLOP each, in the update.
    assert passes.flops(work, "training")[0] == 3 * forward + 4 * 576
    expected = sum(float(passes.moved_bytes(step)[0]) for step in work)
    np.testing.assert_allclose(passes.bytes_moved(work, "training")[0], expected)


def test_layer_normalisation(row):
    shape, size = (2, 3, 4), 24
    # A row stays on the chip: one read and one write, 4 scales and 4 offsets; the gradient reads
    # input and dout and writes din, with the scales, and reads both again for scales and offsets.
    assert moved(row("LayerNorm", shape)) == tuple(
        4 * n for n in (2 * size + 8, 3 * size + 4, 2 * size + 8)
    )
    assert moved(row("LayerNorm", shape, rms=True))[0] == 4 * (2 * size + 4)
    assert counts.parameters(row("LayerNorm", shape), INFERENCE)[0] == 8
    assert counts.parameters(row("LayerNorm", shape, rms=True), INFERENCE)[0] == 4
    assert moved(row("LayerNorm", shape), TRAINING) == moved(row("LayerNorm", shape))
    assert moved(row("LayerNorm", shape, rms=True, use_bias=True))[0] == 4 * (2 * size + 8)


def test_activation_layer(row):
    assert moved(row("Activation", (2, 3, 4), activation_fn="gelu")) == (4 * 48, 4 * 72, 0)


def test_pooling_of_a_sequence(row):
    # The mean reads 2*3*4 and writes 2*4; the first position alone is 2*4. Both gradients read 8
    # and write 24.
    assert moved(row("SequencePool", (2, 3, 4), method="mean")) == (4 * 32, 4 * 32, 0)
    assert moved(row("SequencePool", (2, 3, 4), method="first")) == (4 * 16, 4 * 32, 0)


def test_inner_product_of_each_position(row):
    text = {"num_outputs": 5, "use_bias": False}
    table = row("InnerProduct", (2, 3, 4), per_position=True, **text)
    # 2 * 6 positions * 4 * 5; 24 read, 20 weights, 30 written.
    assert flops(table) == (240, 240, 240)
    assert moved(table) == (4 * 74, 4 * 74, 4 * 74)
    # Flattened, 12 features meet 5 outputs in each of two examples.
    assert flops(row("InnerProduct", (2, 3, 4), **text))[0] == 2 * 2 * 12 * 5
