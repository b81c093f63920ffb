import numpy as np
import pytest

from greennas_jax.accuracy import table
from greennas_jax.accuracy.table import TableError
from greennas_jax.search import table_problem
from tests.search import tabulated


@pytest.fixture(scope="module")
def text():
    return tabulated.text()


def load(tmp_path, text, **settings):
    (tmp_path / "t.csv").write_text(text)
    found = table.load(tmp_path / "t.csv", tabulated.COLUMNS)
    return table_problem.build(tabulated.SPACE, found, **settings)


def test_queries_tell_what_the_table_says(tmp_path, text):
    found = load(tmp_path, text)
    assert (len(found.tokens), found.floor) == (6461, 0.1)
    rows = tabulated.SPACE.sample(np.random.default_rng(0), 20)
    told = found.query(rows)
    accuracy, cost = tabulated.figures(rows)
    np.testing.assert_allclose(told.accuracy, accuracy)
    np.testing.assert_allclose(found.cost(rows), cost)
    # Strings of one class are one architecture, and what is known is not offered again.
    twice = np.concatenate([rows[:5], rows[:5], rows[5:]])
    assert len(found.admitted(twice, set())) == len(np.unique(rows, axis=0))
    assert len(found.admitted(rows, told.keys())) == 0
    with pytest.raises(ValueError, match="is no canonical architecture"):
        found.query(np.full((1, 6), 4, np.int32))


def test_measured_rows_count_before_copies(tmp_path, text):
    lines = text.splitlines()
    # An isomorphic cell of the first row's class, whose figures are its own.
    chain = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
    lines = [lines[0] + ",own_measurement", *(line + ",0" for line in lines[1:])]
    found = load(tmp_path, "\n".join([*lines, f"{chain},0.123,9,1"]) + "\n")
    row = found.rows(tabulated.SPACE.canonical(tabulated.SPACE.parse(chain)))[0]
    assert (found.texts[row], found.accuracy[row], found.costs[row]) == (chain, 0.123, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text + "|conv~0|,0.5,1\n", r"line 6464: cell '\|conv~0\|' has 1 nodes"),
        (lambda text: "\n".join(text.splitlines()[:-3]), r"2 of 6461 .* have no row, the first"),
        (lambda text: "\n".join(text.splitlines()[:-1]), r"state the floor"),
    ],
)
def test_tables_that_do_not_fit_the_space_are_refused(tmp_path, text, change, message):
    with pytest.raises(TableError, match=message):
        load(tmp_path, change(text), floor=0.2 if "row, the" in message else None)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="objective is 'best'; allowed: pareto"):
        tabulated.problem(objective="best")
    with pytest.raises(ValueError, match="a least accuracy is needed"):
        tabulated.problem(objective="constrained")


def test_nondominated_points_by_hand():
    accuracy = np.array([0.5, 0.9, 0.7, 0.9, 0.6])
    cost = np.array([1.0, 5.0, 2.0, 5.0, 2.0])
    kept = table_problem.nondominated(accuracy, cost)
    assert kept.tolist() == [True, True, True, False, False]
