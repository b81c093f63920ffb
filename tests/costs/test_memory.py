import pytest

from greennas_jax.costs import layer_table, memory
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import shapes


def peak(network, **settings):
    by_name = network.by_name()
    layers = [by_name[name] for name in shapes.infer(network)]
    return memory.peak_bytes(layers, layer_table.from_network(network), CostSettings(**settings))


def dense(parent, size):
    return {"type": "InnerProduct", "parents": [parent], "num_outputs": size, "use_bias": False}


def test_a_chain_holds_two_neighbours(network_of):
    network = network_of(
        {
            "data": {"type": "Input", "parents": [], "tensor": [1, 10]},
            "a": dense("data", 100),
            "b": dense("a", 50),
            "c": dense("b", 1),
        }
    )
    weights = 10 * 100 + 100 * 50 + 50
    # While b runs, a's 100 and b's 50 values live; data is gone.
    assert peak(network) == 4 * (weights + 150)
    # Training keeps everything, and gradient and momentum of each weight.
    assert peak(network, mode="training") == 4 * (3 * weights + 10 + 100 + 50 + 1)


def test_a_shortcut_is_held_until_it_is_read(network_of):
    network = network_of(
        {
            "data": {"type": "Input", "parents": [], "tensor": [1, 10]},
            "a": {"type": "ReLU", "parents": ["data"]},
            "b": dense("a", 7),
            "c": dense("b", 10),
            "sum": {"type": "Elementwise", "parents": ["a", "c"]},
        }
    )
    # At sum: a, c and sum, 30 values; at c: a, b and c, 27.
    assert peak(network) == 4 * (10 * 7 + 7 * 10 + 30)


def test_a_view_keeps_its_source_alive(network_of):
    layers = {
        "data": {"type": "Input", "parents": [], "tensor": [1, 10]},
        "flat": {"type": "Reshape", "parents": ["data"], "output_shape": [1, 10]},
        "drop": {"type": "Dropout", "parents": ["flat"]},
        "b": dense("drop", 4),
    }
    # Ten values under three names, and four.
    assert peak(network_of(layers)) == 4 * (40 + 14)


def test_what_nobody_reads_is_kept(network_of):
    network = network_of(
        {
            "data": {"type": "Input", "parents": [], "tensor": [1, 10]},
            "first": dense("data", 20),
            "second": dense("data", 30),
        }
    )
    # data, first and second.
    assert peak(network) == 4 * (10 * 20 + 10 * 30 + 60)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_at_most_everything_at_least_the_weights(every_type, mode):
    found = peak(every_type, mode=mode)
    table = layer_table.from_network(every_type)
    everything = 4 * table.output_elements.sum()
    settings = CostSettings(mode=mode)
    from greennas_jax.costs import counts

    weights = counts.weight_bytes(table, settings).sum()
    assert weights < found <= weights + everything


SEQUENCE = {
    "data": {"type": "Input", "parents": [], "tensor": [1, 6, 8]},
    "attend": {
        "type": "MultiHeadAttention",
        "parents": ["data"],
        "heads": 2,
        "causal": True,
        "use_bias": False,
    },
    "feed": {"type": "FeedForward", "parents": ["attend"], "hidden": 10, "use_bias": False},
}
WEIGHTS = 4 * 64 + 2 * 80


def test_what_is_alive_within_a_layer(network_of):
    # Beside its input and output of 48: queries, keys and values of 48 and 2*6*6 scores; the
    # feed-forward layer's 60 hidden values are less.
    assert peak(network_of(SEQUENCE)) == 4 * (WEIGHTS + 2 * 48 + 3 * 48 + 72)
    wide = SEQUENCE | {"feed": SEQUENCE["feed"] | {"hidden": 100}}
    assert peak(network_of(wide)) == 4 * (4 * 64 + 2 * 800 + 2 * 48 + 600)
    # Training keeps queries, keys, values, sum and scores, and hidden values twice.
    kept = 3 * 48 + (4 * 48 + 72) + 2 * 60
    assert peak(network_of(SEQUENCE), mode="training") == 4 * (3 * WEIGHTS + kept)


def test_keys_and_values_stay_in_the_cache(network_of):
    # They are counted once, not again within the layer.
    assert peak(network_of(SEQUENCE), mode="prefill") == 4 * (WEIGHTS + 96 + 2 * 48 + 48 + 72)


def test_layers_that_do_not_run_hold_their_weights(network_of):
    network = network_of(SEQUENCE)
    layers = [network.by_name()[name] for name in shapes.infer(network)]
    held = layer_table.from_network(network)
    idle = held.replace(batch=0 * held.batch, operation=0 * held.operation)
    assert memory.peak_bytes(layers, idle, CostSettings(), held) == 4 * WEIGHTS
