import numpy as np

from greennas_jax.accuracy.data import splits


def test_every_stretch_has_all_classes_in_proportion():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    order = splits.stratified_order(labels, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(160))
    for start in range(0, 160, 32):
        # A fifth of each class, give or take the one that the stretch's edges cut.
        counts = np.bincount(labels[order[start : start + 32]], minlength=3)
        assert (np.abs(counts - [20, 10, 2]) <= 1).all()


def test_order_follows_the_generator_alone():
    labels = np.arange(40) % 4
    first, again, other = (
        splits.stratified_order(labels, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)
    )
    assert first == again != other
