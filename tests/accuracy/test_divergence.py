"""Trainings whose numbers are no longer finite: found out, begun anew, or counted out."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from greennas_jax.accuracy import children, datasets, execution, final_test, oracle, training
from greennas_jax.mesh import arrays
from greennas_jax.spec import paleo_json
from tests.accuracy import test_children

RECIPE = training.Recipe(epochs=1, batch_size=128)
RUN = execution.Execution(per_device=2)


@pytest.fixture(scope="module")
def tiny():
    return paleo_json.read(json.dumps(test_children.TINY))


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", (8, 8, 1), 10)


@pytest.fixture(scope="module")
def measured(tiny, data):
    return children.make(tiny, data, recipe=RECIPE, run=RUN)


def poisoned(measured, bad):
    """Return the oracle with a program in which some seeds come to numbers that are not finite."""
    asked = []

    def program(images, many):
        outcome = measured.program(images, many)
        seeds, active = np.asarray(many[1]), np.asarray(many[3])
        asked.extend(int(seed) for seed in seeds[active])
        return outcome._replace(finite=~np.isin(seeds, bad))

    return dataclasses.replace(measured, program=program), asked


def test_a_sound_training_never_begins_anew(measured, tiny):
    (trial,) = measured.evaluate([tiny], [5])
    assert (trial.restarts, trial.diverged, trial.stopped) == (0, False, False)


def test_a_training_that_diverges_begins_anew_under_another_key_of_the_same_fold(measured, tiny):
    spoilt, asked = poisoned(measured, [6])
    trials = spoilt.evaluate([tiny, tiny], [5, 6])
    renewed = training.restarted(6, 1, training.folds(measured.images))
    assert asked == [5, 6, renewed]
    assert measured.block(renewed) == measured.block(6) and renewed != 6
    (alone,) = measured.evaluate([tiny], [renewed])
    assert trials[1] == alone._replace(restarts=1)
    assert trials[0].restarts == 0 and not trials[1].stopped


def test_a_child_that_always_diverges_is_stopped_and_says_so(measured, tiny):
    bad = [6, *(training.restarted(6, n, training.folds(measured.images)) for n in (1, 2))]
    spoilt, asked = poisoned(measured, bad)
    (trial,) = spoilt.evaluate([tiny], [6])
    assert asked == bad
    assert (trial.restarts, trial.diverged, trial.stopped) == (2, True, True)
    with pytest.raises(ValueError, match="'tiny': its training comes to numbers .* under 3 keys"):
        spoilt.baseline([6])


def test_infinite_steps_are_found_out(tiny, data):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e38)
    broken = children.make(tiny, data, recipe=recipe, run=RUN)
    (trial,) = broken.evaluate([tiny], [0])
    assert trial.diverged and trial.stopped and 0 <= trial.accuracy <= 1
    # It ends at the first check, an epoch's worth at most.
    assert len(trial.curve) == 1


@pytest.mark.slow
def test_the_final_test_begins_a_diverged_training_anew(tiny, data):
    config = final_test.Config(recipe=RECIPE, seeds=(1, 2))
    sound = final_test.compare(tiny, tiny, data, max_drop=0.5, config=config)
    calls = []

    def program(images, many):
        seeds, active = many
        calls.append(seeds[active].tolist())
        count = len(seeds)
        accuracy = np.where(seeds < 10, seeds, 7.0)
        empty = np.zeros((count, 0))
        finite = ~np.isin(seeds, [2])
        return (training.Outcome(empty, accuracy, ~active, seeds, finite), {"w": 1.0 * seeds})

    many = (np.asarray([1, 2, 0]), np.asarray([True, True, False]))
    found, restarted = final_test._run(program, None, many, arrays.of(jax.devices()[:1]))
    assert restarted == 1
    renewed = training.restarted(2, 1, 1)
    assert calls == [[1, 2], [renewed]]
    assert found[0].accuracy[:2].tolist() == [1.0, 7.0]
    assert found[1]["w"][:2].tolist() == pytest.approx([1.0, renewed])
    assert sound.verdict == "holds"
    assert (sound.after.restarted, sound.after.diverged) == (0, 0)
    broken = dataclasses.replace(config, recipe=dataclasses.replace(RECIPE, learning_rate=1e38))
    lost = final_test.compare(tiny, tiny, data, max_drop=0.5, config=broken, before=sound.before)
    assert (lost.after.restarted, lost.after.diverged) == (2, 2)


def test_diverged_trainings_of_the_given_network_set_no_threshold():
    recipe = training.Recipe(epochs=4, checks=(0.5,), margins=(0.1,))
    whole = oracle.Trial(0.9, False, 4.0, (0.5, 0.9))
    cut = oracle.Trial(0.1, True, 2.0, (0.1,), 2, True)
    assert children.stopping_thresholds(recipe, [whole, cut, whole]) == pytest.approx((0.4,))
    assert children.stopping_thresholds(recipe, [cut]) == ()


@pytest.mark.parametrize("seed", [0, 5, 2**31 - 1, 2**31, 2**32 - 1])
def test_restarted_seeds_are_seeds_of_the_same_fold(seed):
    for folds in (1, 4, 5, 7):
        found = [training.restarted(seed, number, folds) for number in (1, 2)]
        assert len({seed, *found}) == 3
        assert all(0 <= each < 2**32 and each % folds == seed % folds for each in found)
