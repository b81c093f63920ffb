import numpy as np
import pytest

from greennas_jax.accuracy import evaluated
from greennas_jax.accuracy.table import TableError
from greennas_jax.spaces import nao_cell_strings as strings

ONE = strings.EXAMPLE
OTHER = "1" + ONE[1:]


def write(tmp_path, *rows, header="arch,accuracy,reported_energy"):
    path = tmp_path / "pool.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def load(path):
    return evaluated.load(path, strings.parse, examples=500)


def test_rows_are_read(tmp_path):
    found = load(write(tmp_path, f"{ONE},0.5,110.5", f"{OTHER},0.8,2"))
    assert found.tokens.shape == (2, 40) and found.tokens[:, 0].tolist() == [0, 1]
    assert found.accuracy.tolist() == [0.5, 0.8] and found.reported.tolist() == [110.5, 2]
    # sqrt(0.5 x 0.5 / 500) and sqrt(0.8 x 0.2 / 500).
    np.testing.assert_allclose(found.deviation, [0.0223607, 0.0178885], rtol=1e-5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"{ONE},0.5,1", f"{OTHER},1.2,1"], "line 3: 'accuracy' is 1.2; allowed: 0 to 1"),
        ([f"{ONE},0.5,1", f"9{ONE[1:]},0.5,1"], "line 3: .*index at place 0: '9'; allowed: 0 to 1"),
        (["0 1 2,0.5,1"], "line 2: .*have 3 numbers; allowed: 40"),
        ([f"{ONE},0.5,1", f"{ONE},0.6,1"], "line 3: .* is on line 2 already"),
        ([f"{ONE},0.5,0"], "line 2: 'reported_energy' is '0'; allowed: a number above 0"),
        ([f"{ONE},high,1"], "line 2: 'accuracy' is 'high'"),
        ([f"{ONE},0.5"], "line 2: not 3 values"),
        ([], "no rows"),
    ],
)
def test_bad_rows_are_refused(tmp_path, rows, message):
    with pytest.raises(TableError, match=message):
        load(write(tmp_path, *rows))


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(TableError, match="no column 'arch'"):
        load(write(tmp_path, f"{ONE},0.5,1", header="cell,accuracy,reported_energy"))
    with pytest.raises(ValueError, match="examples is 0"):
        evaluated.load(write(tmp_path, f"{ONE},0.5,1"), strings.parse, examples=0)


def test_the_published_pool(shared):
    for name in ("perf_3", "energy_3"):
        found = load(shared / "nao_pool" / f"{name}.csv")
        assert found.tokens.shape == (600, 40)
        # Accuracies are whole numbers of 500 images.
        np.testing.assert_allclose(found.accuracy * 500, np.round(found.accuracy * 500), atol=1e-6)
