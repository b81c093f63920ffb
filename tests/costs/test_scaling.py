import json
import math

import pytest

from greennas_jax.costs import communication, devices, links, scaling
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.scaling import Job, ScalingSettings
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError


def job(network, device="k80", link="infiniband", batch=256, costs=None, **settings):
    return Job(
        network=network,
        device=devices.load(device),
        fabric=Fabric(link=links.load(link)),
        costs=CostSettings(**(costs or {})),
        settings=ScalingSettings(**settings),
        batch=batch,
    )


@pytest.fixture(scope="module")
def nin(specs):
    return paleo_json.load(specs / "paleo" / "nin.json")


@pytest.fixture(scope="module")
def alexnet(specs):
    return paleo_json.load(specs / "paleo" / "alex_v2_4gpu.json")


@pytest.fixture(scope="module")
def lenet(specs):
    return paleo_json.load(specs / "lenet5.json")


FIRECAFFE = {"compat": "paleo", "ppp_comp": 0.21, "ppp_comm": 0.56}
ONE_WEIRD_TRICK = {"compat": "paleo", "ppp_comp": 0.46, "ppp_comm": 0.75}


def hybrid(network, **changes):
    asked = {"scaling": "weak", "parallel": "hybrid", "scheme": "tree", "splits": "workers"}
    return job(network, "k20", "pcie2", 128, ONE_WEIRD_TRICK, **(asked | changes))


def test_firecaffe_as_published(nin):
    """Speed-up of Network in Network on 32 K20X: 15.5 (Paleo, ICLR 2017, its FireCaffe study)."""
    found = scaling.study(job(nin, "k20x", costs=FIRECAFFE, scheme="tree"), [1, 32])
    one, many = found["points"]
    assert round(many["speedup"], 1) == 15.5
    # As the original prints them.
    rows = [
        (one, 667.962679845963, 1253.4768662272304, 0.34339114378519603, 0.0, 0.0),
        (
            many,
            21.395568456856093,
            40.21222602484166,
            0.34339114378519603,
            62.001436734693876,
            384.408907755102,
        ),
    ]
    for point, *expected in rows:
        reduced = point["all_reduce_ms"]
        figures = [point["forward_ms"], point["backward_ms"], point["update_ms"]]
        figures += [reduced["tree"], reduced["one_to_all"]]
        assert figures == pytest.approx(expected, rel=1e-9)


def test_one_weird_trick_as_published(alexnet):
    """Speed-ups of AlexNet on 2 and 4 K20: 1.94 and 3.79 (Paleo, ICLR 2017)."""
    found = scaling.study(hybrid(alexnet), [1, 2, 4])
    assert [round(point["speedup"], 2) for point in found["points"]] == [1.0, 1.94, 3.79]
    assert found["alone"]["iteration_ms"] == pytest.approx(413.58985407558356, rel=1e-9)


# (workers, data part, model part), as the original prints them for 2, 4 and 8 GPUs.
PRINTED = [
    (
        2,
        (99.80121172654509, 184.78869181027704, 0.35656062874025596, 8.755594666666667),
        (9.946116573922428, 119.66523490802379, 2.33481777992925),
    ),
    (
        4,
        (99.80121172654509, 184.78869181027704, 0.35656062874025596, 17.511189333333334),
        (10.956088507276663, 120.77982395702391, 2.33481777992925),
    ),
    (
        8,
        (100.85915443487843, 185.84663451861036, 0.35656062874025596, 26.266784),
        (33.7991931812768, 143.8321628623159, 2.33481777992925),
    ),
]


@pytest.mark.parametrize(("workers", "data", "model"), PRINTED)
def test_parts_of_one_weird_trick(alexnet, workers, data, model):
    (point,) = scaling.study(hybrid(alexnet), [workers])["points"]
    outside, inside = point["parts"]
    keys = ("forward_ms", "backward_ms", "update_ms")
    found = [*(outside[key] for key in keys), point["synchronise_ms"]]
    assert found == pytest.approx(data, rel=1e-9)
    assert [inside[key] for key in keys] == pytest.approx(model, rel=1e-9)


