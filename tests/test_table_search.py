import csv
import dataclasses

import pytest

from greennas_jax import table_search
from greennas_jax.nao.latent_search import LatentConfig
from greennas_jax.nao.model import ModelConfig
from greennas_jax.nao.training import TrainingConfig
from greennas_jax.report import telling
from greennas_jax.search.front_search import FrontConfig
from greennas_jax.search.tabular import TabularConfig
from tests.search import tabulated

pytestmark = pytest.mark.slow

BUDGET, SEEDS = 14, range(2, 4)


class Hearing(telling.Listener):
    """Stops the search, as a kill would, at one of its steps."""

    def __init__(self, stop_at=None):
        self.heard, self._stop_at = [], stop_at

    def phase(self, name, total):
        self.heard.append((name, total))

    def reach(self, step, **figures):
        self.heard.append(step)
        if len(self.heard) == self._stop_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def request_of_nao(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    path.write_text(tabulated.text())
    latent = LatentConfig(restarts=4, steps=2, paths="heads")
    return table_search.Request(
        space="nasbench201",
        table=str(path),
        columns=tabulated.COLUMNS,
        config=TabularConfig(budget=BUDGET, batch=3, singly=8),
        front=dataclasses.replace(FrontConfig(), latent=latent, most=100),
        model=ModelConfig(width=8, hidden=8),
        training=TrainingConfig(pool=64, steps=4, batch=8, runs=1),
    )


def searched(request, workdir, listener=None):
    problem = table_search.problem(request)
    (workdir / "checkpoints").mkdir(parents=True, exist_ok=True)
    table_search.run(request, problem, SEEDS, workdir, listener)
    return (workdir / "queries.csv").read_bytes()


def test_the_embedding_search_goes_on_where_it_was_stopped(request_of_nao, tmp_path):
    whole = Hearing()
    expected = searched(request_of_nao, tmp_path / "whole", whole)
    assert whole.heard == [("seed 2", 14), 5, 6, 7, 8, 11, 14, ("seed 3", 14), 5, 6, 7, 8, 11, 14]
    rows = list(csv.DictReader(expected.decode().splitlines()))
    assert [(row["seed"], row["step"]) for row in rows] == [
        (str(seed), str(step)) for seed in SEEDS for step in range(1, BUDGET + 1)
    ]
    # Before the first query is logged, later on, and in the second seed.
    for stop_at in (2, 5, 7):
        with pytest.raises(KeyboardInterrupt):
            searched(request_of_nao, tmp_path / "cut", Hearing(stop_at))
    assert searched(request_of_nao, tmp_path / "cut") == expected
    kept = [tmp_path / name / "checkpoints" / "embedding.safetensors" for name in ("whole", "cut")]
    assert kept[0].read_bytes() == kept[1].read_bytes()


def test_it_goes_on_without_its_embedding_and_within_a_line(request_of_nao, tmp_path):
    expected = searched(request_of_nao, tmp_path)
    (tmp_path / "queries.csv").write_bytes(expected[: len(expected) * 2 // 3])
    (tmp_path / "checkpoints" / "embedding.safetensors").unlink()
    assert searched(request_of_nao, tmp_path) == expected
