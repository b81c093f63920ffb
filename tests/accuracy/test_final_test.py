import json

import numpy as np
import pytest
from scipy import stats

from greennas_jax.accuracy import datasets, execution, final_test, training
from greennas_jax.build import flax_network
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import SpecError
from tests.accuracy import test_children

RECIPE = training.Recipe(epochs=3)
CONFIG = final_test.Config(recipe=RECIPE, seeds=(1, 2, 3))


@pytest.fixture(scope="module")
def tiny():
    return paleo_json.read(json.dumps(test_children.TINY))


@pytest.fixture(scope="module")
def narrow(tiny):
    return tiny.replace(
        name="narrow",
        layers=tuple(
            layer.with_attributes(num_outputs=1) if layer.name == "fc1" else layer
            for layer in tiny.layers
        ),
    )


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", (8, 8, 1), 10)


@pytest.fixture(scope="module")
def found(tiny, narrow, data):
    # The validation split must not matter.
    poisoned = data._replace(validation_images=np.full_like(data.validation_images, np.nan))
    return final_test.compare(tiny, narrow, poisoned, max_drop=0.01, config=CONFIG)


def test_interval_is_welchs():
    accuracies = (0.99, 0.985, 0.991, 0.987), (0.97, 0.99, 0.955, 0.981, 0.96)
    sides = [final_test.Sample(accuracies=each) for each in accuracies]
    tested = final_test.FinalTest(
        before=sides[0],
        after=sides[1],
        max_drop=0.01,
        verdict="fails",
        seeds=(0, 1, 2, 3),
        images=100,
        trained=None,
    )
    wanted = stats.ttest_ind(accuracies[1], accuracies[0], equal_var=False).confidence_interval()
    np.testing.assert_allclose(tested.interval, wanted, rtol=1e-9)


@pytest.mark.parametrize(
    "difference, error, expected",
    [
        # Allowed drop 1 point, z 1.645: holds from -1 + 1.645 SE on, fails below -1 - 1.645 SE.
        (-0.00177, 0.005, "holds"),
        (-0.00178, 0.005, "undecided"),
        (-0.01822, 0.005, "undecided"),
        (-0.01823, 0.005, "fails"),
        (-0.0099, 0.0, "holds"),
        (-0.0101, 0.0, "fails"),
        (0.02, 0.0, "holds"),
    ],
)
def test_a_verdict_needs_the_whole_margin(difference, error, expected):
    assert final_test.judge(difference, error, 0.01, 1.645) == expected


def test_a_crippled_network_fails(found):
    assert found.verdict == "fails"
    assert found.before.mean > 0.85 and found.after.mean < 0.5
    assert found.images == 360 and found.seeds == (1, 2, 3)
    before, after = np.asarray(found.before.accuracies), np.asarray(found.after.accuracies)
    assert len(before) == len(after) == 3 and len(set(before)) > 1
    # Accuracies are whole numbers of the 360 test images.
    np.testing.assert_allclose(before * 360, np.round(before * 360), atol=1e-3)
    assert found.difference == pytest.approx(after.mean() - before.mean())
    variances = [np.sum((part - part.mean()) ** 2) / 2 / 3 for part in (before, after)]
    assert found.standard_error == pytest.approx(np.sqrt(sum(variances)))


def test_the_first_seed_leaves_its_network(found, data):
    logits, _ = flax_network.apply(*found.trained, data.test_images)
    right = np.asarray(logits).argmax(-1) == data.test_labels
    assert right.sum() == round(found.after.accuracies[0] * 360)


@pytest.mark.slow
def test_a_network_against_itself_differs_by_nothing(tiny, data, found):
    run = execution.Execution(per_device=1)
    same = final_test.compare(tiny, tiny, data, max_drop=0.1, config=CONFIG, run=run)
    assert same.before == same.after == found.before
    assert same.difference == 0.0 and same.verdict == "holds"


def test_what_cannot_be_compared_is_refused(tiny, data):
    with pytest.raises(ValueError, match="max_drop is -0.1"):
        final_test.compare(tiny, tiny, data, max_drop=-0.1)
    wide = tiny.replace(
        layers=tuple(
            layer.with_attributes(tensor=[32, 9, 9, 1]) if layer.name == "data" else layer
            for layer in tiny.layers
        )
    )
    with pytest.raises(SpecError, match="'tiny' and 'tiny' read different inputs"):
        final_test.compare(tiny, wide, data, max_drop=0.1)
    with pytest.raises(ValueError, match="two or more different ones"):
        final_test.Config(seeds=(1, 1))
    with pytest.raises(ValueError, match="z is 0"):
        final_test.Config(z=0)