def test_studies_of_the_original(shared, paleo_network):
    """The original's study scripts; the networks of 2 and 8 GPUs are that of 4, split anew."""
    cases = json.loads((shared / "paleo" / "scaling" / "cases.json").read_text())["cases"]
    assert len(cases) == 14
    for case in cases:
        name, splits = case["net"], "text"
        if name in ("alex_v2_2gpu", "alex_v2_8gpu"):
            name, splits = "alex_v2_4gpu", "workers"
        costs = {"compat": "paleo"} | {key: case[key] for key in ("ppp_comp", "ppp_comm")}
        is_hybrid = case["parallel"] == "hybrid"
        asked = job(
            paleo_network(name),
            case["device"],
            case["network"],
            case["batch_size"],
            costs,
            parallel="hybrid" if is_hybrid else "data",
            scaling="weak" if is_hybrid else case["scaling"],
            scheme="tree",
            splits=splits,
        )
        counts = [case["hybrid_workers"]] if is_hybrid else [row[0] for row in case["rows"]]
        points = scaling.study(asked, counts)["points"]
        found = hybrid_rows(points[0]) if is_hybrid else data_rows(points)
        for one, other in zip(found, case["rows"], strict=True):
            assert one == pytest.approx(other, rel=1e-9), case["script"]


def data_rows(points):
    """Return the rows that the original prints of a data-parallel study."""
    keys = ("forward_ms", "backward_ms", "update_ms")
    schemes = ("one_to_all", "tree", "butterfly", "butterfly_mixing")
    return [
        [point["workers"], point["batch_size"], 1, *(point[key] for key in keys)]
        + [point["iteration_ms"] - point["synchronise_ms"]]
        + [point["all_reduce_ms"][scheme] for scheme in schemes]
        for point in points
    ]


def hybrid_rows(point):
    """Return the two rows that the original prints of a hybrid study."""
    ends = (point["synchronise_ms"], 0)
    return [
        [point["workers"], point["batch_size"]]
        + [part[key] for key in ("forward_ms", "backward_ms", "update_ms")]
        + [end]
        for part, end in zip(point["parts"], ends, strict=True)
    ]


@pytest.mark.parametrize("mode", ["weak", "strong"])
@pytest.mark.parametrize("parallel", scaling.PARALLELS)
def test_one_worker_costs_no_communication(alexnet, mode, parallel):
    found = scaling.study(job(alexnet, scaling=mode, parallel=parallel), [1])
    (point,) = found["points"]
    assert point["synchronise_ms"] == 0
    assert point["speedup"] == pytest.approx(1)
    assert point["waiting_share"] == pytest.approx(0, abs=1e-12)
    assert point["energy_j"] == pytest.approx(point["busy_j"])
    assert found["fastest_workers"] == found["greenest_workers"] == 1


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("parallel", scaling.PARALLELS)
def test_waiting_costs_energy(alexnet, parallel, compat):
    asked = job(alexnet, costs={"compat": compat}, parallel=parallel, scaling="weak", host_w=100.0)
    for point in scaling.study(asked, [2, 4])["points"]:
        assert point["energy_j"] >= point["busy_j"] > 0
        assert point["waiting_j"] >= 0
        assert point["efficiency"] <= 1
        assert point["power_w"] == pytest.approx(1000 * point["energy_j"] / point["iteration_ms"])


def test_energy_by_hand(lenet):
    """Two workers, each with half the batch and a share of a node."""
    asked = job(lenet, "titan_x", "ethernet", 64, host_w=50.0, scheme="tree", examples=1000)
    (point,) = scaling.study(asked, [2])["points"]
    (half,) = scaling.study(job(lenet, "titan_x", batch=32), [1])["points"]
    # 61,706 parameters of 4 bytes, there and back at 1.25 GB/s, and 20 us for each message.
    sent = 2 * (61706 * 4 / 1.25e9 * 1000 + 0.02)
    assert point["synchronise_ms"] == pytest.approx(sent)
    assert point["iteration_ms"] == pytest.approx(half["iteration_ms"] + sent)
    # 0.5 x 250 W while both wait; two nodes of one worker each draw 50 W all the time.
    waiting = 2 * 125 * sent / 1000
    host = 2 * 50 * point["iteration_ms"] / 1000
    assert point["waiting_j"] == pytest.approx(waiting)
    assert point["host_j"] == pytest.approx(host)
    assert point["energy_j"] == pytest.approx(2 * half["energy_j"] + waiting + host)
    # 1000 examples in batches of 64 are 16 steps.
    assert point["epoch_iterations"] == 16
    assert point["epoch_s"] == pytest.approx(16 * point["iteration_ms"] / 1000)
    assert point["epoch_j"] == pytest.approx(16 * point["energy_j"])


