import dataclasses

import numpy as np
import pytest

from greennas_jax.costs import communication, devices, links, sites, training_run, workload
from greennas_jax.costs.device_power import Given
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.training_run import TrainingRun
from greennas_jax.costs.workload import Amount
from greennas_jax.spec import paleo_json
from tests.costs import published_runs
from tests.costs.published_runs import RUNS

SITE = sites.site(pue=1.2, intensity=400, price=0.1)
DENSE = {
    "data": {"type": "Input", "parents": [], "tensor": [32, 1000]},
    "dense": {"type": "InnerProduct", "parents": ["data"], "num_outputs": 1000, "use_bias": False},
}


def value(result, name, of="figures"):
    return result[of][name]["value"]


def run_of(published, **changes):
    settings = {"device": published_runs.device_of(published), "devices": published.devices}
    settings["utilisation"] = published.utilisation
    return TrainingRun(**(settings | changes))


def report_of(published, **given):
    work = workload.published(published.flops, Amount())
    site = sites.site(datacentre=published.site)
    return training_run.report(work, run_of(published, given=Given(**given)), site)


@pytest.mark.parametrize("name", RUNS)
def test_energy_of_published_runs(name):
    """Within 20 percent of the measured energy from FLOPs, device and utilisation alone."""
    found, published = report_of(RUNS[name]), RUNS[name]
    np.testing.assert_allclose(value(found, "energy"), published.megawatt_hours, rtol=0.09)
    np.testing.assert_allclose(value(found, "carbon"), published.tonnes, rtol=0.09)
    np.testing.assert_allclose(value(found, "hours") / 24, published.days, rtol=0.01)
    assert found["figures"]["energy"]["provenance"] == "predicted"


@pytest.mark.parametrize("name", RUNS)
def test_energy_of_published_runs_at_the_measured_watts(name):
    found, published = report_of(RUNS[name], measured_w=RUNS[name].watts), RUNS[name]
    np.testing.assert_allclose(value(found, "energy"), published.megawatt_hours, rtol=0.005)
    np.testing.assert_allclose(value(found, "carbon"), published.tonnes, rtol=0.005)
    assert found["figures"]["busy_power"]["provenance"] == "measured"


def of_spec(specs, name, amount, **given):
    """Return the footprint of a published run from its network and its data."""
    published = RUNS[name]
    device = published_runs.device_of(published)
    costs = CostSettings(mode="training", dtype=published.dtype)
    network = paleo_json.load(specs / f"{published_runs.SPECS[name]}.json")
    work = workload.of_network(network, device, costs, amount, batch_size=16)
    site = sites.site(datacentre=published.site)
    return training_run.report(work, run_of(published, given=Given(**given)), site)


@pytest.mark.parametrize("name", published_runs.SPECS)
def test_energy_of_published_runs_from_their_networks(specs, name):
    """Within 20 percent from the data, the device and the utilisation alone, 3 as measured."""
    published = RUNS[name]
    amount = Amount(examples=published_runs.EXAMPLES[name])
    found = of_spec(specs, name, amount)
    np.testing.assert_allclose(value(found, "flops"), published.flops, rtol=0.03)
    np.testing.assert_allclose(value(found, "energy"), published.megawatt_hours, rtol=0.2)
    np.testing.assert_allclose(value(found, "carbon"), published.tonnes, rtol=0.2)
    measured = of_spec(specs, name, amount, measured_w=published.watts)
    np.testing.assert_allclose(value(measured, "energy"), published.megawatt_hours, rtol=0.03)
    np.testing.assert_allclose(value(measured, "carbon"), published.tonnes, rtol=0.03)


@pytest.mark.parametrize(("name", "rule"), [("gpt3", 6.0), ("t5", 3.0)])
def test_operations_for_each_parameter_and_token(specs, name, rule):
    """6 N D of a decoder; of an encoder with a decoder a token passes through half of them."""
    found = of_spec(specs, name, Amount(examples=published_runs.EXAMPLES[name]))["checks"]
    each = found["flops_per_parameter_and_token"]["value"]
    assert rule < each < 1.1 * rule


@pytest.fixture
def dense(network_of):
    return network_of(DENSE, name="dense")


@pytest.fixture
def gpu():
    return devices.read(published_runs.PLAIN)


