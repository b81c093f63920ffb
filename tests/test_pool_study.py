import csv
import dataclasses

import numpy as np
import pytest

from experiments.benchmarks import pool as suite
from experiments.benchmarks import suites
from greennas_jax import pool_study
from greennas_jax.accuracy import evaluated
from greennas_jax.costs import devices, profile, settings
from greennas_jax.spaces import nao_cell_strings as strings

CONFIG = pool_study.StudyConfig()


@pytest.fixture
def table(tmp_path):
    rows = np.random.default_rng(0).integers(0, strings.sizes(), (40, 40))
    # The first two are one function: branches of the first node change sides.
    rows[1] = rows[0]
    rows[0, :4], rows[1, :4] = (0, 1, 1, 2), (1, 2, 0, 1)
    path = tmp_path / "pool.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["arch", "accuracy", "reported_energy"])
        for number, row in enumerate(rows):
            out.writerow([strings.text(row), 0.5 + 0.01 * number, 100 + number])
    return path


def read(table) -> evaluated.Evaluated:
    return evaluated.load(table, CONFIG.space.parse, examples=500)


def test_rows_of_one_function_are_one_architecture(table):
    pool = read(table)
    found = pool_study.architectures(CONFIG.space, pool)
    assert len(found.tokens) == 39 and found.repeats.sum() == 40
    twice = np.flatnonzero(found.repeats == 2)
    # Accuracies 0.50 and 0.51, reported 100 and 101.
    assert found.accuracy[twice] == pytest.approx([0.505])
    assert found.reported[twice] == pytest.approx([100.5])


def test_splits_hold_out_a_tenth():
    taught, held = pool_study.split(592, 0.1, 3)
    assert len(held) == 59 and not set(taught) & set(held)
    assert sorted([*taught, *held]) == list(range(592))
    assert not np.array_equal(held, pool_study.split(592, 0.1, 4)[1])


def test_energies_are_those_of_profiles_and_the_front_is_the_best(table):
    found = pool_study.architectures(CONFIG.space, read(table))
    found = pool_study.Architectures(*(part[:6] for part in found))
    result = pool_study.priced(CONFIG, pool_study.energies(CONFIG), found)
    device, chosen = devices.load("titan_x"), settings.CostSettings()
    joules = np.array(
        [
            profile.profile(CONFIG.space.decode(row), device, chosen)["totals"]["energy_j"]
            for row in found.tokens
        ]
    )
    assert result["energy_mj"]["least"] == pytest.approx(1e3 * joules.min(), rel=1e-9)
    best = [
        i
        for i in np.argsort(joules)
        if not any(
            joules[j] < joules[i] and found.accuracy[j] >= found.accuracy[i] for j in range(6)
        )
    ]
    assert [point["accuracy"] for point in result["front"]] == list(found.accuracy[best])
    assert 1 <= result["reported_front_on_true_front"] <= result["reported_front"]


@pytest.mark.slow
def test_a_small_study(table):
    found = suite.run(suites.Options(table=str(table), seed=1, small=True))
    assert (found["rows"], found["architectures"], found["held_out"]) == (40, 39, 4)
    assert set(found["accuracy"]) == set(pool_study.MODELS)
    for scores in found["accuracy"].values():
        assert 0 <= scores["pairwise"]["mean"] <= 1 and -1 <= scores["spearman"]["mean"] <= 1
    assert found["networks"] == "3 stages of 3 cells from 20 channels"
    assert 0.5 < found["attainable"]["pairwise"] < 1


@pytest.mark.slow
def test_what_is_held_out_teaches_nothing(table):
    found = pool_study.architectures(CONFIG.space, read(table))
    config = dataclasses.replace(CONFIG, **suite.SMALL)
    rows, held = pool_study.split(len(found.tokens), 0.1, 0)
    taught = pool_study.teach(config, pool_study.energies(config), found, rows, 0)
    said = pool_study.predictions(taught, found, rows, 0, config.model.width)
    other = found._replace(accuracy=np.where(np.isin(np.arange(39), held), 0.99, found.accuracy))
    again = pool_study.predictions(taught, other, rows, 0, config.model.width)
    for name, values in said.items():
        np.testing.assert_array_equal(values, again[name])


def test_bad_input():
    with pytest.raises(ValueError, match="--table=FILE"):
        suite.run(suites.Options(small=True))
    with pytest.raises(ValueError, match="splits is 0; allowed: from 1"):
        pool_study.StudyConfig(splits=0)
    with pytest.raises(ValueError, match="held_out is 1; allowed: above 0, below 1"):
        pool_study.StudyConfig(held_out=1)
