import struct

import numpy as np
import pytest

from greennas_jax.report import front_picture
from greennas_jax.report.front_picture import Course


def test_what_is_missing_is_drawn_for_each_reference(tmp_path):
    path, queries = tmp_path / "front.png", [5, 10]
    own = Course(np.asarray([0.9, 1.0]), np.asarray([0.01, 0.0]))
    other = Course(np.asarray([0.5, 0.75]), np.asarray([0.1, 0.05]))
    courses = {"wide": {"own": own, "other": other}, "strict": {"own": other}}
    figure = front_picture.draw(path, queries, courses)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", data[16:24])) > 1000
    wide, strict = figure.axes
    found = {line.get_label(): line for line in wide.lines}
    assert list(found["own"].get_xdata()) == queries
    # A front that is whole stands at the edge of what the axis can tell apart.
    assert found["own"].get_ydata() == pytest.approx([0.1, 1e-4])
    assert found["other"].get_ydata() == pytest.approx([0.5, 0.25])
    assert len(strict.lines) == 1 and wide.get_yscale() == "log"
    assert "wide" in wide.get_ylabel() and "strict" in strict.get_ylabel()
