import struct

import pytest

from greennas_jax.report import scaling_picture


def test_the_picture_shows_step_speedup_and_energy(scaling_study, tmp_path):
    path = tmp_path / "scale.png"
    figure = scaling_picture.draw(path, scaling_study)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(struct.unpack(">II", data[16:24])) > 1000
    step, speedup, energy = figure.axes
    assert [label.get_text() for label in energy.get_xticklabels()] == ["1", "2", "4", "8"]
    for place in range(4):
        stack = sum(bars[place].get_height() for bars in step.containers)
        assert stack == pytest.approx(100)
    found = {line.get_label(): line for line in speedup.lines}
    points = sorted(scaling_study["points"], key=lambda point: point["workers"])
    assert found["speed-up"].get_ydata() == pytest.approx([p["speedup"] for p in points])
    assert list(found["perfect"].get_ydata()) == [1, 2, 4, 8]
    (star,) = (line for line in energy.lines if line.get_label() == "greenest")
    assert list(star.get_xdata()) == [2]
    heights = [sum(bars[place].get_height() for bars in energy.containers) for place in range(4)]
    ratio = points[0]["energy_per_example_j"] / points[2]["energy_per_example_j"]
    assert heights[0] / heights[2] == pytest.approx(ratio)


def test_the_picture_without_power_has_no_energy(study_without_power, tmp_path):
    assert len(scaling_picture.draw(tmp_path / "scale.png", study_without_power).axes) == 2


def test_nothing_is_left_where_a_picture_cannot_be_written(scaling_study, tmp_path):
    with pytest.raises(OSError, match="absent"):
        scaling_picture.draw(tmp_path / "absent" / "scale.png", scaling_study)
    assert not list(tmp_path.iterdir())
