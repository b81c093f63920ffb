import pickle
import struct
import zipfile

import numpy as np
import pytest

from greennas_jax.accuracy import datasets
from tests.accuracy.data import examples


def test_own_file_is_read(tmp_path):
    data = datasets.load(examples.npz(tmp_path), (6, 5, 3), 3)
    assert data.name == "own.npz" and data.classes == 3 and data.notes == ()
    assert data.train_images.shape == (48, 6, 5, 3)
    assert data.validation_images.shape == (12, 6, 5, 3)
    assert np.bincount(data.validation_labels).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(data.test_labels, np.arange(12) % 3)
    grey = datasets.load(
        examples.npz(
            tmp_path,
            x_train=np.random.rand(60, 6, 5),
            x_test=np.random.rand(12, 6, 5),
            y_train=(np.arange(60) % 3)[:, None],
        ),
        (6, 5, 1),
        3,
    )
    assert grey.train_images.shape == (48, 6, 5, 1)


def test_images_are_standardised_by_the_training_split_alone(tmp_path):
    # Test images far brighter than the others must not move the mean.
    bright = np.full((12, 6, 5, 3), 255, np.uint8)
    bright[0, 0, 0] = 0
    data = datasets.load(examples.npz(tmp_path, x_test=bright), (6, 5, 3), 3)
    np.testing.assert_allclose(data.train_images.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(data.train_images.std(axis=(0, 1, 2)), 1, atol=1e-5)
    known = examples.arrays()["x_train"].astype(np.float64)
    # Uniform bytes have mean 127.5 and deviation 73.9, so white stands near 1.73.
    assert 1.6 < data.test_images[1:].min() <= data.test_images.max() < 1.85
    restored = np.concatenate([data.train_images, data.validation_images])
    scale = np.ptp(restored, axis=(0, 1, 2)) / np.ptp(known, axis=(0, 1, 2))
    np.testing.assert_allclose(1 / scale, 73.9, rtol=0.03)


def test_images_of_another_size_are_resized_if_asked_for(tmp_path):
    path = examples.npz(tmp_path)
    with pytest.raises(
        datasets.DataError,
        match=r"own.npz: images are \[6, 5, 3\], the network reads \[12, 12, 3\]; "
        "--config.resize=true resizes them",
    ):
        datasets.load(path, (12, 12, 3), 3)
    data = datasets.load(path, (12, 12, 3), 3, resize=True)
    assert data.train_images.shape == (48, 12, 12, 3)
    assert data.test_images.shape == (12, 12, 12, 3)


def test_missing_test_split_is_cut_in_proportion_and_repeatably(tmp_path):
    labels = np.repeat([0, 1], [40, 20])
    path = examples.npz(tmp_path, y_train=labels, x_test=None, y_test=None)
    data, again = (datasets.load(path, (6, 5, 3), 2) for _ in range(2))
    other = datasets.load(path, (6, 5, 3), 2, seed=1)
    # 60 images: 12 of them for the test and 12 for validation, two thirds of class 0.
    counts = [
        np.bincount(part).tolist()
        for part in (data.train_labels, data.validation_labels, data.test_labels)
    ]
    assert counts == [[24, 12], [8, 4], [8, 4]]
    np.testing.assert_array_equal(data.test_images, again.test_images)
    np.testing.assert_array_equal(data.train_images, again.train_images)
    assert not np.array_equal(data.test_images, other.test_images)
    rows = [data.train_images, data.validation_images, data.test_images]
    assert len(np.unique(np.concatenate(rows).reshape(60, -1), axis=0)) == 60


NAN = np.ones((60, 6, 5, 3))
NAN[17, 2, 3, 1] = np.nan
INFINITE = np.ones((12, 6, 5, 3), np.float32)
INFINITE[3, 5, 4, 2] = -np.inf


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y_test": None}, "array 'y_test' is missing"),
        ({"x_test": None}, "array 'x_test' is missing"),
        ({"x_train": None, "x_test": None, "y_test": None}, "array 'x_train' is missing"),
        ({"x_train": NAN}, r"'x_train' has .* not finite numbers: nan at \[17, 2, 3, 1\]"),
        ({"x_test": INFINITE}, r"'x_test' has .* not finite numbers: -inf at \[3, 5, 4, 2\]"),
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
        (
            {"y_train": np.arange(60) // 56, "y_test": np.zeros(12, int)},
            "class 1 has 4 images in 'y_train'; at least 5 needed",
        ),
        (
            {"x_test": np.zeros((3, 6, 5, 3)), "y_test": np.arange(3)},
            "too little data: 60 training and 3 test images; at least 40 and 10",
        ),
        (
            {
                "x_train": np.ones((49, 6, 5, 3)),
                "y_train": np.arange(49) % 3,
                "x_test": None,
                "y_test": None,
            },
            "too little data: 49 images; at least 50 needed where a test split has to be cut",
        ),
        ({"x_train": np.ones((60, 6, 5, 3))}, "is the same everywhere"),
        (
            {"x_train": np.random.rand(60, 6, 5, 2), "x_test": np.random.rand(12, 6, 5, 2)},
            "images have 2 channels, the network's input .* has 3; 1 or 3 needed",
        ),
        (
            {"x_train": np.random.rand(60, 3, 6, 5), "x_test": np.random.rand(12, 3, 6, 5)},
            "images have 5 channels, .*; channels come last",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_files_are_named_with_the_reason(tmp_path, changes, message):
    path = examples.npz(tmp_path, **changes)
    with pytest.raises(datasets.DataError, match=message) as caught:
        datasets.load(path, (6, 5, 3), 4)
    assert "\n" not in str(caught.value) and "own.npz" in str(caught.value)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_objects_in_a_file_are_never_unpickled(tmp_path):
    mark = tmp_path / "unpickled"
    pickle.loads(pickle.dumps(Bomb(mark))).close()
    assert mark.exists()
    mark.unlink()
    found = examples.npz(tmp_path, x_train=np.asarray([Bomb(mark)] * 60, object))
    with pytest.raises(
        datasets.DataError, match="'x_train' holds Python objects, which are never unpickled"
    ):
        datasets.load(found, (6, 5, 3), 4)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04 not a zip", b"", b"plain"], ids=str)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(datasets.DataError, match="broken.npz: not an .npz file"):
        datasets.load(str(path), (6, 5, 3), 4)


def test_an_array_whose_header_breaks_off_is_refused(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,"
    path = tmp_path / "broken.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 53) + header)
    with pytest.raises(datasets.DataError, match="'x_train' is damaged or no plain array"):
        datasets.load(str(path), (6, 5, 3), 4)


def test_one_array_and_a_damaged_one_are_refused(tmp_path):
    single = tmp_path / "single.npz"
    with open(single, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(datasets.DataError, match="not an .npz file"):
        datasets.load(str(single), (6, 5, 3), 4)
    whole = examples.npz(tmp_path)
    with open(whole, "r+b") as file:
        # Within the pixels of the first array, behind the headers of zip and array.
        file.seek(600)
        file.write(b"\xff\x00" * 20)
    with pytest.raises(datasets.DataError, match="own.npz: 'x_train' is damaged or no plain array"):
        datasets.load(whole, (6, 5, 3), 4)
    with pytest.raises(OSError):
        datasets.load(str(tmp_path / "absent.npz"), (28, 28, 1), 10)


def own_tokens(tmp_path, **changes):
    rng = np.random.default_rng(0)
    made = {
        "x_train": rng.integers(0, 9, (60, 7)),
        "x_test": rng.integers(0, 9, (12, 7)),
        **changes,
    }
    return examples.npz(tmp_path, **made)


def test_own_tokens_are_read(tmp_path):
    data = datasets.load(own_tokens(tmp_path), (7,), 3, vocabulary=9)
    assert data.train_images.shape == (48, 7) and data.train_images.dtype == np.int32
    assert data.train_images.max() == 8 and data.test_images.shape == (12, 7)
    cut = own_tokens(tmp_path, x_test=None, y_test=None)
    assert datasets.load(cut, (7,), 3, vocabulary=9).test_images.shape == (12, 7)


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
        datasets.load(own_tokens(tmp_path, **changes), (7,), 3, vocabulary=9)
