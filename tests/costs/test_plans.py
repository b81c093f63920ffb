import numpy as np
import pytest

from greennas_jax.costs import communication, devices, plans, replica
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.links import Link
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json, parallel
from greennas_jax.spec.network import Layer

WIRE = Link(bandwidth_gbits=8.0, latency_us=1000.0, name="wire")
FAST = Fabric(link=Link(bandwidth_gbits=1e9, latency_us=0.0, name="fast"))
K80 = devices.load("k80")


@pytest.fixture(scope="module")
def alexnet(specs):
    return paleo_json.load(specs / "paleo" / "alex_v2_4gpu.json")


def cost(network, splits, batch=64, **settings):
    return replica.cost(
        parallel.expand(network, splits=splits), K80, CostSettings(**settings), batch
    )


def chain(**parents):
    return [Layer(name=name, type="ReLU", parents=tuple(read)) for name, read in parents.items()]


def test_a_chain_stays_where_it_is():
    layers = chain(a="", b="a", c="b")
    found, places = plans.schedule(layers, np.array([1.0, 2, 3]), dict.fromkeys("abc", 0.5), {}, 3)
    assert (found, set(places.values())) == (6.0, {0})


def test_branches_part_where_that_pays():
    layers = chain(a="", b="a", c="a", d="bc")
    durations = np.array([1.0, 4, 4, 1])
    # b beside a; c elsewhere after fetching a; d waits for both and fetches one.
    found, places = plans.schedule(layers, durations, dict.fromkeys("abcd", 0.5), {}, 2)
    assert places["b"] != places["c"]
    # d at c's place: c is there at 5.5, b is fetched in 0.5.
    assert found == 1 + 0.5 + 4 + 0.5 + 1
    # Too dear to part: 1 + 4 + 4 + 1.
    assert plans.schedule(layers, durations, dict.fromkeys("abcd", 9.0), {}, 2)[0] == 10


def test_pinned_layers_have_no_choice():
    layers = chain(a="", b="a")
    found, places = plans.schedule(layers, np.array([1.0, 1]), {"a": 2.0, "b": 2.0}, {"b": 1}, 2)
    assert (found, places) == (4.0, {"a": 0, "b": 1})


def test_gradients_are_fetched_from_every_other_reader():
    layers = chain(a="", b="a", c="a")
    places = {"a": 0, "b": 1, "c": 2}
    found = plans.backward_time(
        layers, np.array([1.0, 2, 3]), {"a": 0.5, "b": 9, "c": 9}, places, 3
    )
    # b and c side by side, 3; then a fetches twice, 2 x 0.5, and runs, 1.
    assert found == 5.0


def test_nothing_flows_back_into_an_input():
    layers = [Layer(name="data", type="Input", parents=()), *chain(a=["data"])]
    found = plans.backward_time(
        layers, np.array([0.0, 2]), {"data": 9.0, "a": 9}, {"data": 0, "a": 1}, 2
    )
    assert found == 2.0


@pytest.mark.parametrize("plan", plans.PLANS)
def test_one_worker_is_the_device_alone(alexnet, plan):
    found = cost(alexnet, 1)
    step = plans.PLANS[plan](found, Fabric(link=WIRE), 1)
    assert sum(sum(part[1:4]) for part in step.parts) == pytest.approx(found.busy.sum())
    assert step.busy_ms == pytest.approx(found.busy.sum())
    assert step.busy_j == pytest.approx(found.energy.sum())


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_model_parallel_is_never_slower_than_one_worker_without_splits(specs, workers):
    network = paleo_json.load(specs / "resnet20_cifar10.json")
    found = cost(network, workers)
    step = plans.model_parallel(found, Fabric(link=WIRE), workers)
    assert sum(step.parts[0][1:4]) <= found.busy.sum() * (1 + 1e-12)


def test_model_parallel_with_a_perfect_link_halves_the_splits(alexnet):
    alone, halves = cost(alexnet, 1), cost(alexnet, 2)
    step = plans.model_parallel(halves, FAST, 2)
    inside = halves.rows(split=True)
    expected = halves.times.forward.sum() - halves.times.forward[inside].sum() / 2
    assert step.parts[0].forward_ms == pytest.approx(expected, rel=1e-6)
    assert step.parts[0].forward_ms < alone.times.forward.sum()


def test_hybrid_by_hand(alexnet):
    """Two workers, a link so slow that sending decides: every turn takes as long as sending."""
    slow = Fabric(link=Link(bandwidth_gbits=0.008, latency_us=0.0, name="slow"))
    found = cost(alexnet, 2)
    outside, inside = plans.hybrid_parallel(found, slow, 2).parts
    # pool5 is 64 x 5 x 5 x 256 elements of 4 bytes, at a megabyte a second.
    sent = 64 * 5 * 5 * 256 * 4 / 1e6 * 1000
    # Half of fc6's 64 x 4096 outputs is fetched inside, by concat6; half of fc7's outside.
    half = 64 * 2048 * 4 / 1e6 * 1000
    forward = found.times.forward
    rows = found.split == 0
    assert inside.forward_ms == pytest.approx(2 * sent + forward[rows].sum() + half)
    assert outside.forward_ms == pytest.approx(forward[found.split < 0].sum() + half)


def test_hybrid_hides_sending_behind_computing(alexnet):
    found = cost(alexnet, 2)
    inside = plans.hybrid_parallel(found, FAST, 2).parts[1]
    assert inside.forward_ms == pytest.approx(2 * found.times.forward[found.split == 0].sum())
    # Each worker updates its own split once.
    assert inside.update_ms == pytest.approx(found.times.update[found.split == 0].sum())
    assert inside.gradient_bytes == 0


def test_hybrid_counts_bytes(alexnet):
    """Per element sent, four bytes: the slope of the time over the link's slowness."""
    found = cost(alexnet, 2)
    links = [Link(bandwidth_gbits=b, latency_us=0.0, name="l") for b in (0.004, 0.008)]
    parts = [plans.hybrid_parallel(found, Fabric(link=link), 2).parts[1] for link in links]
    half = 64 * 2048 * 4 / 1e6 * 1000
    slope = parts[0].forward_ms - parts[1].forward_ms - half
    assert slope == pytest.approx(2 * found.output_bytes["pool5"] / 1e6 * 1000)


def test_busy_energy_of_a_hybrid_updates_splits_once(alexnet):
    found = cost(alexnet, 2)
    inside = found.rows(split=True)
    time, energy = plans.busy(found, 2, inside)
    assert time == pytest.approx(2 * found.busy.sum() - found.times.update[inside].sum())
    assert energy == pytest.approx(2 * found.energy.sum() - found.update_energy[inside].sum())


def test_splits_must_be_as_many_as_workers(alexnet):
    with pytest.raises(ValueError, match="plan of 4 workers needs 4 splits; the .* has 2"):
        plans.hybrid_parallel(cost(alexnet, 2), FAST, 4)


def test_hybrid_without_splits_is_data_parallel(specs):
    found = cost(paleo_json.load(specs / "lenet5.json"), 4)
    assert plans.hybrid_parallel(found, FAST, 4) == plans.data_parallel(found, FAST, 4)


def test_gradients_of_a_data_plan_are_all_parameters(alexnet):
    found = cost(alexnet, 1)
    part = plans.data_parallel(found, FAST, 8).parts[0]
    # 4 bytes for each of the network's parameters, as the original counts them.
    assert part.gradient_bytes == 4 * 49566504
    assert communication.all_reduce_time("ring", part.gradient_bytes, FAST, 8) > 0
