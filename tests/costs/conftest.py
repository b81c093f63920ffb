import dataclasses
import functools
import json

import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.costs import layer_table, pytrees  # noqa: F401 -- registers the records
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import Layer

# One of every type, two branches, both kinds of normalisation and a view.
EVERY_TYPE = {
    "data": {"type": "Input", "parents": [], "tensor": [2, 8, 8, 4]},
    "conv": {
        "type": "Convolution",
        "parents": ["data"],
        "filter": [3, 3, 4, 8],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        "activation_fn": "relu",
        "normalizer_fn": "batch_norm",
    },
    "depthwise": {
        "type": "Convolution",
        "parents": ["conv"],
        "filter": [3, 3, 8, 8],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        "groups": 8,
        "use_bias": False,
    },
    "norm": {"type": "BatchNorm", "parents": ["depthwise"]},
    "relu": {"type": "ReLU", "parents": ["norm"]},
    "sum": {"type": "Elementwise", "parents": ["conv", "relu"]},
    "joined": {"type": "Concatenate", "parents": ["sum", "conv"], "dim": 3},
    "pool": {
        "type": "Pooling",
        "parents": ["joined"],
        "ksize": [1, 2, 2, 1],
        "strides": [1, 2, 2, 1],
        "padding": "VALID",
    },
    "lrn": {"type": "LRN", "parents": ["pool"]},
    "up": {"type": "UpSampling2D", "parents": ["lrn"], "ksize": [1, 2, 2, 1]},
    "back": {
        "type": "Deconvolution",
        "parents": ["up"],
        "filter": [3, 3, 6, 16],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        "output_shape": [2, 8, 8, 6],
    },
    "average": {
        "type": "AvgPool",
        "parents": ["back"],
        "ksize": [1, 8, 8, 1],
        "strides": [1, 1, 1, 1],
        "padding": "VALID",
    },
    "flat": {"type": "Reshape", "parents": ["average"], "output_shape": [2, 6]},
    "drop": {"type": "Dropout", "parents": ["flat"], "dropout_keep_prob": 0.5},
    "dense": {"type": "InnerProduct", "parents": ["drop"], "num_outputs": 10},
    "probability": {"type": "Softmax", "parents": ["dense"]},
    "strange": {"type": "Strange", "parents": ["dense"]},
}


# One of every type of a transformer's layers, with every attribute that costs something: an encoder
# of vectors, a decoder of token numbers that attends to it, both ways to share a table, two pools.
EVERY_SEQUENCE_TYPE = {
    "data": {"type": "Input", "parents": [], "tensor": [2, 5, 12]},
    "place": {
        "type": "Embedding",
        "parents": ["data"],
        "width": 12,
        "positions": 8,
        "class_token": True,
    },
    "encode": {
        "type": "MultiHeadAttention",
        "parents": ["place"],
        "heads": 4,
        "relative_buckets": 6,
    },
    "memory": {"type": "LayerNorm", "parents": ["encode"]},
    "tokens": {"type": "Input", "parents": [], "tensor": [2, 7]},
    "embed": {
        "type": "Embedding",
        "parents": ["tokens"],
        "vocabulary": 30,
        "width": 16,
        "positions": 9,
        "segments": 2,
    },
    "again": {
        "type": "Embedding",
        "parents": ["tokens"],
        "vocabulary": 30,
        "width": 16,
        "weights_of": "embed",
    },
    "sum": {"type": "Elementwise", "parents": ["embed", "again"]},
    "norm": {"type": "LayerNorm", "parents": ["sum"], "rms": True},
    "attend": {
        "type": "MultiHeadAttention",
        "parents": ["norm"],
        "heads": 4,
        "key_value_heads": 2,
        "causal": True,
        "rotary": True,
    },
    "cross": {
        "type": "MultiHeadAttention",
        "parents": ["attend", "memory"],
        "heads": 2,
        "head_width": 6,
        "use_bias": False,
    },
    "feed": {"type": "FeedForward", "parents": ["cross"], "hidden": 24},
    "gate": {
        "type": "FeedForward",
        "parents": ["feed"],
        "hidden": 20,
        "gated": True,
        "activation_fn": "silu",
    },
    "act": {"type": "Activation", "parents": ["gate"], "activation_fn": "gelu"},
    "head": {
        "type": "InnerProduct",
        "parents": ["act"],
        "num_outputs": 30,
        "per_position": True,
        "weights_of": "embed",
    },
    "probability": {"type": "Softmax", "parents": ["head"]},
    "mean": {"type": "SequencePool", "parents": ["act"], "method": "mean"},
    "first": {"type": "SequencePool", "parents": ["act"], "method": "first"},
}


@pytest.fixture
def network_of():
    """Return a function that reads a network from its layers' entries."""

    def read(layers, name="test"):
        return paleo_json.read(json.dumps({"name": name, "layers": layers}))

    return read


@pytest.fixture
def every_type(network_of):
    return network_of(EVERY_TYPE)


@pytest.fixture
def every_sequence_type(network_of):
    return network_of(EVERY_SEQUENCE_TYPE)


@pytest.fixture
def row():
    """Return a function that makes the table of one layer from its type, inputs and text."""

    def make(kind, *inputs, parents=("x",), compat=None, **attributes):
        layer = Layer(name="layer", type=kind, parents=parents, attributes=attributes)
        output = shapes.layer_output(layer, inputs, compat=compat)
        return layer_table.rows([layer], [shapes.Shapes(inputs, output)], compat=compat)

    return make


@pytest.fixture
def convolution(row):
    """Return a function that makes the table of one convolution."""

    def make(inputs, filters, *, stride=1, padding="SAME", **rest):
        return row(
            "Convolution",
            inputs,
            filter=filters,
            strides=[1, stride, stride, 1],
            padding=padding,
            **rest,
        )

    return make


@pytest.fixture
def joined():
    """Return a function that stacks tables below each other."""

    def join(*tables):
        fields = [field.name for field in dataclasses.fields(layer_table.LayerTable)]
        columns = {n: np.concatenate([getattr(t, n) for t in tables]) for n in fields}
        return layer_table.LayerTable(**columns)

    return join


@pytest.fixture
def as_jax():
    """Return a function that turns every column of a table into a JAX array."""

    def convert(table):
        fields = [field.name for field in dataclasses.fields(layer_table.LayerTable)]
        return layer_table.LayerTable(**{n: jnp.asarray(getattr(table, n)) for n in fields})

    return convert


@pytest.fixture(scope="session")
def paleo_network(shared):
    """Return a function that loads one of the original's networks."""

    @functools.cache
    def load(name):
        return paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")

    return load
