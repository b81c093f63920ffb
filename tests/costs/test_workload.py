import pytest

from greennas_jax.costs import devices, workload
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.workload import Amount

TITAN = devices.load("titan_x")
COSTS = CostSettings(mode="training")
DENSE = {
    "data": {"type": "Input", "parents": [], "tensor": [8, 10]},
    "dense": {"type": "InnerProduct", "parents": ["data"], "num_outputs": 20},
}


def test_work_is_that_of_a_step_for_each_batch(network_of):
    network = network_of(DENSE)
    found = workload.of_network(network, TITAN, COSTS, Amount(examples=100, epochs=3))
    step = found.step
    assert step is not None
    assert found.batch_size == 8
    assert found.examples.value == 300
    assert found.steps == 300 / 8
    assert found.flops.value == pytest.approx(step["flops"] * 300 / 8)
    assert found.bytes_per_flop.value == pytest.approx(step["bytes"] / step["flops"])
    assert found.parameters.value == 10 * 20 + 20
    assert found.tokens.value is None


def test_the_update_is_shared_by_a_larger_batch(network_of):
    network = network_of(DENSE)
    small, large = (
        workload.of_network(network, TITAN, COSTS, Amount(examples=100), batch).flops.known
        for batch in (1, 64)
    )
    assert large < small


def test_published_work_is_as_stated():
    found = workload.published(1e20, Amount(tokens=1e9), 5e8)
    assert (found.flops.value, found.flops.provenance) == (1e20, "stated")
    assert (found.tokens.value, found.parameters.value) == (1e9, 5e8)
    assert found.bytes_per_flop.value is None
    assert found.network is None


def _transformer(**inputs):
    """Return an embedding, an attention and a feed-forward layer for each input of tokens."""
    layers = {}
    for name, length in inputs.items():
        layers |= {
            name: {"type": "Input", "parents": [], "tensor": [2, length]},
            f"{name}_table": {"type": "Embedding", "parents": [name], "vocabulary": 50, "width": 8},
            f"{name}_attention": {
                "type": "MultiHeadAttention",
                "parents": [f"{name}_table"],
                "heads": 2,
            },
            f"{name}_hidden": {
                "type": "FeedForward",
                "parents": [f"{name}_attention"],
                "hidden": 32,
            },
        }
    return layers


def test_tokens_are_those_of_every_input(network_of):
    network = network_of(_transformer(source=12, target=5))
    found = workload.of_network(network, TITAN, COSTS, Amount(tokens=1700))
    assert found.examples.value == 100
    assert (found.tokens.value, found.tokens.provenance) == (1700, "stated")
    by_examples = workload.of_network(network, TITAN, COSTS, Amount(examples=50, epochs=2))
    assert by_examples.tokens.value == 1700
    assert by_examples.flops.value == pytest.approx(found.flops.value)


def test_two_embeddings_of_one_input_read_its_tokens_once(network_of):
    layers = _transformer(source=12)
    layers["again"] = {"type": "Embedding", "parents": ["source"], "vocabulary": 3, "width": 8}
    found = workload.of_network(network_of(layers), TITAN, COSTS, Amount(examples=10))
    assert found.tokens.value == 120


def test_tokens_need_an_embedding(network_of):
    with pytest.raises(ValueError, match="holds no Embedding"):
        workload.of_network(network_of(DENSE), TITAN, COSTS, Amount(tokens=1e6))


def test_data_are_needed(network_of):
    with pytest.raises(ValueError, match="neither tokens nor examples"):
        workload.of_network(network_of(DENSE), TITAN, COSTS, Amount())


def test_a_network_without_operations_is_refused(network_of):
    idle = network_of({"data": {"type": "Input", "parents": [], "tensor": [8, 10]}})
    with pytest.raises(ValueError, match="does no operations"):
        workload.of_network(idle, TITAN, COSTS, Amount(examples=10))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tokens": 1.0, "examples": 1.0}, "both tokens and examples"),
        ({"tokens": 1.0, "epochs": 2.0}, "epochs go with examples"),
        ({"tokens": -5.0}, "tokens is -5; allowed: numbers above 0"),
        ({"examples": 0.0}, "examples is 0"),
        ({"examples": 1.0, "epochs": float("inf")}, "epochs is inf"),
    ],
)
def test_refused_amounts(given, words):
    with pytest.raises(ValueError, match=words):
        Amount(**given)


def test_refused_operations():
    with pytest.raises(ValueError, match="flops is -1"):
        workload.published(-1, Amount())
    with pytest.raises(ValueError, match="parameters is 0"):
        workload.published(1e20, Amount(), 0)
