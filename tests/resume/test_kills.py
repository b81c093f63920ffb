import pytest

from tests.resume import runs


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_like_an_unbroken_one(tmp_path):
    found = runs.study(tmp_path, kills=3, seed=1)
    assert found["kills"] >= 3
    assert found["identical"] == found["runs"]
