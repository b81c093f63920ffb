import json
import time

import numpy as np
import pytest

from greennas_jax.costs import devices, layer_table, paleo, profile
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json

GRAPHS = 2000
CHANNELS = 4


def convolution(parents, filters, stride=1, padding="SAME"):
    return {
        "type": "Convolution",
        "parents": list(parents),
        "filter": filters,
        "strides": [1, stride, stride, 1],
        "padding": padding,
    }


def single(rng, parent):
    """Return a layer that keeps the shape of its parent, [2, 8, 8, 4]."""
    kind = rng.integers(8)
    if kind < 4:
        kernel = int(rng.integers(1, 8))
        odd = kernel % 2 and rng.random() < 0.5
        padding = [kernel // 2, kernel // 2] if odd else "SAME"
        return convolution([parent], [kernel, kernel, -1, CHANNELS], 1, padding)
    if kind == 4:
        kernel = int(rng.integers(1, 4))
        text = {"ksize": [1, kernel, kernel, 1], "strides": [1, 1, 1, 1], "padding": "SAME"}
        return {"type": str(rng.choice(["Pooling", "AvgPool"])), "parents": [parent], **text}
    return {"type": str(rng.choice(["ReLU", "BatchNorm", "LRN", "Dropout"])), "parents": [parent]}


def general(rng, layers, size):
    """Add layers that each read any earlier ones."""
    names = list(layers)
    for index in range(size):
        count = int(rng.integers(1, min(3, len(names)) + 1))
        parents = [names[i] for i in rng.choice(len(names), count, replace=False)]
        name = f"n{index}"
        layers[name] = (
            single(rng, parents[0]) if count == 1 else {"type": "Elementwise", "parents": parents}
        )
        names.append(name)


def series_parallel(rng, layers, size, parent, prefix):
    """Add a nest of chains and branches behind a parent, and return where it ends."""
    while size > 0:
        name = f"{prefix}{len(layers)}"
        if size < 4 or rng.random() < 0.5:
            layers[name] = single(rng, parent)
            parent, size = name, size - 1
            continue
        part = int(rng.integers(1, size - 1))
        ends = [
            series_parallel(rng, layers, share, parent, prefix) for share in (part, size - 1 - part)
        ]
        layers[f"{prefix}{len(layers)}"] = {"type": "Elementwise", "parents": ends}
        parent, size = f"{prefix}{len(layers) - 1}", 0
    return parent


def random_network(rng, nested):
    layers = {"data": {"type": "Input", "parents": [], "tensor": [2, 8, 8, CHANNELS]}}
    size = int(rng.integers(3, 12))
    if nested:
        series_parallel(rng, layers, size, "data", "s")
    else:
        general(rng, layers, size)
    return paleo_json.read(json.dumps({"name": "random", "layers": layers}))


def joined(tables):
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in LayerTable.__dataclass_fields__
    }
    return LayerTable(**columns)


def test_every_layer_of_random_graphs_is_costed_and_costs_add_up():
    rng = np.random.default_rng(0)
    device, settings = devices.load("titan_x"), CostSettings(mode="training")
    networks = [random_network(rng, nested=index % 2 == 0) for index in range(GRAPHS)]
    tables = [layer_table.from_network(network) for network in networks]
    assert [len(table) for table in tables] == [len(n.layers) for n in networks]
    times = paleo.of_mode(paleo.times(joined(tables), device, settings), "training")
    assert np.isfinite(times).all()
    start = 0
    for index, (network, table) in enumerate(zip(networks, tables, strict=True)):
        rows = times[start : start + len(table)]
        start += len(table)
        sources = table.is_any(layer_table.Operation.INPUT)
        assert ((rows > 0) == ~sources).all()
        if index % 20 == 0:
            totals = profile.profile(network, device, settings)["totals"]
            assert totals["time_ms"] == pytest.approx(rows.sum(), rel=1e-12)


@pytest.mark.parametrize("compat", [None, "paleo"])
def test_random_graphs_under_compatibility_and_without(compat):
    rng = np.random.default_rng(1)
    device = devices.load("k80")
    for nested in [True, False] * 25:
        network = random_network(rng, nested)
        found = profile.profile(network, device, CostSettings(compat=compat), explained=True)
        assert len(found["layers"]) == len(network.layers)
        free = {layer.name for layer in network.layers if layer.type == "Dropout"}
        dropped = [
            layer["name"]
            for layer in found["coverage"]["out_of_range_layers"]
            if "leaves this layer out" in layer["reason"]
        ]
        costed = {layer["name"] for layer in found["layers"] if layer["time_ms"] > 0}
        assert not costed & set(dropped)
        assert compat == "paleo" or costed == {layer.name for layer in network.layers[1:]} - free


def chain():
    layers = {"data": {"type": "Input", "parents": [], "tensor": [1, 8, 8, 4]}}
    previous = "data"
    for index in range(5000):
        odd = index % 2
        layers[f"l{index}"] = (
            convolution([previous], [3, 3, 4, 4])
            if odd
            else {"type": "ReLU", "parents": [previous]}
        )
        previous = f"l{index}"
    return layers, 5001


def fan():
    branches = {f"b{index}": convolution([], [3, 3, 4, 4]) for index in range(1000)}
    join = {"type": "Concatenate", "parents": list(branches), "dim": 3}
    block = {
        "type": "Block",
        "parents": ["data"],
        "endpoint": "join",
        "layers": {**branches, "join": join},
    }
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 8, 8, 4]},
        "block": block,
        "last": convolution(["block"], [1, 1, -1, 4]),
    }
    return layers, 1003


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("make", [chain, fan])
def test_large_networks_take_no_time(make, compat):
    layers, count = make()
    text = json.dumps({"name": "large", "layers": layers})
    start = time.process_time()
    network = paleo_json.read(text)
    found = profile.profile(network, devices.load("titan_x"), CostSettings(compat=compat))
    assert time.process_time() - start < 5
    assert len(found["layers"]) == count
    # The whole chain, and the whole fan, are reached by the original's walk as well.
    costed = [layer for layer in found["layers"] if layer["forward_compute_ms"] > 0]
    assert len(costed) == (2500 if make is chain else 1001)
