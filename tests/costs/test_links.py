import json

import pytest

from greennas_jax.costs import links
from greennas_jax.costs.devices import DeviceError

STATED = {
    "name": "Wire",
    "bandwidth_gbits": {"value": 8, "source": "test"},
    "latency_us": {"value": 0, "source": "test"},
}
# Gbit/s of the original's own table.
ORIGINAL = {
    "aws": 2,
    "ethernet": 10,
    "ethernet20": 20,
    "infiniband": 70,
    "pcie2": 64,
    "pcie3": 128,
}


@pytest.mark.parametrize("name", links.names())
def test_every_link_states_its_sources(name):
    link = links.load(name.upper())
    assert link.name == name
    assert dict(link.sources).keys() == {"bandwidth_gbits", "latency_us"}
    assert link.bandwidth_gbits == ORIGINAL.get(name, link.bandwidth_gbits)


def test_the_originals_links_are_there():
    assert set(links.names()) > ORIGINAL.keys()


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "wire.json"
    path.write_text(json.dumps(STATED))
    assert links.load(path).replace(latency_us=2.0).latency_us == 2.0
    assert (links.load(path).name, links.load(path).bandwidth_gbits) == ("wire", 8.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_us": {"value": -1, "source": "x"}}, "'latency_us' has value -1"),
        ({"bandwidth_gbits": {"value": 0, "source": "x"}}, "'bandwidth_gbits' has value 0"),
        ({"bandwidth_gbits": 8}, "'bandwidth_gbits' is 8"),
        ({"speed": 3}, "'speed' is not known"),
        ({"name": 3}, "an object with a 'name' is needed"),
    ],
)
def test_bad_figures_are_refused(change, message):
    with pytest.raises(DeviceError, match=f"link file <text>: {message}"):
        links.read(json.dumps(STATED | change))


def test_missing_figures_and_unknown_links_are_named(tmp_path):
    with pytest.raises(DeviceError, match="'latency_us' is missing"):
        links.read(json.dumps({k: v for k, v in STATED.items() if k != "latency_us"}))
    with pytest.raises(DeviceError, match="link 'token_ring' is not known; allowed: aws, "):
        links.load("token_ring")
    with pytest.raises(DeviceError, match="link file <text>: not valid JSON"):
        links.read("{")
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff")
    with pytest.raises(DeviceError, match="byte 0 is not UTF-8"):
        links.load(path)
