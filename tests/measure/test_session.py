import jax.numpy as jnp
import pytest

from greennas_jax.measure import execution, journal, measurements, meters, session, timing
from greennas_jax.measure.cases import Case
from tests.measure import fakes

DENSE = Case(type="InnerProduct", batch=2, in_channels=4, out_channels=3)
SUM = Case(type="Elementwise", batch=1, in_height=4, in_width=4, in_channels=2, out_channels=2)
ODD = Case(type="ReLU", batch=1, in_height=2, in_width=2, in_channels=2, out_channels=2)
REQUEST = {"sweep": "small", "seed": 0}
PLAN = timing.Plan(windows=3, window_s=0.01)


@pytest.fixture
def programs(monkeypatch):
    """Replace programs by ones that take 20 ms of a fake clock; a ReLU cannot be compiled."""
    time, made = fakes.Time(), []

    def program(network, batch, wanted, *, seed=0, alone=False):
        assert alone
        if network.layers[1].type == "ReLU":
            raise RuntimeError("no such kernel")
        made.append(network.layers[1].type)
        return time.program([0.02])

    monkeypatch.setattr(execution, "program", program)
    return time, made


def bench(time, meter):
    return session.Bench(meter, PLAN, dispatch_s=0.005, clock=time.clock())


def test_what_was_measured_is_not_measured_again(programs, tmp_path):
    time, made = programs
    path = tmp_path / "a.csv.partial"
    on = bench(time, time.meter(30.0))
    cut = iter([False, True])
    first = session.run([DENSE, SUM], 1, on, path, REQUEST, enough=lambda: next(cut))
    assert [row.case for row in first.rows] == [DENSE]
    # 20 ms less an empty call's 5 ms.
    assert first.rows[0].runtime_ms == pytest.approx(15.0)
    assert first.rows[0].power_w == pytest.approx(30.0)
    with path.open("a") as file:
        file.write("Elementwise,inference,fp")
    second = session.run([DENSE, SUM, ODD], 1, on, path, REQUEST)
    assert made == ["InnerProduct", "Elementwise"]
    assert [row.case for row in second.rows] == [DENSE, SUM]
    assert second.left_out == ["no such kernel"]
    assert journal.open_for(path, REQUEST) == second.rows


def test_rounds(programs, tmp_path):
    time, made = programs
    on = bench(time, time.meter(30.0))
    done = session.run([DENSE, SUM], 2, on, tmp_path / "a", REQUEST)
    assert made == ["InnerProduct", "Elementwise"] * 2
    assert len(done.rows) == 4


def test_another_request_is_refused(programs, tmp_path):
    time, _ = programs
    path = tmp_path / "a.csv.partial"
    session.run([DENSE], 1, bench(time, time.meter(30.0)), path, REQUEST)
    with pytest.raises(ValueError, match="another request: 'seed' was 0, is 1"):
        journal.open_for(path, {**REQUEST, "seed": 1})
    path.write_text("something\n")
    with pytest.raises(ValueError, match="is not one of ours"):
        journal.open_for(path, REQUEST)


def test_a_meter_that_fails_is_told_once(programs, tmp_path):
    time, _ = programs

    def fail(_):
        raise OSError("gone")

    meter = meters.Meter("fake", 0.001, lambda: None, fail)
    told = []
    done = session.run(
        [DENSE, SUM], 1, bench(time, meter), tmp_path / "a", REQUEST, say=told.append
    )
    assert [row.power_w for row in done.rows] == [None, None]
    assert {row.power_source for row in done.rows} == {"meter fake failed: gone"}
    assert told == ["meter fake failed: gone; the power of such layers stays unknown"]
    assert measurements.read(measurements.write(done.rows)).bad == ()


def test_samples_that_differ_too_much_are_left_out(monkeypatch, tmp_path):
    time = fakes.Time()
    durations = [0.02] * 4 + [0.03, 0.2, 0.9] * 30
    monkeypatch.setattr(execution, "program", lambda *_, **__: time.program(durations))
    done = session.run([DENSE], 1, bench(time, meters.absent("none")), tmp_path / "a", REQUEST)
    assert done.rows == []
    assert "InnerProduct of (2, 4)" in done.left_out[0]


def test_a_disturbed_layer_is_measured_in_a_later_round(monkeypatch, tmp_path):
    time = fakes.Time()
    disturbed = [0.02] * 4 + [0.03, 0.2, 0.9] * 30
    programs = iter([time.program(disturbed), time.program([0.02])])
    monkeypatch.setattr(execution, "program", lambda *_, **__: next(programs))
    done = session.run([DENSE], 2, bench(time, meters.absent("none")), tmp_path / "a", REQUEST)
    assert [row.runtime_ms for row in done.rows] == [pytest.approx(15.0)]
    assert done.left_out == []


def test_layers_alone_run_in_both_modes():
    for mode in ("inference", "training"):
        wanted = execution.Wanted(mode)
        call = execution.program(session.cases.network(SUM), 1, wanted, alone=True)
        leaves = session.timing.jax.tree.leaves(call())
        assert all(jnp.isfinite(leaf).all() for leaf in leaves)
    call = execution.program(session.cases.network(DENSE), 2, execution.Wanted(), alone=True)
    assert call().shape == (2, 3)