def test_a_shared_node_makes_more_workers_greener(lenet):
    """The rest of a node is paid by time: its workers share it, up to the node's end."""
    node = Fabric(link=links.load("infiniband"), workers_per_node=4)
    asked = job(lenet, batch=4096, host_w=400.0)
    asked = Job(**{**vars(asked), "fabric": node})
    found = scaling.study(asked, [1, 2, 4, 8, 16])
    assert found["greenest_workers"] == 4
    alone = scaling.study(job(lenet, batch=4096), [1, 2, 4])
    assert alone["greenest_workers"] == 1


def test_strong_and_weak_scaling(lenet):
    strong, weak = (
        scaling.study(job(lenet, batch=100, scaling=mode), [1, 8])["points"]
        for mode in ("strong", "weak")
    )
    assert [point["batch_size"] for point in strong] == [100, 100]
    # 100 / 8, rounded up.
    assert strong[1]["worker_batch_size"] == 13
    assert [point["batch_size"] for point in weak] == [100, 800]
    assert weak[1]["forward_ms"] == weak[0]["forward_ms"]
    assert weak[1]["efficiency"] > strong[1]["efficiency"]


def test_unknown_power_is_none_with_a_reason(lenet):
    asked = job(lenet)
    asked = Job(**{**vars(asked), "device": asked.device.replace(power_known=False)})
    found = scaling.study(asked, [1, 2])
    assert "states neither 'tdp_w' nor 'static_w'" in found["reasons"]["power"]
    assert found["greenest_workers"] is None
    assert found["points"][1]["energy_j"] is None
    assert found["points"][1]["energy_per_example_j"] is None
    json.dumps(found, allow_nan=False)


def test_a_study_is_json(alexnet):
    found = scaling.study(hybrid(alexnet), [1, 2])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["schema"] == "greennas.scaling/1"
    assert found["points"][0]["all_reduce_ms"].keys() == set(communication.names())
    assert math.isfinite(found["points"][1]["energy_j"])


def test_schemes_that_do_not_suit_are_none_unless_asked_for(lenet):
    node = Fabric(link=links.load("infiniband"), workers_per_node=4)
    asked = Job(**{**vars(job(lenet)), "fabric": node})
    (point,) = scaling.study(asked, [6])["points"]
    assert point["all_reduce_ms"]["hierarchical"] is None
    asked = Job(**{**vars(job(lenet, scheme="hierarchical")), "fabric": node})
    with pytest.raises(ValueError, match="6 workers do not fill nodes of 4"):
        scaling.study(asked, [6])


def test_a_hybrid_without_splits_says_so(lenet):
    found = scaling.study(job(lenet, parallel="hybrid"), [2])
    assert "holds no ModelParallel" in found["reasons"]["splits"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scaling": "both"}, "scaling is 'both'; allowed: weak, strong"),
        ({"parallel": "pipe"}, "parallel is 'pipe'; allowed: data, model, hybrid"),
        ({"scheme": "star"}, "all-reduce scheme 'star' is not known"),
        ({"host_w": -1.0}, "host_w is -1.0"),
        ({"host_w": math.nan}, "host_w is nan"),
        ({"examples": 0}, "examples is 0"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ScalingSettings(**changes)


def test_bad_numbers_are_refused(lenet, alexnet):
    for workers, found in ([[], "missing"], [[0], "0"], [[2, 2**21], "2097152"]):
        with pytest.raises(ValueError, match=f"the number of workers is {found}"):
            scaling.study(job(lenet), workers)
    with pytest.raises(ValueError, match="batch_size is 0"):
        job(lenet, batch=0)
    with pytest.raises(SpecError, match="with 3 workers: ModelParallel 'parallel_fc67': 3 splits"):
        scaling.study(job(alexnet, parallel="model"), [3])
