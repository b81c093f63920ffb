"""Random networks: any graph of convolutions, poolings, joins and whatever else is read."""

import numpy as np

from greennas_jax.spec import shapes
from greennas_jax.spec.network import Network, SpecError
from tests.spaces import examples

PADDINGS = ("SAME", "SAME", "VALID", None)


def _convolution(rng, parent, channels):
    kernel = (int(rng.integers(1, 6)), int(rng.choice([1, 3, 5])))
    padding = PADDINGS[rng.integers(4)] or [size // 2 for size in kernel]
    width, extra = int(rng.choice([4, 8, 16, 24])), {}
    if rng.random() < 0.2:
        extra["groups"] = 2
    elif rng.random() < 0.2:
        extra["groups"] = width = channels
    if rng.random() < 0.3:
        extra["normalizer_fn"] = "batch_norm"
    stride = int(rng.choice([1, 1, 2]))
    return examples.conv(parent, kernel, width, stride=stride, padding=padding, **extra)


def _join(rng, parent, sizes):
    """Return an Elementwise or a Concatenate of layers that agree with the parent."""
    near = [
        name
        for name, size in sizes.items()
        if len(size) == 3 and size[:2] == sizes[parent][:2] and name != parent
    ]
    count = min(len(near), int(rng.integers(1, 3)))
    if not count:
        return examples.plain("ReLU", parent)
    parents = [parent, *map(str, rng.choice(near, count, replace=False))]
    if rng.random() < 0.5 and len({sizes[name] for name in parents}) == 1:
        return examples.plain("Elementwise", *parents)
    return examples.plain("Concatenate", *parents, dim=int(rng.choice([3, 3, 3, 1])))


def _layer(rng, parent, sizes):
    kind = rng.random()
    if kind < 0.5:
        return _convolution(rng, parent, sizes[parent][2])
    if kind < 0.6:
        window, stride = int(rng.integers(2, 4)), int(rng.integers(1, 3))
        padding = str(rng.choice(["SAME", "VALID"]))
        return examples.pool(parent, window, stride, padding=padding)
    if kind < 0.7:
        return examples.plain(str(rng.choice(["BatchNorm", "ReLU", "LRN", "Mystery"])), parent)
    if kind < 0.75:
        return examples.plain("UpSampling2D", parent, ksize=[1, 2, 2, 1])
    return _join(rng, parent, sizes)


def _ending(rng, last, size):
    """Return pooling or flattening, or neither, and inner products."""
    layers = {}
    height, width, channels = size
    ending = rng.random()
    if ending < 0.3:
        layers["end"] = examples.pool(last, height, 1, kind="AvgPool")
        layers["end"][2]["ksize"] = [1, height, width, 1]
    elif ending < 0.6:
        target = [-1, height * width * channels]
        layers["end"] = examples.plain("Reshape", last, output_shape=target)
    last = "end" if layers else last
    if rng.random() < 0.8:
        layers["fc1"] = examples.inner(last, 16)
        layers["fc2"] = examples.inner("fc1", 16)
        layers["fc3"] = examples.inner("fc2", 10)
        last = "fc3"
    if rng.random() < 0.5:
        layers["softmax"] = examples.plain("Softmax", last)
    return layers


def draw(seed: int) -> Network:
    """Return a random valid network."""
    rng = np.random.default_rng(seed)
    size, channels = int(rng.integers(6, 18)), int(rng.choice([1, 3, 8]))
    layers, sizes, last = {}, {"data": (size, size, channels)}, "data"
    for number in range(int(rng.integers(4, 14))):
        parent = last if rng.random() < 0.7 else str(rng.choice(list(sizes)))
        name = f"l{number}"
        trial = {**layers, name: _layer(rng, parent, sizes)}
        try:
            found = shapes.infer(examples.network("random", size, channels, trial))
        except SpecError:
            continue
        layers, sizes[name], last = trial, found[name].output[1:], name
    layers |= _ending(rng, last, sizes[last])
    return examples.network(f"random {seed}", size, channels, layers)
