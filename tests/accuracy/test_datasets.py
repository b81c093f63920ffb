import numpy as np
import pytest

from greennas_jax.accuracy import datasets


def _arrays(**changes):
    rng = np.random.default_rng(0)
    found = {
        "x_train": rng.integers(0, 256, (60, 6, 5, 3)).astype(np.uint8),
        "y_train": np.arange(60) % 3,
        "x_test": rng.integers(0, 256, (12, 6, 5, 3)).astype(np.uint8),
        "y_test": np.arange(12) % 3,
    }
    return {key: value for key, value in {**found, **changes}.items() if value is not None}


def _file(tmp_path, **changes):
    path = tmp_path / "own.npz"
    np.savez(path, **_arrays(**changes))
    return str(path)


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


def test_resize_interpolates_between_pixel_centres():
    image = np.asarray([0.0, 1.0], np.float32).reshape(1, 1, 2, 1)
    # Four pixels over two: centres at -0.25, 0.25, 0.75 and 1.25 of the old ones.
    np.testing.assert_allclose(datasets.resize(image, 1, 4).reshape(-1), [0, 0.25, 0.75, 1])
    np.testing.assert_array_equal(datasets.resize(image, 1, 2), image)
    flat = np.full((1, 5, 7, 2), 3, np.float32)
    np.testing.assert_allclose(datasets.resize(flat, 11, 4), np.full((1, 11, 4, 2), 3))


def test_own_file_is_read(tmp_path):
    data = datasets.load(_file(tmp_path), (12, 12, 3), 5)
    assert data.name == "own.npz" and data.classes == 3
    assert data.train_images.shape == (48, 12, 12, 3)
    assert data.validation_images.shape == (12, 12, 12, 3)
    assert np.bincount(data.validation_labels).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(data.test_labels, np.arange(12) % 3)
    grey = datasets.load(
        _file(
            tmp_path,
            x_train=np.random.rand(60, 6, 5),
            x_test=np.random.rand(12, 6, 5),
            y_train=(np.arange(60) % 3)[:, None],
        ),
        (6, 5, 1),
        3,
    )
    assert grey.train_images.shape == (48, 6, 5, 1)


NAN = np.full((60, 6, 5, 3), np.nan)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y_test": None}, "array 'y_test' is missing"),
        ({"x_train": NAN}, "'x_train' has values that are not finite"),
        ({"x_train": np.full((60, 6, 5, 3), "a")}, "'x_train' has type <U1"),
        ({"x_train": np.zeros((60, 5))}, r"'x_train' has shape \[60, 5\]"),
        ({"x_train": np.zeros((60, 0, 5, 3))}, r"'x_train' has shape \[60, 0, 5, 3\]"),
        ({"x_test": np.zeros((12, 7, 5, 3))}, "differ in size"),
        ({"y_train": np.arange(59) % 3}, "59 labels for 60 images"),
        ({"y_train": np.arange(60) % 3 * 1.0}, "'y_train' is float64"),
        ({"y_train": np.arange(60) % 3 - 1}, "labels from -1 to 1; the network tells 4"),
        ({"y_train": np.arange(60) % 7}, "labels from 0 to 6; the network tells 4"),
        ({"y_test": np.full(12, 3)}, "class 3 of 'y_test' is not in 'y_train'"),
        ({"y_train": np.zeros(60, int), "y_test": np.zeros(12, int)}, "one class"),
        ({"x_test": np.zeros((3, 6, 5, 3)), "y_test": np.arange(3)}, "too little data: 60.*3"),
        ({"x_train": np.ones((60, 6, 5, 3))}, "is the same everywhere"),
        (
            {"x_train": np.random.rand(60, 6, 5, 2), "x_test": np.random.rand(12, 6, 5, 2)},
            "images have 2 channels, the network's input .* has 3",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_files_are_named_with_the_reason(tmp_path, changes, message):
    with pytest.raises(datasets.DataError, match=message) as caught:
        datasets.load(_file(tmp_path, **changes), (6, 5, 3), 4)
    assert "\n" not in str(caught.value) and "own.npz" in str(caught.value)


def test_nothing_in_a_file_is_executed(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, **_arrays(x_train=np.asarray([{"a": 1}] * 60, object)))
    with pytest.raises(datasets.DataError, match="not an .npz file of plain arrays"):
        datasets.load(str(path), (6, 5, 3), 4)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(datasets.DataError, match="not an .npz file"):
        datasets.load(str(broken), (6, 5, 3), 4)
    empty = tmp_path / "empty.npz"
    empty.write_bytes(b"")
    with pytest.raises(datasets.DataError, match="not an .npz file"):
        datasets.load(str(empty), (6, 5, 3), 4)
    single = tmp_path / "single.npz"
    with open(single, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(datasets.DataError, match="not an .npz file"):
        datasets.load(str(single), (6, 5, 3), 4)


def test_unknown_names_and_too_few_outputs_are_refused(tmp_path):
    with pytest.raises(
        datasets.DataError, match="'mnist' is not known; allowed: digits, parity, copy, br"
    ):
        datasets.load("mnist", (28, 28, 1), 10)
    with pytest.raises(datasets.DataError, match="10 classes; the network tells 5 apart"):
        datasets.load("digits", (28, 28, 1), 5)
    with pytest.raises(OSError):
        datasets.load(str(tmp_path / "absent.npz"), (28, 28, 1), 10)


def _own_tokens(tmp_path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 9, (60, 7)),
        "x_test": rng.integers(0, 9, (12, 7)),
        **changes,
    }
    return _file(tmp_path, **arrays)


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


def test_own_tokens_are_read(tmp_path):
    data = datasets.load(_own_tokens(tmp_path), (7,), 3, vocabulary=9)
    assert data.train_images.shape == (48, 7) and data.train_images.dtype == np.int32
    assert data.train_images.max() == 8 and data.test_images.shape == (12, 7)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"x_train": np.zeros((60, 7))},
            r"'x_train' is float64 \[60, 7\]; the network reads whole",
        ),
        ({"x_test": np.zeros((12, 6), int)}, r"'x_test' is int64 \[12, 6\].*numbers \[N, 7\]"),
        ({"x_train": np.full((60, 7), 9)}, "tokens from 9 to 9; the network's vocabulary goes fr"),
        ({"x_test": np.full((12, 7), -1)}, "'x_test' has tokens from -1 to -1"),
    ],
)
def test_unusable_tokens_are_named_with_the_reason(tmp_path, changes, message):
    with pytest.raises(datasets.DataError, match=message):
        datasets.load(_own_tokens(tmp_path, **changes), (7,), 3, vocabulary=9)


def test_data_of_the_other_kind_are_refused():
    with pytest.raises(datasets.DataError, match="digits: images; the network reads token num"):
        datasets.load("digits", (16,), 10, vocabulary=6)
    with pytest.raises(
        datasets.DataError, match=r"copy: sequences .*; the network reads \[8, 8, 1"
    ):
        datasets.load("copy", (8, 8, 1), 10)
    with pytest.raises(datasets.DataError, match="'parity' has too few different sequences of 8"):
        datasets.load("parity", (8,), 2, vocabulary=6)
