import json

import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax import checkpoints
from greennas_jax.accuracy.oracle import Trial


class Counter:
    """Counts what it is asked; the accuracy tells tokens and seed."""

    def __init__(self):
        self.asked = []

    def __call__(self, tokens, seeds):
        self.asked += list(seeds)
        return [
            Trial(float(row.sum()) / 7 + s, s > 1, 8.0, (0.1, s / 3))
            for row, s in zip(tokens, seeds, strict=True)
        ]


TOKENS = np.array([[0, 1], [2, 3]], np.int32)


def test_logged_trials_are_not_evaluated_again(tmp_path):
    counter = Counter()
    first = checkpoints.TrialLog(tmp_path / "log").evaluate(counter, TOKENS, [1, 2])
    again = checkpoints.TrialLog(tmp_path / "log").evaluate(counter, TOKENS, [1, 3])
    assert counter.asked == [1, 2, 3]
    assert again[0] == first[0] == Trial(1 / 7 + 1, False, 8.0, (0.1, 1 / 3))
    assert again[1] == Trial(5 / 7 + 3, True, 8.0, (0.1, 1.0))


def test_line_cut_off_by_a_kill_is_evaluated_again(tmp_path):
    counter = Counter()
    path = tmp_path / "log"
    checkpoints.TrialLog(path).evaluate(counter, TOKENS, [1, 2])
    path.write_text(path.read_text()[:-9])
    found = checkpoints.TrialLog(path).evaluate(counter, TOKENS, [1, 2])
    assert counter.asked == [1, 2, 2]
    assert found[1].accuracy == 5 / 7 + 2
    assert len(path.read_text().splitlines()) == 2


def test_foreign_log_is_refused(tmp_path):
    (tmp_path / "log").write_text("hello\n")
    with pytest.raises(ValueError, match="line 1: not a logged trial"):
        checkpoints.TrialLog(tmp_path / "log")


def test_workdir_of_another_configuration_is_refused_with_the_difference(tmp_path):
    checkpoints.claim(tmp_path / "w", {"seed": 1, "search": {"queries": 5}})
    checkpoints.claim(tmp_path / "w", {"seed": 1, "search": {"queries": 5}})
    with pytest.raises(ValueError, match="search.queries was 5, is 6"):
        checkpoints.claim(tmp_path / "w", {"seed": 1, "search": {"queries": 6}})
    assert json.loads((tmp_path / "w" / "config.json").read_text())["search"]["queries"] == 5


def test_claiming_a_file_fails(tmp_path):
    (tmp_path / "w").write_text("")
    with pytest.raises(OSError):
        checkpoints.claim(tmp_path / "w", {})


def test_arrays_come_back_exactly(tmp_path):
    tree = {"a": jnp.arange(6.0).reshape(2, 3) / 7, "b": (jnp.array([1, 2]), jnp.float32(0.1))}
    empty = {"a": jnp.zeros((2, 3)), "b": (jnp.array([0, 0]), jnp.float32(0))}
    checkpoints.save_arrays(tmp_path / "tree", tree)
    found = checkpoints.load_arrays(tmp_path / "tree", empty)
    np.testing.assert_array_equal(found["a"], tree["a"])
    np.testing.assert_array_equal(found["b"][0], tree["b"][0])
    assert float(found["b"][1]) == float(tree["b"][1])


def test_other_images_behind_the_same_name_are_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for _ in range(2):
        checkpoints.same_data(tmp_path, "ab" * 32, "own.npz")
    with pytest.raises(ValueError, match="images or labels of 'own.npz' are not those"):
        checkpoints.same_data(tmp_path, "cd" * 32, "own.npz")


def test_a_difference_is_named_in_a_short_line(tmp_path):
    checkpoints.claim(tmp_path / "w", {"a" * 10_000: 1})
    with pytest.raises(ValueError, match=r": a{97}\.\.\. was 1, is None") as raised:
        checkpoints.claim(tmp_path / "w", {})
    assert len(str(raised.value)) < 1000
