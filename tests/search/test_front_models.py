import jax.numpy as jnp
import numpy as np

from greennas_jax.nao import evidence
from greennas_jax.search import front_models
from greennas_jax.search.front_models import Part
from greennas_jax.spaces import nasbench201

SPACE = nasbench201.CellSpace()


def test_pairs_mark_choices_and_neighbouring_pairs():
    tokens = np.asarray([[0, 0, 0, 0, 0, 0], [1, 0, 2, 0, 0, 0], [1, 0, 0, 0, 0, 3]])
    found = front_models.pairs(SPACE, tokens)
    # 6 positions of 4 choices beside the first; pairs of positions of one step or neighbouring
    # ones: of the 15 pairs, those of the first step with the three of the last are missing.
    assert found.shape == (3, 1 + 6 * 4 + (15 - 3) * 16)
    # The constant alone; it, two choices and half a pair; it and two choices of steps apart.
    np.testing.assert_allclose(found.sum(1), [1.0, 3.5, 3.0])
    assert (found[:, 0] == 1).all()


def test_a_part_sees_its_own_columns():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 3))
    model = evidence.fit(rows, rows[:, 0] + 0.1 * rng.normal(size=20), 32)
    wide = np.concatenate([rng.normal(size=(20, 2)), rows, rng.normal(size=(20, 4))], axis=1)
    part = Part(model, 2, 5)
    features = jnp.asarray(wide, jnp.float32)
    own = jnp.asarray(rows, jnp.float32)
    for one, other in zip(part.predict(features), model.predict(own), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(part.joint(features), model.joint(own), strict=True):
        np.testing.assert_array_equal(one, other)
    assert part.noise() == model.noise()


def test_a_space_without_labels_is_the_space_otherwise():
    plain = front_models.Unlabelled(SPACE)
    tokens = SPACE.every()[:7]
    assert plain.labels(tokens).shape == (7, 0)
    np.testing.assert_array_equal(plain.sizes, SPACE.sizes)
    np.testing.assert_array_equal(plain.canonical(tokens), tokens)
