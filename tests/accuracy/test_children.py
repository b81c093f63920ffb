import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from greennas_jax.accuracy import children, datasets, execution, oracle, training
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError
from tests.accuracy import random_variants

RECIPE = training.Recipe(epochs=4, batch_size=32)

TINY = {
    "name": "tiny",
    "layers": {
        "data": {"type": "Input", "parents": [], "tensor": [32, 8, 8, 1]},
        "conv": {
            "type": "Convolution",
            "parents": ["data"],
            "filter": [3, 3, 1, 8],
            "strides": [1, 1, 1, 1],
            "padding": "VALID",
            "activation_fn": "relu",
        },
        "pool": {
            "type": "Pooling",
            "parents": ["conv"],
            "ksize": [1, 2, 2, 1],
            "strides": [1, 2, 2, 1],
            "padding": "VALID",
        },
        "fc1": {
            "type": "InnerProduct",
            "parents": ["pool"],
            "num_outputs": 32,
            "activation_fn": "relu",
        },
        "fc2": {"type": "InnerProduct", "parents": ["fc1"], "num_outputs": 10},
        "softmax": {"type": "Softmax", "parents": ["fc2"], "num_classes": 10},
    },
}


@pytest.fixture(scope="module")
def tiny():
    return paleo_json.read(json.dumps(TINY))


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", (8, 8, 1), 10)


@pytest.fixture(scope="module")
def measured(tiny, data):
    return children.make(tiny, data, recipe=RECIPE, run=execution.Execution(per_device=4))


@pytest.fixture(scope="module")
def baseline(measured):
    return measured.baseline([11, 12, 13])


def test_consecutive_seeds_hold_out_consecutive_folds(measured, data):
    folds = training.folds(measured.images)
    assert folds == 4
    assert [measured.block(seed) for seed in (11, 12, 13, 15)] == [3, 0, 1, 3]


@pytest.mark.slow
def test_only_the_held_out_fold_decides(tiny, data, measured, baseline):
    """Nonsense labels of fold 0 spoil the accuracy of the seeds that hold it out to nothing."""
    wrong = data._replace(validation_labels=(data.validation_labels + 1) % 10)
    spoilt = children.make(tiny, wrong, recipe=RECIPE, run=execution.Execution(per_device=4))
    held, trained = spoilt.baseline([12, 13])
    assert held.accuracy < 0.1
    assert trained.accuracy > 0.5


def test_given_network_learns(baseline):
    for trial in baseline:
        assert trial.accuracy > 0.9
        assert trial.epochs == RECIPE.epochs and not trial.stopped
        assert len(trial.curve) == 4 and trial.curve[-1] == trial.accuracy
    assert len({trial.curve for trial in baseline}) == 3


def test_a_trial_depends_on_network_and_seed_alone(measured, tiny, baseline):
    networks = [random_variants.random_variant(tiny, seed) for seed in range(1, 6)]
    together = measured.evaluate([*networks, tiny], [1, 2, 3, 4, 5, 12])
    assert measured.evaluate(networks[3:4], [4]) == together[3:4]
    assert measured.evaluate([tiny, *networks[::-1]], [12, 5, 4, 3, 2, 1]) == together[::-1]
    # Six networks fill one call of the program and half a second one.
    assert together[5] == baseline[1]
    assert measured.evaluate(networks[:1], [9]) != together[:1]


def test_margins_are_wider_where_gathered_statistics_scatter():
    recipe = training.Recipe()
    curves = [(0.90, 0.95, 0.97, 0.98), (0.80, 0.95, 0.99, 0.99)]
    trials = [oracle.Trial(curve[-1], False, 8.0, curve) for curve in curves]
    plain = children.stopping_thresholds(recipe, trials)
    np.testing.assert_allclose(plain, [0.85 - 0.08, 0.95 - 0.05, 0.98 - 0.03])
    # Standard deviations 0.0707, 0 and 0.0141.
    wide = children.stopping_thresholds(recipe, trials, 6.0)
    np.testing.assert_allclose(wide, [0.85 - 0.6 / 2**0.5, 0.90, 0.98 - 0.12 / 2**0.5])
    assert children.stopping_thresholds(recipe, trials[:1], 6.0)[0] == pytest.approx(0.82)


@pytest.mark.parametrize(
    ("name", "keeps"), [("mobilenet_v1", True), ("resnet8_digits", True), ("lenet5", False)]
)
def test_networks_that_gather_statistics_are_known(specs, name, keeps):
    assert children.keeps_statistics(paleo_json.load(specs / f"{name}.json")) is keeps


