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
