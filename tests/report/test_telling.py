import io
import json
import sys
import types

import pytest

from greennas_jax.report import telling


def a_run(listener):
    listener("space: 8 positions")
    listener.phase("search", 4)
    listener.did(1)
    listener.reach(1, accuracy=0.5, cost=2.0)
    listener.reach(2, accuracy=float("nan"), cost=1.0)
    listener.close()


def test_scalars_are_kept_in_a_table(tmp_path):
    a_run(telling.Scalars(tmp_path))
    assert (tmp_path / "scalars.csv").read_text().splitlines() == [
        "phase,step,name,value",
        "search,1,accuracy,0.5",
        "search,1,cost,2.0",
        "search,2,accuracy,nan",
        "search,2,cost,1.0",
    ]


def test_a_resumed_run_keeps_every_figure_once(tmp_path):
    a_run(telling.Scalars(tmp_path))
    whole = (tmp_path / "scalars.csv").read_text()
    # A kill in the middle of a line, and of a run.
    for cut in (whole[:-3], whole[: whole.index("search,2")], "phase,st", ""):
        (tmp_path / "scalars.csv").write_text(cut)
        a_run(telling.Scalars(tmp_path))
        assert (tmp_path / "scalars.csv").read_text() == whole


def test_scalars_go_to_tensorboard_where_it_is_installed(tmp_path, monkeypatch):
    told = []

    class SummaryWriter:
        def __init__(self, folder):
            told.append(folder)

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def close(self):
            told.append("closed")

    fake = types.ModuleType("tensorboardX")
    fake.__dict__["SummaryWriter"] = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    monkeypatch.setattr(telling.importlib.util, "find_spec", lambda name: name)
    a_run(telling.Scalars(tmp_path))
    assert told[:3] == [
        str(tmp_path / "tensorboard"),
        ("search/accuracy", 0.5, 1),
        ("search/cost", 2.0, 1),
    ]
    assert told[-1] == "closed"


def test_every_json_line_is_one_object(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "earlier"}\n')
    a_run(telling.JsonLines(str(path), "runs/a"))
    lines = [json.loads(line) for line in path.read_text().splitlines()][1:]
    assert [line["event"] for line in lines] == ["line", "phase", "step", "step", "end"]
    assert [line["phase"] for line in lines] == [None, *["search"] * 4]
    assert lines[0]["text"] == "space: 8 positions" and lines[1]["total"] == 4
    # nan has no form in JSON.
    assert lines[3]["figures"] == {"accuracy": None, "cost": 1.0}
    assert all(line["run"] == "runs/a" and line["seconds"] >= 0 for line in lines)


def test_json_lines_to_stderr_leave_it_open(capsys):
    a_run(telling.JsonLines("-", "a"))
    assert len(capsys.readouterr().err.splitlines()) == 5
    assert not sys.stderr.closed


def test_a_log_that_cannot_be_written_is_refused():
    with pytest.raises(OSError, match="none"):
        telling.JsonLines("/proc/none/log", "a")


def test_bars_name_the_phase_and_how_far_it_is():
    stream = io.StringIO()
    a_run(telling.Bars(stream))
    shown = stream.getvalue()
    assert "space: 8 positions" in shown and "search" in shown
    # Two of four steps: a step that was done already is not counted twice.
    assert "2/4" in shown and "3/4" not in shown


def test_everyone_hears_everything(tmp_path):
    stream = io.StringIO()
    a_run(telling.Everyone([telling.Bars(stream), telling.Scalars(tmp_path), telling.Listener()]))
    assert "2/4" in stream.getvalue()
    assert len((tmp_path / "scalars.csv").read_text().splitlines()) == 5
