import dataclasses

import numpy as np
import pytest

from greennas_jax.costs import layer_table, registered_rows, sequence_rows
from greennas_jax.costs.layer_table import Operation

LAST = sequence_rows.Columns._fields


def told(table):
    """Return the entries of one row that are not zero."""
    found = {name: float(getattr(table, name)[0]) for name in LAST}
    return {name: value for name, value in found.items() if value}


def sizes(table):
    names = ("in_height", "in_width", "in_channels", "out_height", "out_width", "out_channels")
    return tuple(float(getattr(table, name)[0]) for name in names)


def test_they_are_the_last_columns():
    fields = [field.name for field in dataclasses.fields(layer_table.LayerTable)]
    last = LAST + registered_rows.Columns._fields
    assert tuple(fields[-len(last) :]) == last


def test_attention(row):
    table = row(
        "MultiHeadAttention", (2, 6, 12), heads=4, key_value_heads=2, causal=True, rotary=False
    )
    assert table.operation[0] == Operation.ATTENTION
    assert sizes(table) == (6, 1, 12, 6, 1, 12)
    assert told(table) == {"heads": 4, "key_value_heads": 2, "head_width": 3, "causal": 1}
    assert (table.keys[0], table.key_channels[0], table.bias[0]) == (6, 12, 1)
    assert table.replace(cached=np.array([4.0])).keys[0] == 10


def test_attention_to_another_sequence(row):
    table = row(
        "MultiHeadAttention", (2, 6, 12), (2, 5, 10), parents=("x", "m"), heads=2, head_width=7
    )
    expected = {"heads": 2, "key_value_heads": 2, "head_width": 7}
    assert told(table) == {**expected, "memory_length": 5, "memory_channels": 10}
    assert (table.keys[0], table.key_channels[0]) == (5, 10)


@pytest.mark.parametrize(("parents", "source"), [(("data", "data2"), 1), (("x", "data"), 0)])
def test_a_gradient_flows_where_one_parent_is_no_source(parents, source):
    from greennas_jax.spec import shapes
    from greennas_jax.spec.network import Layer

    layer = Layer(name="a", type="MultiHeadAttention", parents=parents, attributes={"heads": 1})
    shape = shapes.Shapes(((1, 2, 4), (1, 3, 4)), (1, 2, 4))
    table = layer_table.rows([layer], [shape], sources=("data", "data2"))
    assert table.reads_input[0] == source


def test_feed_forward(row):
    table = row("FeedForward", (2, 6, 12), hidden=48, gated=True, use_bias=False)
    assert told(table) == {"hidden": 48, "gated": 1}
    assert (table.bias[0], table.activation[0]) == (0, 1)


def test_embedding(row):
    table = row("Embedding", (2, 6), vocabulary=30, width=12, positions=9, segments=2)
    assert sizes(table) == (6, 1, 1, 6, 1, 12)
    assert told(table) == {"vocabulary": 30, "positions": 9, "segments": 2}
    vectors = row("Embedding", (2, 6, 12), width=12, class_token=True)
    assert sizes(vectors) == (6, 1, 12, 7, 1, 12)
    assert told(row("Embedding", (2, 6), vocabulary=30, width=12, weights_of="other")) == {
        "vocabulary": 30,
        "shared": 1,
    }


def test_inner_product_of_each_position(row):
    table = row("InnerProduct", (2, 6, 12), num_outputs=5, per_position=True, weights_of="table")
    assert sizes(table) == (6, 1, 12, 6, 1, 5)
    assert told(table) == {"shared": 1}


def test_window_of_a_pool(row):
    assert row("SequencePool", (2, 6, 12), method="mean").kernel_height[0] == 6
    assert row("SequencePool", (2, 6, 12), method="first").kernel_height[0] == 1


def test_other_layers_have_none(every_type):
    table = layer_table.from_network(every_type)
    for name in LAST:
        np.testing.assert_array_equal(getattr(table, name), 0)


def test_columns_that_are_left_out_are_zero(row):
    table = row("ReLU", (2, 6))
    given = {
        field.name: getattr(table, field.name)
        for field in dataclasses.fields(table)
        if field.name not in LAST
    }
    made = layer_table.LayerTable(**given)
    for name in LAST:
        np.testing.assert_array_equal(getattr(made, name), np.zeros(1))


def test_rows_may_hold_what_nobody_can_see(row, as_jax):
    table = row("ReLU", (2, 6))
    assert not table.may_hold(Operation.ATTENTION)
    assert table.may_hold(Operation.ATTENTION, Operation.RELU)
    assert as_jax(table).may_hold(Operation.ATTENTION)