@pytest.fixture
def work(dense, gpu):
    costs = CostSettings(mode="training")
    return workload.of_network(dense, gpu, costs, Amount(examples=64e6, epochs=10))


def test_a_network_at_a_utilisation_by_hand(work, gpu):
    """Two products of 2e6 FLOP an example, and 4 FLOP for each of 1e6 weights every 32 examples.

    The gradient of the data is not made, for nothing trains in front of the layer.
    """
    run = TrainingRun(device=gpu, devices=4, utilisation=0.5, idle_share=0.2)
    found = training_run.report(work, run, SITE)
    flops = 64e7 * (4e6 + 4e6 / 32)
    np.testing.assert_allclose(value(found, "flops"), flops, rtol=1e-9)
    seconds = flops / (4 * 0.5 * 15.7e12)
    np.testing.assert_allclose(value(found, "computing_hours"), seconds / 3600)
    np.testing.assert_allclose(value(found, "hours"), seconds / 3600 / 0.8)
    # 195 W and traffic while computing, 40 W idle, a machine of 137.5 W all the time, PUE 1.2.
    watts = value(found, "busy_power")
    assert 195 < watts <= 300
    joules = 4 * (seconds * watts + seconds / 4 * 40 + seconds / 0.8 * 137.5)
    np.testing.assert_allclose(value(found, "energy"), 1.2 * joules / 3.6e9)
    np.testing.assert_allclose(value(found, "carbon"), 1.2 * joules / 3.6e9 * 0.4)
    np.testing.assert_allclose(value(found, "cost"), 1.2 * joules / 3.6e6 * 0.1)


def test_shares_sum_to_one(work, gpu):
    fabric = communication.Fabric(link=links.load("infiniband"))
    run = TrainingRun(device=gpu, devices=4, fabric=fabric, idle_share=0.1)
    shares = training_run.report(work, run, SITE)["shares"]
    assert set(shares) == {"computing", "communication", "idle", "host", "overhead"}
    assert all(share > 0 for share in shares.values())
    np.testing.assert_allclose(sum(shares.values()), 1)
    np.testing.assert_allclose(shares["overhead"], 0.2 / 1.2)


def test_one_device_sends_nothing_and_several_without_a_network_do_not_say(work, gpu):
    alone = training_run.report(work, TrainingRun(device=gpu, utilisation=0.5), SITE)
    assert (value(alone, "communication_hours"), alone["shares"]["communication"]) == (0, 0)
    several = training_run.report(work, TrainingRun(device=gpu, devices=2, utilisation=0.5), SITE)
    assert several["shares"]["communication"] is None
    assert (
        "the utilisation is that of the whole run"
        in (several["figures"]["communication_hours"]["reason"])
    )


def test_communication_by_hand(work, gpu):
    """A ring of 4 over 10 Gbit/s, 1e6 weights: 6 x (latency + 1e6 / 1.25e9 s), 5e6 steps."""
    link = links.load("ethernet").replace(bandwidth_gbits=10.0, latency_us=50.0)
    run = TrainingRun(
        device=gpu, devices=4, utilisation=0.5, fabric=communication.Fabric(link=link)
    )
    found = training_run.report(work, run, SITE)
    hours = 64e7 / 32 / 4 * 6 * (50e-6 + 1e6 / 1.25e9) / 3600
    np.testing.assert_allclose(value(found, "communication_hours"), hours)
    # A device that waits draws its static power.
    np.testing.assert_allclose(
        value(found, "communication", "energy_parts"), 4 * hours * 195 / 1000
    )


def test_without_a_utilisation_the_layers_predict_it(work, gpu):
    found = training_run.report(work, TrainingRun(device=gpu), SITE)
    seconds = work.step["time_ms"] / 1000 * 64e7 / 32
    np.testing.assert_allclose(value(found, "hours"), seconds / 3600)
    joules = work.step["energy_j"] * 64e7 / 32
    np.testing.assert_allclose(value(found, "computing", "energy_parts"), joules / 3.6e6)
    assert found["figures"]["utilisation"]["provenance"] == "predicted"


