import struct

import numpy as np
import pytest
from matplotlib import colors

from greennas_jax.report import comparison, plots
from greennas_jax.report.plots import Point

LABELS = {"cost_label": "energy [mJ]", "accuracy_label": "accuracy [%]"}
POINTS = [
    Point(1.0, 90.0),
    Point(2.0, 89.0),
    Point(2.0, 95.0),
    Point(3.0, 95.0),
    Point(1.5, 99.0, True),
    Point(4.0, 97.0),
]
GIVEN = Point(8.0, 96.5)


def png_size(path):
    """Return the width and height that a PNG file states (PNG specification, section 11.2.2)."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[12:16] == b"IHDR"
    assert data[-8:-4] == b"IEND"
    return struct.unpack(">II", data[16:24])


def lines(figure):
    """Return the labelled lines and markers that a figure draws."""
    return {line.get_label(): line for line in figure.axes[0].lines}


def drawn(figure, label):
    return np.stack(lines(figure)[label].get_xydata()).tolist()


def change(layer, kind, after, before_j, after_j):
    return comparison.LayerChange(
        layer=layer,
        type="Convolution",
        change=kind,
        before="conv",
        after=after,
        energy_before_j=before_j,
        energy_after_j=after_j,
        saved_j=None,
        parameters_before=1,
        parameters_after=1,
    )


def test_front_keeps_what_nothing_beats():
    # (2, 89) is beaten by (1, 90), (3, 95) by (2, 95); the stopped 99 does not count.
    assert plots.front([*POINTS, GIVEN]) == [Point(1.0, 90.0), Point(2.0, 95.0), Point(4.0, 97.0)]
    assert plots.front([Point(1.0, 1.0, True), Point(1.0, float("nan"))]) == []


def test_pareto_draws_every_query_and_every_line(tmp_path):
    chosen = Point(4.0, 97.0)
    figure = plots.pareto(tmp_path / "p.png", POINTS, GIVEN, chosen, 0.5, 96.0, **LABELS)
    assert png_size(tmp_path / "p.png") == (1800, 1120)
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("energy [mJ]", "accuracy [%]")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert drawn(figure, "stopped early") == [[1.5, 99.0]]
    assert drawn(figure, "query") == [list(p[:2]) for p in POINTS if not p.stopped]
    assert drawn(figure, "Pareto front") == [[1.0, 90.0], [2.0, 95.0], [4.0, 97.0]]
    assert drawn(figure, "given network") == [[8.0, 96.5]]
    assert drawn(figure, "chosen network") == [[4.0, 97.0]]
    guard, bound = lines(figure)["accuracy guard"], lines(figure)["exact lower bound"]
    assert (list(guard.get_ydata()), guard.get_linestyle()) == ([96.0, 96.0], "--")
    assert (list(bound.get_xdata()), bound.get_linestyle()) == ([0.5, 0.5], ":")
    low, high = axes.get_xlim()
    assert low < 0.5 and high > 8.0
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == [
        *("stopped early", "query", "Pareto front", "accuracy guard", "exact lower bound"),
        *("given network", "chosen network"),
    ]


def test_early_stopped_queries_are_faint(tmp_path):
    found = lines(plots.pareto(tmp_path / "p.png", POINTS, GIVEN, **LABELS))
    assert found["stopped early"].get_alpha() < 0.5
    assert "accuracy guard" not in found and "exact lower bound" not in found


def test_broken_networks_do_not_squeeze_the_axis(tmp_path):
    broken = [Point(1.0, 10.0), Point(2.0, 12.0, True), Point(3.0, float("nan"))]
    figure = plots.pareto(tmp_path / "p.png", [*POINTS, *broken], GIVEN, guard=95.0, **LABELS)
    # The best of all drawn is 99, 4 above the guard: the axis begins at 95 - 8 * 4 = 63.
    assert drawn(figure, "below the axis") == [[1.0, 63.0], [2.0, 63.0], [3.0, 63.0]]
    assert figure.axes[0].get_ylim()[0] == 63.0
    # It never begins above a network that is named.
    low = Point(0.9, 20.0)
    figure = plots.pareto(tmp_path / "p.png", [*POINTS, *broken], low, guard=95.0, **LABELS)
    assert figure.axes[0].get_ylim()[0] == 20.0


@pytest.mark.parametrize(
    ("low", "high"), [(0.90, 1.0), (0.15, 1.9), (1e-4, 1e3), (1, 9000), (5.0, 5.0)]
)
def test_the_cost_axis_has_plain_numbers(tmp_path, low, high):
    points = [Point(low, 90.0), Point(high, 95.0)]
    axes = plots.pareto(tmp_path / "p.png", points, points[1], **LABELS).axes[0]
    first, last = axes.get_xlim()
    ticks = [t for t in axes.xaxis.get_majorticklocs() if first <= t <= last]
    assert 2 <= len(ticks) <= 13
    assert [float(axes.xaxis.get_major_formatter()(t, 0)) for t in ticks] == pytest.approx(ticks)


def test_costs_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="cost 0.0 cannot be drawn on a logarithmic axis"):
        plots.pareto(tmp_path / "p.png", [Point(0.0, 1.0)], GIVEN, **LABELS)
    assert not list(tmp_path.iterdir())


def test_layer_energy_draws_a_pair_of_bars_per_layer(tmp_path):
    changes = [
        change("data", "kept", "input", 0.0, 0.0),
        change("conv$1$", "smaller kernel", "conv 3x3 1->6", 0.004, 0.001),
        change("pool", "kept (narrower input)", "max pool 2x2", 0.0005, 0.0003),
        change("fc", "removed", "-", 0.002, 0.0),
        change("odd", "kept", "conv", None, 1.0),
    ]
    figure = plots.layer_energy(tmp_path / "l.png", changes)
    # Three layers have energy: 1.5 + 3 * 0.34 = 2.52 inches at 200 dots.
    assert png_size(tmp_path / "l.png") == (1800, 504)
    axes = figure.axes[0]
    given, found = axes.containers
    assert [given.get_label(), found.get_label()] == ["given", "found"]
    assert [bar.get_width() for bar in given] == pytest.approx([4.0, 0.5, 2.0])
    assert [bar.get_width() for bar in found] == pytest.approx([1.0, 0.3, 0.0])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["conv$1$", "pool", "fc"]
    assert [text.get_text() for text in axes.texts] == ["conv 3x3 1->6", "", "removed"]
    assert axes.get_xlabel() == "energy of one batch [mJ]; unknown for 1 layer"
    # The first layer is on top.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_many_layers_are_drawn_as_the_largest_and_the_rest(tmp_path):
    changes = [change(f"layer{i}", "kept", "conv", float(i), 0.5 * i) for i in range(101)]
    figure = plots.layer_energy(tmp_path / "l.png", changes)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    # 1 to 100 have energy; the largest 39 are 62 to 100 and 1 + ... + 61 = 61 * 62 / 2 = 1891.
    assert labels == [*(f"layer{i}" for i in range(62, 101)), "61 smaller layers"]
    given, found = figure.axes[0].containers
    unit = figure.axes[0].get_xlabel()
    assert unit == "energy of one batch [kJ]"
    assert given[-1].get_width() == pytest.approx(1.891)
    assert found[-1].get_width() == pytest.approx(1.891 / 2)


def test_long_names_are_cut_in_the_middle(tmp_path):
    name = "inception_4e/branch_3/convolution_1x1_projection"
    figure = plots.layer_energy(tmp_path / "l.png", [change(name, "kept", "conv", 1.0, 1.0)])
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert len(label) == 29
    assert label == "inception_4e/b…1x1_projection"


def test_no_layer_with_known_energy_is_an_empty_picture(tmp_path):
    changes = [change("a", "kept", "conv", None, None), change("b", "kept", "conv", None, 1.0)]
    axes = plots.layer_energy(tmp_path / "l.png", changes).axes[0]
    assert axes.get_xlabel() == "energy of one batch [J]; unknown for 2 layers"
    assert png_size(tmp_path / "l.png")[0] == 1800


def test_search_progress_follows_the_best_feasible_query(tmp_path):
    history = [Point(5.0, 96.0), Point(1.0, 80.0), Point(0.8, 99.0, True), Point(3.0, 95.0)]
    history += [Point(4.0, 97.0)]
    figure = plots.search_progress(
        tmp_path / "s.png", history, GIVEN, 95.0, 0.5, cost_label="energy [mJ]"
    )
    assert png_size(tmp_path / "s.png") == (1800, 1000)
    assert drawn(figure, "meets the guard") == [[1, 5.0], [4, 3.0], [5, 4.0]]
    assert drawn(figure, "below the guard or stopped") == [[2, 1.0], [3, 0.8]]
    # It starts from the given network's 8 mJ.
    best = lines(figure)["best so far"]
    assert best.get_ydata().tolist() == [8.0, 5.0, 5.0, 5.0, 3.0, 3.0]
    assert best.get_drawstyle() == "steps-post"
    assert list(lines(figure)["exact lower bound"].get_ydata()) == [0.5, 0.5]
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("query", "energy [mJ]")
    assert axes.get_yscale() == "log"


def test_search_progress_of_no_query(tmp_path):
    figure = plots.search_progress(tmp_path / "s.png", [], GIVEN, cost_label="energy [mJ]")
    assert drawn(figure, "best so far") == [[0, 8.0]]


def test_without_a_guard_every_finished_query_counts():
    assert plots.feasible(Point(1.0, 0.0), None)
    assert not plots.feasible(Point(1.0, 99.0, True), None)
    assert plots.feasible(Point(1.0, 95.0), 95.0)
    assert not plots.feasible(Point(1.0, 94.9), 95.0)


def test_nothing_is_clipped_by_the_picture_and_no_label_overlaps(tmp_path):
    names = [f"block{i}/a_rather_long_layer_name" for i in range(12)]
    changes = [
        change(name, "replaced", "bottleneck 3x3 1024->256->1024", 1.0, 0.9) for name in names
    ]
    figure = plots.layer_energy(tmp_path / "l.png", changes)
    renderer = figure.canvas.get_renderer()
    axes = figure.axes[0]
    # The layout was made for the file's resolution; rounding moves text by less than a pixel.
    frame = figure.bbox.padded(1)
    notes = [text.get_window_extent(renderer) for text in axes.texts]
    labels = [text.get_window_extent(renderer) for text in axes.get_yticklabels()]
    for box in (*notes, *labels, axes.xaxis.label.get_window_extent(renderer)):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1
    for column in (notes, labels):
        assert all(a.y0 >= b.y1 or b.y0 >= a.y1 for i, a in enumerate(column) for b in column[:i])


def test_equal_pictures_are_equal_files(tmp_path):
    for name in ("a.png", "b.png"):
        plots.pareto(tmp_path / name, POINTS, GIVEN, **LABELS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_colours_differ_in_lightness_too():
    """Colours that stand side by side are told apart without hue (ITU-R BT.709 luma)."""
    luma = [np.dot(colors.to_rgb(c), (0.2126, 0.7152, 0.0722)) for c in (plots.ORANGE, plots.GREEN)]
    assert abs(luma[0] - luma[1]) > 0.1
