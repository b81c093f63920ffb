import pytest

from greennas_jax.costs.layer_table import Operation
from greennas_jax.measure import measurements
from greennas_jax.measure.cases import Case
from greennas_jax.measure.measurements import Measurement

COLUMNS = (
    "type,mode,dtype,batch,in_height,in_width,in_channels,out_channels,kernel_height,kernel_width,"
    "stride_height,stride_width,padding,groups,heads,hidden,runtime_ms,runtime_spread,power_w,"
    "power_source"
)
CONVOLUTION = "Convolution,inference,fp32,2,8,8,3,4,3,3,1,1,{padding},1,,,1.5,0.01,30.5,fake"
ATTENTION = "MultiHeadAttention,inference,fp32,1,16,1,64,64,,,,,,,{heads},,0.5,0.02,,no meter"
GOOD = CONVOLUTION.format(padding="SAME")


def text(*rows):
    return "\n".join([COLUMNS, *rows]) + "\n"


def test_what_is_read_is_written():
    found = measurements.read(text(GOOD, ATTENTION.format(heads=4)))
    assert found.bad == ()
    assert found.rows[0] == Measurement(
        Case(
            type="Convolution",
            batch=2,
            in_height=8,
            in_width=8,
            in_channels=3,
            out_channels=4,
            kernel_height=3,
            kernel_width=3,
            stride_height=1,
            stride_width=1,
            padding="SAME",
            groups=1,
        ),
        1.5,
        0.01,
        30.5,
        "fake",
    )
    assert found.rows[1].case.heads == 4
    assert found.rows[1].power_w is None
    assert measurements.write(found.rows) == text(GOOD, ATTENTION.format(heads=4))


def test_the_table_has_the_layers_and_no_source():
    table = measurements.table(measurements.read(text(GOOD, ATTENTION.format(heads=4))).rows)
    assert list(table.operation) == [Operation.CONVOLUTION, Operation.ATTENTION]
    assert list(table.out_height) == [8, 16]
    assert list(table.activation) == [1, 0]
    assert not table.reads_input.any()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (GOOD.replace("1.5", "-1.5"), "'runtime_ms' is -1.5"),
        (GOOD.replace("1.5", "inf"), "'runtime_ms' is inf"),
        (GOOD.replace("1.5", "fast"), "'runtime_ms' is 'fast'; a number needed"),
        (GOOD.replace("0.01", "0.9"), "'runtime_spread' is 0.9"),
        (GOOD.replace("30.5", "-3"), "'power_w' is -3"),
        (GOOD.replace("30.5,fake", ","), "'power_source' does not say why"),
        (GOOD.replace("fp32,2", "fp32,0"), "'batch' is 0"),
        (GOOD.replace("fp32", "fp64"), "'dtype' is 'fp64'; allowed: fp32"),
        (GOOD.replace("Convolution", "Convolve"), "'type' is 'Convolve'"),
        (GOOD.replace("3,3,1,1", "9,9,1,1").replace("SAME", "VALID"), "is larger than its input"),
        (GOOD.replace("3,3,1,1", "11,11,1,1").replace("SAME", "1x1"), "at most the padded input"),
        (GOOD.replace("SAME,1", "SAME,2"), "groups"),
        (ATTENTION.format(heads=5), "5 heads do not divide the width 64"),
        (ATTENTION.format(heads=""), "'heads' is missing"),
        ("Pooling,inference,fp32,1,4,4,2,2,5,5,1,1,VALID,,,,1,0,,none", "larger than the padded"),
        ("ReLU,inference,fp32,1,4,4,2,3,,,,,,,,,1,0,,none", "'out_channels' is 3, but"),
        ("ReLU", "'batch' is empty"),
    ],
)
def test_rows_that_cannot_be_true_are_left_out_by_line(row, words):
    found = measurements.read(text(*[GOOD] * 9, row), origin="a.csv")
    assert len(found.rows) == 9
    (line,) = found.bad
    assert line.startswith("a.csv, line 11: ")
    assert words in line


def test_too_many_bad_rows_and_missing_columns_refuse_the_file():
    bad = GOOD.replace("1.5", "0")
    with pytest.raises(measurements.MeasurementError, match="2 of 11 rows cannot be true.*line 2"):
        measurements.read(text(bad, bad, *[GOOD] * 9))
    with pytest.raises(measurements.MeasurementError, match="columns are missing: heads, power_w"):
        measurements.read(text(GOOD).replace("heads,", "").replace("power_w,", ""))
    with pytest.raises(measurements.MeasurementError, match="no rows"):
        measurements.read(COLUMNS)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(measurements.MeasurementError, match="byte 0 is not UTF-8"):
        measurements.load(path)