def test_green_ai_counts_every_experiment(work, gpu):
    one, five = (
        training_run.report(
            work, TrainingRun(device=gpu, utilisation=0.5, experiments=count), SITE
        )["green_ai"]
        for count in (1, 5)
    )
    for key in ("flops", "energy", "carbon"):
        np.testing.assert_allclose(five[key]["value"], 5 * one[key]["value"])
    # E x D is the work of one run, E that of one example.
    np.testing.assert_allclose(one["flops"]["value"], work.flops.value)
    np.testing.assert_allclose(one["flops_of_one"]["value"] * 64e7, work.flops.value)


def test_a_published_run_of_tokens_is_checked_against_its_parameters():
    """3.14e23 / (175e9 x 300e9) = 5.98."""
    work = workload.published(3.14e23, Amount(tokens=300e9), 175e9)
    found = training_run.report(work, run_of(published_runs.GPT3), SITE)
    np.testing.assert_allclose(
        found["checks"]["flops_per_parameter_and_token"]["value"], 5.98, atol=0.01
    )
    assert found["green_ai"]["of_one"] == "token"


def test_every_figure_says_where_it_comes_from(work, gpu):
    found = training_run.report(work, TrainingRun(device=gpu, utilisation=0.5), SITE)
    for name, figure in {**found["figures"], **found["energy_parts"], **found["checks"]}.items():
        if figure["value"] is None:
            assert figure["reason"], name
        else:
            assert figure["provenance"] in ("predicted", "measured", "assumed", "stated"), name
            assert figure["source"], name
    assert any("embodied" in what for what in found["left_out"])


def test_a_device_of_unknown_power_still_has_hours(work, gpu):
    dark = devices.read(published_runs.device_text("dark"))
    found = training_run.report(work, TrainingRun(device=dark, utilisation=0.5), SITE)
    assert value(found, "hours") > 0
    for name in ("energy", "carbon", "cost", "busy_power"):
        assert value(found, name) is None
        assert "states neither" in found["figures"][name]["reason"]
    assert set(found["shares"].values()) == {None}
    assert any("no machine is known" in what for what in found["left_out"])


def test_fitted_power_of_layers_holds_at_any_utilisation(work, gpu):
    fitted = dataclasses.replace(work, fitted=True)
    found = training_run.report(fitted, TrainingRun(device=gpu, utilisation=0.3), SITE)
    assert work.step is not None
    watts = 1000 * work.step["energy_j"] / work.step["time_ms"]
    np.testing.assert_allclose(value(found, "busy_power"), watts)
    assert work.model in found["figures"]["busy_power"]["source"]


def test_waiting_at_an_unknown_power_leaves_the_energy_unknown(work):
    dark = devices.read(published_runs.device_text("dark"))
    fabric = communication.Fabric(link=links.load("infiniband"))
    run = TrainingRun(device=dark, devices=2, fabric=fabric)
    found = training_run.report(dataclasses.replace(work, fitted=True), run, SITE)
    assert value(found, "busy_power") > 0
    assert value(found, "computing", "energy_parts") > 0
    assert value(found, "energy") is None
    assert value(found, "communication", "energy_parts") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"utilisation": 0.0}, "utilisation is 0; allowed: above 0 and at most 1"),
        ({"utilisation": 1.2}, "utilisation is 1.2"),
        ({"utilisation": float("nan")}, "utilisation is nan"),
        ({"devices": 0}, "devices is 0"),
        ({"experiments": 0}, "experiments is 0"),
        ({"idle_share": 1.0}, "idle_share is 1; allowed: from 0, below 1"),
        ({"scheme": "gossip"}, "'gossip' is not known"),
    ],
)
def test_refused(gpu, changes, words):
    with pytest.raises(ValueError, match=words):
        TrainingRun(device=gpu, **changes)


def test_what_cannot_be_reckoned_is_refused(work, gpu):
    published = workload.published(1e20, Amount())
    with pytest.raises(ValueError, match="utilisation is not given"):
        training_run.report(published, TrainingRun(device=gpu), SITE)
    fabric = communication.Fabric(link=links.load("infiniband"))
    sending = TrainingRun(device=gpu, devices=2, utilisation=0.5, fabric=fabric)
    with pytest.raises(ValueError, match="a spec is needed"):
        training_run.report(published, sending, SITE)
    unrested = TrainingRun(device=dataclasses.replace(gpu, idle_w=None), idle_share=0.1)
    with pytest.raises(ValueError, match="states no 'idle_w'"):
        training_run.report(work, unrested, SITE)
