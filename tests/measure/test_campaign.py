import pytest

from greennas_jax.measure import campaign
from greennas_jax.measure.campaign import Request


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out": "a.txt"}, "a name that ends in .json"),
        ({"out": "a.neuralpower.json"}, "a name that ends in .json"),
        ({"from_csv": "a.csv"}, "--base, or --peak_gflops and"),
        ({"from_csv": "a.csv", "peak_gflops": 5.0}, "--base, or --peak_gflops and"),
        ({"assumed_watts": -5.0}, "--assumed_watts is -5"),
        ({"bandwidth_gbs": float("inf")}, "--bandwidth_gbs is inf"),
        ({"dtypes": ("fp32", "fp32")}, "different formats"),
        ({"dtypes": ()}, "different formats"),
    ],
)
def test_requests_that_make_no_sense(changes, words):
    with pytest.raises(ValueError, match=words):
        Request(**({"out": "a.json"} | changes))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        campaign.calibrate(Request(out=f"{tmp_path}/missing/a.json"))


def test_the_files_lie_beside_each_other():
    assert str(Request(out="some/where.json").beside) == "some/where"
