import itertools

import pytest

from greennas_jax.importers import windows
from greennas_jax.spec import shapes
from greennas_jax.spec.network import SpecError


def starts(size, kernel, stride, padding, axis):
    """Return where the specification's windows start."""
    if isinstance(padding, str):
        before = 0 if padding == "VALID" else shapes.same_padding(size, kernel, stride)[0]
        count = shapes.output_size(size, kernel, stride, "VALID" if padding == "VALID" else "SAME")
    else:
        before = padding[axis]
        count = shapes.output_size(size, kernel, stride, before)
    return [index * stride - before for index in range(count)]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "expected"),
    [
        # GoogLeNet's and AlexNet's windows of 3 with stride 2: published sizes.
        *[(112, 3, 2, 0, 56), (56, 3, 2, 0, 28), (28, 3, 2, 0, 14), (14, 3, 2, 0, 7)],
        *[(55, 3, 2, 0, 27), (27, 3, 2, 0, 13), (13, 3, 2, 0, 6)],
        # ceil((7 + 2 - 2) / 2) + 1 = 5, but the fifth would start at 8 >= 7 + 1.
        (7, 2, 2, 1, 4),
        # ceil((32 - 3) / 2) + 1.
        (32, 3, 2, 0, 16),
        # A window larger than its input: ceil(-1 / 2) + 1.
        (7, 8, 2, 0, 1),
    ],
)
def test_ceil_size(size, kernel, stride, pad, expected):
    assert windows.ceil_size(size, kernel, stride, pad, pad) == expected


def test_fit_keeps_the_size_and_where_it_can_the_windows():
    exact = total = 0
    for size, kernel, stride, pad in itertools.product(
        range(1, 20), range(1, 6), range(1, 4), range(3)
    ):
        if pad >= kernel or size + 2 * pad < kernel:
            continue
        for count in {
            windows.ceil_size(size, kernel, stride, pad, pad),
            windows.floor_size(size, kernel, stride, 2 * pad),
        }:
            pair = (size, size)
            fit = windows.fit(pair, (kernel, kernel), (stride, stride), (pad, pad), (count, count))
            found = starts(size, kernel, stride, fit.padding, 0)
            assert len(found) == count
            total += 1
            exact += fit.exact
            if fit.exact:
                assert found[0] == -pad
    assert exact > 0.8 * total


def test_fit_says_what_it_prefers():
    assert windows.fit((8, 8), (3, 3), (1, 1), (1, 1), (8, 8)) == ("SAME", True)
    assert windows.fit((8, 8), (3, 3), (1, 1), (0, 0), (6, 6)) == ("VALID", True)
    assert windows.fit((224, 224), (7, 7), (2, 2), (3, 3), (112, 112)) == ([3, 3], True)
    assert windows.fit((112, 56), (3, 3), (2, 2), (0, 0), (56, 28)) == ("SAME", True)
    assert windows.fit((9, 9), (3, 1), (1, 1), (1, 0), (9, 9)) == ("SAME", True)
    # Six windows of 4 with stride 3 over 20 start at 0; SAME would start them at -1.
    assert windows.fit((19, 19), (4, 4), (3, 3), (0, 0), (6, 6)) == ("VALID", True)
    assert windows.fit((20, 20), (4, 4), (3, 3), (0, 0), (7, 7)) == ([1, 1], False)


def test_windows_of_a_whole_axis():
    # Seven over six and one zero behind see all six; on the other axis two windows stay.
    assert windows.covering((6, 6), (7, 7), (0, 0), (1, 1)) == ((6, 6), (0, 0))
    assert windows.covering((7, 9), (8, 8), (0, 1), (1, 2)) == ((7, 8), (0, 1))
    assert windows.covering((4, 4), (3, 3), (0, 0), (1, 1)) == ((3, 3), (0, 0))


def test_sizes_that_no_symmetric_padding_gives_are_refused():
    # Windows of 3 with stride 1 over 8 and one zero in all: 7, between VALID's 6 and SAME's 8.
    with pytest.raises(SpecError, match="no padding"):
        windows.fit((8, 8), (3, 3), (1, 1), (0, 0), (7, 7))
