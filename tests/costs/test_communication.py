import json
import math

import pytest

from greennas_jax.costs import communication, links
from greennas_jax.costs.communication import Fabric
from greennas_jax.costs.links import Link

# 1 GB/s and 1 ms; 4 GB/s and 0.1 ms.
WIRE = Link(bandwidth_gbits=8.0, latency_us=1000.0, name="wire")
SHORT = Link(bandwidth_gbits=32.0, latency_us=100.0, name="short")
NO_LATENCY = Fabric(link=WIRE.replace(latency_us=0.0))
MEGABYTES_8 = 8e6

# Times in ms that the original prints by link, share of the bandwidth, bytes and workers;
# 30,380,704 bytes are the parameters of Network in Network, 201,215,648 those of AlexNet v2.
PRINTED = [
    ("infiniband", 0.56, 30380704, 1, 0.0, 0.0, 0.0, 6.2001436734693876),
    ("infiniband", 0.56, 30380704, 32, 384.408907755102, 62.001436734693876, 31.000718367346938, 0),
    (
        "infiniband",
        0.56,
        30380704,
        128,
        1574.8364930612242,
        86.80201142857143,
        43.401005714285716,
        0,
    ),
    ("ethernet20", 1.0, 201215648, 2, 160.97251839999998, 160.97251839999998, 80.48625919999999, 0),
    ("ethernet20", 1.0, 201215648, 8, 1126.8076288, 482.9175551999999, 241.45877759999996, 0),
]


@pytest.mark.parametrize(
    ("link", "share", "size", "workers", "star", "tree", "fly", "mix"), PRINTED
)
def test_schemes_of_the_original(link, share, size, workers, star, tree, fly, mix):
    fabric = Fabric(link=links.load(link), share=share, compat="paleo")
    found = [
        communication.all_reduce_time(name, size, fabric, workers)
        for name in ("OneToAll", "TreeAllReduce", "ButterflyAllReduce")
    ]
    assert found == pytest.approx([star, tree, fly], rel=1e-13)
    if mix:
        mixing = communication.all_reduce_time("ButterflyMixing", size, fabric, workers)
        assert mixing == pytest.approx(mix, rel=1e-13)


def test_every_figure_of_the_original(shared):
    figures = json.loads((shared / "paleo" / "scaling" / "comm.json").read_text())["all_reduce"]
    known = {name: links.load(name) for name in {case["network"] for case in figures}}
    for case in figures:
        link = known[case["network"]]
        fabric = Fabric(link=link, share=case["ppp_comm"], compat="paleo")
        assert communication.tree_height(case["nodes"], "paleo") == case["tree_height"]
        for name, expected in case["ms"].items():
            found = communication.all_reduce_time(name, case["bytes"], fabric, case["nodes"])
            assert math.isclose(found, expected, rel_tol=1e-12), case


@pytest.mark.parametrize("name", communication.names())
def test_one_worker_communicates_nothing(name):
    assert communication.all_reduce_time(name, 1e9, Fabric(link=WIRE), 1) == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # A message of 8 MB takes 1 + 8 ms, one of 2 MB 1 + 2, of 4 MB 1 + 4; n = 4.
        ("one_to_all", 2 * 3 * 9),
        ("tree", 2 * 2 * 9),
        ("butterfly", 2 * 9),
        ("butterfly_mixing", 9),
        ("ring", 2 * 3 * 3),
        ("halving_doubling", 2 * (5 + 3)),
        ("hierarchical", 2 * 3 * 3),
    ],
)
def test_schemes_by_hand(name, expected):
    found = communication.all_reduce_time(name, MEGABYTES_8, Fabric(link=WIRE), 4)
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_share_of_the_bandwidth_is_no_share_of_the_latency():
    found = communication.transfer_time(MEGABYTES_8, WIRE, Fabric(link=WIRE, share=0.5))
    assert found == pytest.approx(1 + 16)


@pytest.mark.parametrize("workers", [2, 3, 8, 100])
def test_a_ring_moves_two_shares_of_the_volume(workers):
    found = communication.all_reduce_time("ring", MEGABYTES_8, NO_LATENCY, workers)
    assert found == pytest.approx(8 * 2 * (workers - 1) / workers)


@pytest.mark.parametrize("workers", [2, 4, 64])
def test_halving_moves_what_a_ring_moves_in_fewer_messages(workers):
    alike = [
        communication.all_reduce_time(name, MEGABYTES_8, NO_LATENCY, workers)
        for name in ("ring", "halving_doubling")
    ]
    assert alike[0] == pytest.approx(alike[1])
    messages = communication.all_reduce_time("halving_doubling", 0, Fabric(link=WIRE), workers)
    assert messages == pytest.approx(2 * math.log2(workers))
    assert communication.all_reduce_time("ring", 0, Fabric(link=WIRE), workers) == 2 * (workers - 1)


def test_spare_workers_hand_over_first_and_last():
    four, six = (
        communication.all_reduce_time("halving_doubling", MEGABYTES_8, Fabric(link=WIRE), workers)
        for workers in (4, 6)
    )
    assert six == pytest.approx(four + 2 * 9)


def test_a_hierarchy_of_one_node_is_a_ring():
    node = Fabric(link=WIRE, inner_link=SHORT, workers_per_node=8)
    for workers in (2, 5, 8):
        alike = [
            communication.all_reduce_time(name, MEGABYTES_8, node, workers)
            for name in ("ring", "hierarchical")
        ]
        assert alike[0] == alike[1]
    # 2 MB over the short link: 0.1 + 0.5 ms, six times.
    assert communication.all_reduce_time("ring", MEGABYTES_8, node, 4) == pytest.approx(6 * 0.6)


def test_a_hierarchy_by_hand():
    # 4 within (2 MB: 0.1 + 0.5 ms, 6 messages), 2 nodes (4 MB: 1 + 4 ms, 2 messages).
    nodes = Fabric(link=WIRE, inner_link=SHORT, workers_per_node=4)
    found = communication.all_reduce_time("hierarchical", MEGABYTES_8, nodes, 8)
    assert found == pytest.approx(6 * 0.6 + 2 * 5)
    # A flat ring pays the long link at each of its 14 messages of 1 MB.
    assert communication.all_reduce_time("ring", MEGABYTES_8, nodes, 8) == pytest.approx(14 * 2)
    with pytest.raises(ValueError, match="6 workers do not fill nodes of 4"):
        communication.all_reduce_time("hierarchical", MEGABYTES_8, nodes, 6)


def test_heights_are_whole_where_the_originals_slip():
    assert [communication.tree_height(n) for n in (1, 2, 3, 4, 5, 2**31)] == [0, 1, 2, 2, 3, 31]
    assert communication.tree_height(2**31, "paleo") == 32


def test_schemes_are_a_registry(monkeypatch):
    monkeypatch.setattr(communication, "_SCHEMES", dict(communication._SCHEMES))
    free = communication.Scheme("free", lambda size, fabric, workers: 0.0, "costs nothing")
    assert communication.get(communication.register(free).name) is free
    with pytest.raises(ValueError, match="'free' is already registered"):
        communication.register(free)
    with pytest.raises(ValueError, match="'star' is not known; allowed: one_to_all, tree"):
        communication.get("star")


def test_nodes():
    fabric = Fabric(link=WIRE, inner_link=SHORT, workers_per_node=4)
    assert [fabric.nodes(n) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]
    assert (fabric.slowest(4), fabric.slowest(5)) == (SHORT, WIRE)
    with pytest.raises(ValueError, match="workers_per_node is 0"):
        Fabric(link=WIRE, workers_per_node=0)
