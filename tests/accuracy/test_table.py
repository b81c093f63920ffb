import gzip
import importlib.util

import numpy as np
import pytest

from greennas_jax.accuracy import table

COLUMNS = table.Columns(architecture="arch", accuracy="acc", cost="mj", latency="ms")
GOOD = "arch,acc,mj,ms,own_measurement\na,0.5,2,1,1\nb,0.75,3.5,2,0\n"


def test_rows_are_read_plain_and_packed(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write(GOOD)
    for name in ("t.csv", "t.csv.gz"):
        found = table.load(tmp_path / name, COLUMNS)
        assert found.architectures == ("a", "b")
        np.testing.assert_array_equal(found.accuracy, [0.5, 0.75])
        np.testing.assert_array_equal(found.cost, [2, 3.5])
        np.testing.assert_array_equal(found.measured, [True, False])
        np.testing.assert_array_equal(found.lines, [2, 3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("0.75", "high"), r"line 3: 'acc' is 'high'; allowed: a number"),
        (GOOD.replace("0.75", ""), r"line 3: 'acc' is ''; allowed: a number"),
        (GOOD.replace("0.75", "nan"), r"line 3: 'acc' is 'nan'"),
        (GOOD.replace("3.5", "0"), r"line 3: 'mj' is '0'; allowed: a number above 0"),
        (GOOD.replace("b,", "a,"), r"line 3: architecture 'a' is on line 2 already"),
        (GOOD.replace("b,", ","), r"line 3: no architecture in 'arch'"),
        (GOOD + "c,1\n", r"line 4: not 5 values"),
        (GOOD + "c,1,1,1,1,1\n", r"line 4: not 5 values"),
        (GOOD.replace(",ms", ",seconds"), r"no column 'ms'; it has arch, acc, mj, seconds"),
        (GOOD.replace(",0\n", ",maybe\n"), r"line 3: 'own_measurement' is 'maybe'; allowed: 0 or"),
        ("arch,acc,mj,ms\n", "no rows"),
        ("", "no column 'arch'"),
    ],
)
def test_bad_tables_are_refused_with_their_line(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(table.TableError, match=f"t.csv.*{message}"):
        table.load(path, COLUMNS)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "t.csv.gz").write_text(GOOD)
    for name in ("t.csv", "t.csv.gz"):
        with pytest.raises(table.TableError, match="not a CSV file"):
            table.load(tmp_path / name, COLUMNS)
    with pytest.raises(FileNotFoundError):
        table.load(tmp_path / "absent.parquet", COLUMNS)


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is there")
def test_parquet_without_its_reader_is_told(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(table.TableError, match="needs pyarrow, which is not installed"):
        table.load(tmp_path / "t.parquet", COLUMNS)
