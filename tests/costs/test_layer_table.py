import numpy as np
import pytest

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import Operation, Padding
from greennas_jax.spec import shapes
from greennas_jax.spec.network import SpecError


def test_convolution_row(convolution):
    table = convolution(
        (2, 9, 7, 4),
        [3, 5, 4, 6],
        stride=2,
        groups=2,
        use_bias=False,
        activation_fn="relu",
        normalizer_fn="batch_norm",
    )
    # SAME: ceil(9 / 2) = 5, ceil(7 / 2) = 4; pads (4 * 2 + 3 - 9) // 2 and (3 * 2 + 5 - 7) // 2.
    expected = {
        "operation": Operation.CONVOLUTION,
        "batch": 2,
        "in_height": 9,
        "in_width": 7,
        "in_channels": 4,
        "out_height": 5,
        "out_width": 4,
        "out_channels": 6,
        "kernel_height": 3,
        "kernel_width": 5,
        "stride_height": 2,
        "stride_width": 2,
        "pad_height": 1,
        "pad_width": 2,
        "padding": Padding.SAME,
        "groups": 2,
        "depthwise": 0,
        "bias": 0,
        "activation": 1,
        "normalizer": 1,
        "inputs": 1,
        "reads_input": 0,
    }
    found = {name: getattr(table, name)[0] for name in expected}
    assert found == expected
    assert table.operation.dtype == np.int32
    assert table.in_channels.dtype == np.float64


def test_pad_is_minus_one_where_the_stride_exceeds_the_kernel(convolution):
    # (ceil(8 / 3) - 1) * 3 + 1 - 8 = -1; floor(-1 / 2) = -1.
    assert convolution((1, 8, 8, 1), [1, 1, 1, 1], stride=3).pad_height[0] == -1


def test_depthwise_reads_one_channel_per_filter_even_at_width_zero(convolution):
    table = convolution((1, 4, 4, 8), [3, 3, 8, 16], groups=8)
    assert table.filter_channels[0] == 1
    empty = table.replace(in_channels=np.zeros(1), groups=np.zeros(1))
    assert empty.filter_channels[0] == 1
    grouped = convolution((1, 4, 4, 8), [3, 3, 8, 16], groups=4)
    assert grouped.filter_channels[0] == 2


def test_other_ranks_are_folded(row):
    dense = row("InnerProduct", (5, 2, 3, 4), num_outputs=7)
    # 2 * 3 * 4 = 24 features.
    assert (dense.in_height[0], dense.in_width[0], dense.in_channels[0]) == (1, 1, 24)
    flat = row("ReLU", (5, 9))
    assert (flat.batch[0], flat.in_channels[0], flat.input_elements[0]) == (5, 9, 45)
    deep = row("ReLU", (5, 2, 3, 4, 6))
    assert (deep.in_height[0], deep.in_width[0], deep.in_channels[0]) == (2, 12, 6)


def test_elements_of_joined_and_added_tensors(row):
    joined = row("Concatenate", (2, 3, 3, 4), (2, 3, 3, 1), parents=("a", "b"), dim=3)
    # 2 * 3 * 3 * (4 + 1) = 90, read and written.
    assert (joined.input_elements[0], joined.output_elements[0]) == (90, 90)
    added = row("Elementwise", *[(2, 3, 3, 4)] * 3, parents=("a", "b", "c"))
    # Three tensors of 72 are read, one is written.
    assert (added.input_elements[0], added.output_elements[0]) == (216, 72)


def test_rows_follow_the_topological_order(every_type):
    table = layer_table.from_network(every_type)
    order = list(shapes.infer(every_type))
    assert len(table) == len(order) == len(every_type.layers)
    assert table.operation[order.index("strange")] == Operation.UNKNOWN
    assert table.reads_input[order.index("conv")] == 1
    assert table.reads_input.sum() == 1


def test_batch_size_replaces_that_of_the_text(every_type):
    table = layer_table.from_network(every_type, batch_size=7)
    assert set(table.batch) == {7}


def test_sources_are_the_inputs_whatever_their_name(network_of):
    network = network_of(
        {
            "picture": {"type": "Input", "parents": [], "tensor": [1, 6]},
            "dense": {"type": "InnerProduct", "parents": ["picture"], "num_outputs": 3},
        }
    )
    assert layer_table.from_network(network).reads_input.tolist() == [0, 1]


def test_pooling_window_is_clipped_unless_paleo_is_reproduced(row):
    text = {"ksize": [1, 7, 7, 1], "strides": [1, 1, 1, 1], "padding": "VALID"}
    assert row("AvgPool", (1, 6, 6, 2), **text).kernel_height[0] == 6
    assert row("AvgPool", (1, 6, 6, 2), compat="paleo", **text).kernel_height[0] == 7


def test_malformed_attributes_are_named(row):
    with pytest.raises(SpecError, match="'strides' is missing"):
        row("Convolution", (1, 4, 4, 2), filter=[1, 1, 2, 2], padding="SAME")


def test_no_rows():
    assert len(layer_table.rows([], [])) == 0


def test_namespace_is_numpy_until_one_column_is_not(convolution, as_jax):
    import jax.numpy as jnp

    table = convolution((1, 4, 4, 8), [3, 3, 8, 16])
    assert table.namespace is np
    assert as_jax(table).namespace is jnp
    assert table.replace(out_channels=jnp.ones(1)).namespace is jnp
