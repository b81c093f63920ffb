import enum

import jax
import numpy as np
import pytest

from greennas_jax.costs import kinds, layer_table
from greennas_jax.costs.layer_table import OPERATION_OF_TYPE, Operation
from greennas_jax.spec import shapes

# The kind of each layer of the network that holds one of every type.
EXPECTED = {
    "data": "free",
    "conv": "convolution",
    "depthwise": "depthwise_convolution",
    "norm": "normalisation",
    "relu": "elementwise",
    "sum": "elementwise",
    "joined": "elementwise",
    "pool": "pooling",
    "lrn": "normalisation",
    "up": "elementwise",
    "back": "convolution",
    "average": "pooling",
    "flat": "free",
    "drop": "elementwise",
    "dense": "inner_product",
    "probability": "elementwise",
    "strange": "elementwise",
}


def named(codes):
    return [kinds.KINDS[int(code)] for code in codes]


def test_kind_of_every_type(every_type):
    table = layer_table.from_network(every_type)
    found = dict(zip(shapes.infer(every_type), named(kinds.kind_codes(table)), strict=True))
    assert found == EXPECTED


@pytest.mark.parametrize(
    ("groups", "kind"),
    [(1, "convolution"), (2, "grouped_convolution"), (4, "depthwise_convolution")],
)
def test_convolutions_by_their_groups(convolution, groups, kind):
    table = convolution((1, 4, 4, 4), [3, 3, 4, 8], groups=groups)
    assert named(kinds.kind_codes(table)) == [kind]


def test_traced_codes_are_the_same(every_type, as_jax):
    table = layer_table.from_network(every_type)
    found = jax.jit(kinds.kind_codes)(as_jax(table))
    np.testing.assert_array_equal(found, kinds.kind_codes(table))
    assert found.dtype == np.int32


def test_every_operation_listed_has_a_code():
    codes = kinds.code_of_each()
    assert codes.shape == (len(Operation),)
    assert codes.dtype == np.int32
    assert set(OPERATION_OF_TYPE.values()) <= set(Operation)
    assert len(set(kinds.KINDS)) == len(kinds.KINDS)


def test_operations_added_later_find_their_kind():
    names = ["ATTENTION", "FEED_FORWARD", "EMBEDDING", "LAYER_NORM", "ACTIVATION", "SEQUENCE_POOL"]
    later = enum.IntEnum("Later", names, start=0)
    assert named(kinds.code_of_each(later)) == [
        *("attention", "feed_forward", "embedding", "normalisation"),
        *("elementwise", "pooling"),
    ]
