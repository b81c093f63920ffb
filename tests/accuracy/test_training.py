import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.accuracy import recipes, training


def _linear(trainable, statistics, images, training_mode, key):
    return images.reshape(images.shape[0], -1) @ trainable, statistics


@pytest.fixture(scope="module")
def images():
    """Two classes that a line tells apart, 70 to train on and 30 held out."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100)
    points = rng.normal(0, 0.3, (100, 1, 1, 2)) + (2 * labels - 1)[:, None, None, None]
    points = points.astype(np.float32)
    labels = labels.astype(np.int32)
    return training.joined((points[:70], labels[:70]), (points[70:], labels[70:]))


@pytest.fixture(scope="module")
def train(images):
    recipe = training.Recipe(epochs=4, batch_size=10, learning_rate=0.1)

    @jax.jit
    def train(thresholds, active, key):
        return training.train(
            _linear, jnp.zeros((2, 2)), {}, recipe, images, key, thresholds, active, 7
        )

    return train


def test_folds_hold_each_image_out_once(images):
    assert training.folds(images) == 3
    held = []
    for fold in range(3):
        part = training.folded(images, jnp.asarray(fold))
        assert sorted([*part.train.tolist(), *part.held.tolist()]) == list(range(100))
        held += part.held.tolist()
    assert part.held.shape == (30,)
    assert sorted(held) == list(range(10, 100))
    np.testing.assert_array_equal(training.folded(images, jnp.asarray(0)).held, images.held)


def test_training_learns_and_reports_every_check(train):
    outcome, trained, _ = train(jnp.full(3, -jnp.inf), True, jax.random.key(0))
    assert outcome.accuracy > 0.95
    assert not outcome.stopped
    assert outcome.steps == 4 * 7
    np.testing.assert_array_equal(np.isfinite(outcome.curve), [True] * 4)
    assert outcome.curve[3] == outcome.accuracy


def test_child_below_a_threshold_is_stopped_there(train):
    outcome, _, _ = train(jnp.asarray([0.0, 1.1, 0.0]), True, jax.random.key(0))
    # The second check is after half of 28 steps.
    assert outcome.stopped and outcome.steps == 14
    np.testing.assert_array_equal(np.isfinite(outcome.curve), [True, True, False, False])
    assert outcome.accuracy == outcome.curve[1]
    whole, _, _ = train(jnp.full(3, -jnp.inf), True, jax.random.key(0))
    np.testing.assert_array_equal(outcome.curve[:2], whole.curve[:2])


def test_inactive_child_takes_no_step(train):
    outcome, trained, _ = train(jnp.full(3, -jnp.inf), False, jax.random.key(0))
    assert outcome.steps == 0
    np.testing.assert_array_equal(trained, np.zeros((2, 2)))


def test_each_epoch_shows_every_image_at_most_once_in_its_own_order():
    recipe = training.Recipe(epochs=3, batch_size=8)
    order = np.asarray(training.batches(recipe, 30, jax.random.key(0)))
    assert order.shape == (9, 8)
    epochs = order.reshape(3, 24)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 24
    assert not np.array_equal(epochs[0], epochs[1])
    small = training.batches(recipe, 5, jax.random.key(0))
    assert sorted(np.asarray(small[0]).tolist()) == [0, 1, 2, 3, 4]


def test_accuracy_is_a_mean_over_all_images_whatever_the_batch():
    logits = np.asarray(jax.random.normal(jax.random.key(0), (34, 1, 1, 4)))
    labels = np.asarray(jax.random.randint(jax.random.key(1), (34,), 0, 4))
    expected = np.mean(logits[5:, 0, 0].argmax(-1) == labels[5:])
    images = training.joined((logits[:5], labels[:5]), (logits[5:], labels[5:]))

    def predict(images):
        return images[:, 0, 0]

    for size in (1, 8, 29, 100):
        found = jax.jit(training.accuracy, static_argnums=(0, 2))(predict, images, size)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_shifted_images_are_moved_whole_and_at_most_so_far():
    images = jnp.zeros((200, 9, 9, 1)).at[:, 4, 4].set(1.0)
    moved = np.asarray(training.shifted(images, 0.25, jax.random.key(0)))[..., 0]
    places = {tuple(np.argwhere(image)[0] - 4) for image in moved}
    # A quarter of nine is two pixels, each way and on both axes.
    assert places == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    np.testing.assert_array_equal(moved.sum(axis=(1, 2)), 1.0)


def test_shift_repeats_the_edge_and_leaves_features_alone():
    ramp = jnp.broadcast_to(jnp.arange(5.0)[None, :, None, None], (50, 5, 5, 1))
    moved = np.asarray(training.shifted(ramp, 0.2, jax.random.key(1)))[:, :, 0, 0]
    assert {tuple(row) for row in moved} == {(0, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 4)}
    features = jnp.ones((4, 7))
    assert training.shifted(features, 0.5, jax.random.key(0)) is features
    assert training.shifted(ramp, 0.0, jax.random.key(0)) is ramp


def test_flipped_images_are_mirrored_left_for_right_or_as_they_were():
    images = np.random.default_rng(0).normal(size=(400, 3, 4, 2)).astype(np.float32)
    found = np.asarray(training.flipped(jnp.asarray(images), jax.random.key(0)))
    mirrored = (found == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (found == images).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    # 400 fair coins: 200 give or take five deviations of 10.
    assert 150 < mirrored.sum() < 250
    again = training.flipped(jnp.asarray(images), jax.random.key(0))
    np.testing.assert_array_equal(found, again)
    features = jnp.ones((4, 7))
    assert training.flipped(features, jax.random.key(0)) is features


def test_flips_are_for_training_images_alone_and_seeded():
    # Picture n is n + 1 in one column, by its label; mirrored, it is in the other one.
    labels = (np.arange(80) % 2).astype(np.int32)
    pictures = np.zeros((80, 2, 2, 1), np.float32)
    pictures[np.arange(80), :, labels] = np.arange(1, 81)[:, None, None]
    images = training.joined((pictures[:60], labels[:60]), (pictures[60:], labels[60:]))
    recipe = training.Recipe(
        epochs=1, batch_size=20, learning_rate=0.1, shift=0.0, flip=True, checks=(), margins=()
    )

    def apply(trainable, statistics, batch, training_mode, key):
        sides = batch[:, 0, :, 0]
        return sides * trainable, (batch if training_mode else statistics)

    @jax.jit
    def last_batch(seed):
        key, bars = jax.random.key(seed), np.zeros(0, np.float32)
        start = (jnp.ones(2), jnp.zeros((20, 2, 2, 1)))
        outcome, _, seen = training.train(apply, *start, recipe, images, key, bars, True, 20)
        return outcome.accuracy, seen[:, 0, :, 0]

    (accuracy, first), (_, again), (_, other) = (last_batch(seed) for seed in (0, 0, 1))
    numbers = np.asarray(first).max(axis=1).astype(int) - 1
    mirrored = np.asarray(first).argmax(axis=1) != labels[numbers]
    assert (numbers < 60).all() and 0 < mirrored.sum() < 20
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # Held-out pictures are told by their side, so not one of them was mirrored.
    assert accuracy == 1.0


def test_smoothed_loss_is_least_at_the_smoothed_label():
    logits, label = jnp.log(jnp.asarray([[0.925, 0.025, 0.025, 0.025]])), jnp.asarray([0])
    entropy = -(0.925 * np.log(0.925) + 0.075 * np.log(0.025))
    np.testing.assert_allclose(training.loss(logits, label, 0.1), entropy, rtol=1e-5)
    assert training.loss(3 * logits, label, 0.1) > training.loss(logits, label, 0.1)


def test_checks_and_learning_rate_follow_the_recipe():
    recipe = training.Recipe(epochs=8, batch_size=32, learning_rate=6e-3)
    # 1078 images make 33 full batches; 8 epochs 264 steps.
    assert training.check_steps(recipe, 1078) == (66, 132, 198, 264)
    optimizer = training.optimizer(recipe, 1078)
    state = optimizer.init(jnp.zeros(()))

    @jax.jit
    def step(state):
        change, state = optimizer.update(jnp.ones(()), state)
        return -change, state

    rates = []
    for _ in range(264):
        rate, state = step(state)
        rates.append(float(rate))
    # Under a constant gradient Adam's step is the learning rate: up in 26 steps, then down to 0.
    np.testing.assert_allclose(rates[0], 6e-3 / 26, rtol=1e-3)
    np.testing.assert_allclose(max(rates), 6e-3, rtol=1e-3)
    assert np.argmax(rates) in (25, 26)
    np.testing.assert_allclose(rates[145], 6e-3 * (264 - 145) / (264 - 26), rtol=1e-2)
    assert rates[-1] < 6e-3 / 200


def changes_of(recipe, gradient, weight, images=320):
    optimizer = training.optimizer(recipe, images)
    state, found = optimizer.init(jnp.asarray(weight)), []
    for _ in range(training.check_steps(recipe, images)[-1]):
        change, state = jax.jit(optimizer.update)(jnp.asarray(gradient), state, jnp.asarray(weight))
        found.append(float(change))
    return np.array(found)


# Ten steps, the first at the full rate.
TEN = {
    "epochs": 1,
    "batch_size": 32,
    "learning_rate": 0.5,
    "warmup": 0.0,
    "checks": (),
    "margins": (),
}


def test_cosine_falls_from_the_full_rate_through_its_half_to_nothing():
    found = -changes_of(training.Recipe(schedule="cosine", **TEN), 1.0, 0.0)
    wanted = 0.5 * 0.5 * (1 + np.cos(np.pi * np.arange(9) / 9))
    np.testing.assert_allclose(found, [0.5, *wanted], rtol=1e-4)


def test_descent_has_nesterovs_momentum_and_clipped_gradients():
    recipe = training.Recipe(optimizer="sgd", beta1=0.5, clipping=2.0, **TEN)
    found = -changes_of(recipe, 8.0, 0.0)
    # Clipped to 2; trace 2, 3, ...; the step looks ahead: 2 + trace / 2.
    np.testing.assert_allclose(found[:2], [0.5 * 3.0, 0.5 * 3.5], rtol=1e-6)


@pytest.mark.parametrize("optimizer", recipes.OPTIMIZERS)
def test_weights_decay_apart_from_the_gradient(optimizer):
    recipe = training.Recipe(optimizer=optimizer, weight_decay=0.25, **TEN)
    found = changes_of(recipe, 0.0, 8.0)
    np.testing.assert_allclose(found[0], -0.5 * 0.25 * 8.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"optimizer": "lion"}, "'lion'; known are adam, sgd"),
        ({"schedule": "steps"}, "'steps'; known are linear, cosine"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
    ],
)
def test_unknown_recipes_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        training.Recipe(**wrong)


def test_one_logit_stands_against_zero():
    logits = jnp.asarray([[2.0], [-1.0]])
    np.testing.assert_array_equal(training.correct(logits, jnp.asarray([1, 0])), [1, 1])
    # -log sigmoid(2) and -log sigmoid(1).
    expected = (np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))) / 2
    np.testing.assert_allclose(training.loss(logits, jnp.asarray([1, 0])), expected, rtol=1e-6)