def test_children_far_below_the_given_curve_are_stopped(measured, tiny, baseline):
    narrow = tiny.replace(
        layers=tuple(
            layer.with_attributes(num_outputs=1) if layer.name == "fc1" else layer
            for layer in tiny.layers
        )
    )
    careful = measured.after_baseline(baseline)
    curve = np.mean([trial.curve[:3] for trial in baseline], axis=0)
    np.testing.assert_allclose(careful.thresholds, curve - [0.08, 0.05, 0.03])
    whole = measured.evaluate([narrow], [1])[0]
    assert whole.accuracy < 0.5 and not whole.stopped
    stopped, kept = careful.evaluate([narrow, tiny], [1, 12])
    assert stopped.stopped and stopped.epochs == 1.0
    assert stopped.curve == whole.curve[:1] and stopped.accuracy == whole.curve[0]
    assert kept == baseline[1]
    # The baseline itself is never stopped.
    assert careful.baseline([11, 12, 13]) == baseline


def test_progress_counts_every_training(tiny, data, measured):
    counted = []
    told = dataclasses.replace(measured, progress=counted.append)
    size = measured.over.size * 4
    told.baseline(range(size + 1))
    assert counted == [size, 1]


def test_the_test_split_is_not_read(tiny, data, measured, baseline):
    poisoned = data._replace(test_images=np.full_like(data.test_images, np.nan))
    again = children.make(tiny, poisoned, recipe=RECIPE, run=execution.Execution(per_device=4))
    found = again.images
    np.testing.assert_array_equal(found.images[found.held], data.validation_images)
    np.testing.assert_array_equal(found.images[found.train], data.train_images)
    assert len(found.labels) == len(data.validation_labels) + len(data.train_labels)


@pytest.mark.slow
def test_side_by_side_agrees_with_one_after_the_other(tiny, data, baseline):
    run = execution.Execution(together="vmap", method="lax", per_device=2)
    beside = children.make(tiny, data, recipe=RECIPE, run=run).baseline([11, 12])
    # Other sums round differently, and training amplifies it: within a few of 359 images.
    for one, other in zip(beside, baseline, strict=False):
        assert abs(one.accuracy - other.accuracy) < 0.02


@pytest.mark.slow
def test_two_devices_share_the_work_and_change_nothing(baseline):
    program = f"""
import json, jax
jax.config.update("jax_num_cpu_devices", 2)
from greennas_jax.accuracy import children, datasets, execution, training
from greennas_jax.spec import paleo_json
network = paleo_json.read({json.dumps(TINY)!r})
data = datasets.load("digits", (8, 8, 1), 10)
measured = children.make(network, data, recipe=training.Recipe(epochs=4, batch_size=32),
                         run=execution.Execution(per_device=2))
assert measured.over.size == 2
print(json.dumps([trial.curve for trial in measured.baseline([11, 12, 13])]))
"""
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    assert [tuple(curve) for curve in json.loads(done.stdout)] == [t.curve for t in baseline]


def test_what_does_not_fit_is_refused(tiny, data, measured):
    with pytest.raises(SpecError, match=r"'tiny' reads \[8, 8, 1\].*'digits' has images \[9, 8"):
        children.make(tiny, data._replace(train_images=np.zeros((50, 9, 8, 1), np.float32)))
    with pytest.raises(SpecError, match="10 classes apart; data set .* and 11 classes"):
        children.make(tiny, data._replace(classes=11))
    with pytest.raises(ValueError, match="1 seeds for 2 networks; one each needed"):
        measured.evaluate([tiny, tiny], [1])
    with pytest.raises(ValueError, match="seed -1: from 0 to"):
        measured.evaluate([tiny], [-1])
    assert measured.kind == "measured" and measured.evaluate([], []) == []


def test_digits_are_not_mirrored(tiny, data):
    with pytest.raises(ValueError, match="recipe.flip is True; mirrored images of 'digits' mean"):
        children.make(tiny, data, recipe=training.Recipe(flip=True))


def test_executions_are_checked():
    with pytest.raises(ValueError, match="together is 'pmap'; allowed: map, vmap"):
        execution.Execution(together="pmap")
    with pytest.raises(ValueError, match="convolution is 'fft'"):
        execution.Execution(method="fft")
    with pytest.raises(ValueError, match="per_device is 0"):
        execution.Execution(per_device=0)
    assert sorted(execution.dealt(6, 2).tolist()) == list(range(6))
    # Two devices hold the first and second half: neighbours are in different ones.
    assert execution.dealt(6, 2).tolist() == [0, 2, 4, 1, 3, 5]


def test_seed_checks_accept_the_largest():
    oracle.check_seeds(2, [0, 2**32 - 1])
    with pytest.raises(ValueError, match="seed 4294967296"):
        oracle.check_seeds(1, [2**32])
