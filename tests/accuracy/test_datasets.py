import numpy as np
import pytest

from greennas_jax.accuracy import datasets


def test_digits_are_split_in_proportion_and_standardised():
    data = datasets.load("digits", (28, 28, 1), 10)
    sizes = [
        len(labels) for labels in (data.train_labels, data.validation_labels, data.test_labels)
    ]
    # One validation image is 1 / 359 = 0.28 points.
    assert sizes == [1078, 359, 360]
    for labels in (data.train_labels, data.validation_labels, data.test_labels):
        shares = np.bincount(labels, minlength=10) / len(labels)
        # Each of the ten classes has 174 to 183 of 1797 images.
        assert shares.min() > 0.09 and shares.max() < 0.11
    assert data.train_images.shape == (1078, 28, 28, 1)
    assert data.train_images.dtype == np.float32 and data.train_labels.dtype == np.int32
    np.testing.assert_allclose(data.train_images.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(data.train_images.std(), 1, atol=1e-4)
    assert data.classes == 10


def test_splits_are_disjoint_repeatable_and_differ_by_seed():
    first, again, other = (datasets.digits((8, 8, 1), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test_images, again.test_images)
    assert not np.array_equal(first.test_images, other.test_images)
    rows = np.concatenate(
        [
            part.reshape(len(part), -1)
            for part in (first.train_images, first.validation_images, first.test_images)
        ]
    )
    assert len(rows) == 1797
    # The 1797 digits have no two equal images, so every one is in exactly one split.
    assert len(np.unique(rows, axis=0)) == 1797


def test_channels_are_repeated_and_features_flattened():
    colour = datasets.digits((8, 8, 3))
    assert colour.train_images.shape == (1078, 8, 8, 3)
    np.testing.assert_array_equal(colour.train_images[..., 0], colour.train_images[..., 2])
    assert datasets.digits((64,)).test_images.shape == (360, 64)
    with pytest.raises(datasets.DataError, match="not the 100 features"):
        datasets.digits((100,))


def test_unknown_names_and_too_few_outputs_are_refused(tmp_path):
    with pytest.raises(
        datasets.DataError, match="'mnist' is not known; allowed: digits, parity, copy, br"
    ):
        datasets.load("mnist", (28, 28, 1), 10)
    with pytest.raises(datasets.DataError, match="10 classes; the network tells 5 apart"):
        datasets.load("digits", (28, 28, 1), 5)
    with pytest.raises(datasets.DataError, match="or of CIFAR's binary files, or tfds:NAME"):
        datasets.load(str(tmp_path / "absent"), (28, 28, 1), 10)


def test_sequence_tasks_are_split_without_a_sequence_twice():
    data = datasets.load("brackets", (16,), 2, vocabulary=6)
    parts = (data.train_images, data.validation_images, data.test_images)
    assert [part.shape for part in parts] == [(3000, 16), (1000, 16), (1000, 16)]
    assert {part.dtype for part in parts} == {np.dtype(np.int32)}
    assert len(np.unique(np.concatenate(parts), axis=0)) == 5000
    assert data.classes == 2 and data.name == "brackets"
    for labels in (data.train_labels, data.validation_labels, data.test_labels):
        assert abs(labels.mean() - 0.5) < 0.05
    assert datasets.load("parity", (16,), 10, vocabulary=3).classes == 2


def test_default_fits_what_the_network_reads():
    assert datasets.load("default", (8, 8, 1), 10).name == "digits"
    assert datasets.load("default", (12,), 2, vocabulary=8).name == "brackets"


def test_rows_of_an_image_may_be_a_sequence():
    rows = datasets.digits((8, 8)).train_images
    assert rows.shape == (1078, 8, 8)
    np.testing.assert_array_equal(rows, datasets.digits((8, 8, 1)).train_images[..., 0])


def test_data_of_the_other_kind_are_refused(tmp_path):
    with pytest.raises(datasets.DataError, match="digits: images; the network reads token num"):
        datasets.load("digits", (16,), 10, vocabulary=6)
    for name in (str(tmp_path), "tfds:mnist"):
        with pytest.raises(datasets.DataError, match="images; the network reads token numbers"):
            datasets.load(name, (16,), 10, vocabulary=6)
    with pytest.raises(
        datasets.DataError, match=r"copy: sequences .*; the network reads \[8, 8, 1"
    ):
        datasets.load("copy", (8, 8, 1), 10)
    with pytest.raises(datasets.DataError, match="'parity' has too few different sequences of 8"):
        datasets.load("parity", (8,), 2, vocabulary=6)
