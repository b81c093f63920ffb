"""The embedding and the given network's own trainings, side by side."""

import dataclasses
import threading
import time
from types import SimpleNamespace

import pytest

from greennas_jax import checkpoints, groundwork, pipeline
from greennas_jax.accuracy import children
from greennas_jax.pipeline import PipelineConfig
from greennas_jax.report.telling import Listener

CONFIG = PipelineConfig(baseline_seeds=4)


@dataclasses.dataclass(frozen=True, eq=False)
class Trainings:
    """An oracle whose trainings end when they are let, one after the other."""

    begun: threading.Event = dataclasses.field(default_factory=threading.Event)
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)
    fault: Exception | None = None
    progress: object = None
    kind: str = "measured"

    def baseline(self, seeds):
        self.begun.set()
        if self.fault is not None:
            raise self.fault
        for _ in seeds:
            assert self.ended.wait(30)
            self.progress(1)
        return [f"trial {seed}" for seed in seeds]


class Heard(Listener):
    """Writes down what is told."""

    def __init__(self):
        self.told = []

    def phase(self, name, total):
        self.told.append((name, total))

    def did(self, steps):
        self.told.append(steps)


@pytest.fixture
def laid(monkeypatch, tmp_path):
    """Return `lay` with trainings that need no network, and who hears of it."""
    heard = Heard()
    monkeypatch.setattr(children, "Children", Trainings)
    monkeypatch.setattr(checkpoints, "save_arrays", lambda path, tree: None)
    monkeypatch.setattr(
        pipeline,
        "try_given",
        lambda prepared, oracle, config, remember: oracle.baseline(range(config.baseline_seeds)),
    )

    def lay(oracle, embed):
        monkeypatch.setattr(pipeline, "embed", embed)
        return groundwork.lay(None, oracle, CONFIG, tmp_path, tmp_path, heard)

    return lay, heard


def test_trainings_run_while_the_embedding_is_taught_and_are_told_of_after_it(laid):
    lay, heard = laid
    oracle, taught = Trainings(), SimpleNamespace(model=None)

    def embed(prepared, config, progress):
        assert oracle.begun.wait(30), "the trainings wait for the embedding"
        oracle.ended.set()
        return taught

    assert lay(oracle, embed) == (taught, [f"trial {seed}" for seed in range(4)])
    steps = CONFIG.training.steps * CONFIG.training.runs
    assert heard.told[:2] == [("embedding", steps), ("given network", 4)]
    assert sum(heard.told[2:]) == 4


def test_what_stops_the_embedding_is_told_at_once(laid):
    lay, heard = laid
    oracle = Trainings()

    def embed(prepared, config, progress):
        raise OSError("no space left")

    start = time.monotonic()
    with pytest.raises(OSError, match="no space left"):
        lay(oracle, embed)
    # The trainings wait for thirty seconds.
    assert time.monotonic() - start < 20
    oracle.ended.set()
    assert ("given network", 4) not in heard.told


def test_what_stops_a_training_is_told(laid):
    lay, _ = laid
    oracle = Trainings(fault=ValueError("its training comes to numbers that are not finite"))
    with pytest.raises(ValueError, match="not finite"):
        lay(oracle, lambda prepared, config, progress: SimpleNamespace(model=None))
