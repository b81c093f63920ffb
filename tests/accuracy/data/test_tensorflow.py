import sys
import types

import numpy as np
import pytest

from greennas_jax.accuracy import datasets


def examples(count, size=(6, 5, 3), classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(0, 256, size).astype(np.uint8), np.int64(i % classes)) for i in range(count)
    ]


@pytest.fixture
def tfds(monkeypatch):
    """A module in the place of tensorflow_datasets; `splits` is what it loads."""
    module = types.ModuleType("tensorflow_datasets")
    module.splits, module.asked = {}, []

    def load(name, *, as_supervised, shuffle_files):
        module.asked.append((name, as_supervised, shuffle_files))
        if isinstance(module.splits, Exception):
            raise module.splits
        return module.splits

    module.load, module.as_numpy = load, iter
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return module


def test_splits_are_read_in_their_stored_order(tfds):
    tfds.splits = {"train": examples(60), "test": examples(12, seed=1), "extra": examples(3)}
    data = datasets.load("tfds:flowers/small:1.0.0", (6, 5, 3), 3)
    assert tfds.asked == [("flowers/small:1.0.0", True, False)]
    assert data.name == "tfds:flowers/small:1.0.0"
    assert data.train_images.shape == (48, 6, 5, 3)
    assert data.test_labels.tolist() == [0, 1, 2] * 4
    assert data.notes == ("splits not used: extra",)


def test_missing_test_split_is_cut(tfds):
    tfds.splits = {"train": examples(60)}
    data = datasets.load("tfds:flowers", (6, 5, 3), 3)
    assert [len(data.train_labels), len(data.validation_labels), len(data.test_labels)] == [
        36,
        12,
        12,
    ]


def test_images_of_many_sizes_need_to_be_resized(tfds):
    tfds.splits = {"train": examples(30) + examples(30, size=(9, 4, 3))}
    with pytest.raises(
        datasets.DataError,
        match=r"differ in size, \[6, 5, 3\] and \[9, 4, 3\]; --config.resize=true resizes them",
    ):
        datasets.load("tfds:flowers", (6, 5, 3), 3)
    data = datasets.load("tfds:flowers", (6, 5, 3), 3, resize=True)
    assert data.test_images.shape == (12, 6, 5, 3)


@pytest.mark.parametrize(
    "splits, message",
    [
        ({"test": examples(12)}, "no split 'train'; found: test"),
        ({"train": []}, "split 'train' is empty"),
        ({"train": [(np.zeros(4), 0)]}, r"example 0 of split 'train' has shape \[4\]"),
        ({"train": [(b"words", 0)]}, "example 0 of split 'train' has shape"),
        ({"train": [(np.full((6, 5, 3), np.nan), 0)]}, "example 0 of split 'train' has .* finite"),
        ({"train": [(np.zeros((6, 5, 3)), np.zeros(2))]}, "labels of split 'train' is float64"),
        ({"train": examples(60, classes=5)}, "labels from 0 to 4; the network tells 3"),
        ({"train": examples(20)}, "too little data: 20 images"),
        (ValueError("no such data set\n and more"), "could not be loaded: no such data set$"),
        (AssertionError(), "could not be loaded: AssertionError"),
        (ModuleNotFoundError("No", name="tensorflow"), "needs tensorflow, which is not installed"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(tfds, splits, message):
    tfds.splits = splits
    with pytest.raises(datasets.DataError, match=message) as caught:
        datasets.load("tfds:flowers", (6, 5, 3), 3)
    assert str(caught.value).startswith("tfds:flowers: ") and "\n" not in str(caught.value)


def test_without_the_package_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(
        datasets.DataError,
        match="tfds:mnist: needs tensorflow_datasets, which is not installed; "
        "pip install tensorflow-datasets tensorflow",
    ):
        datasets.load("tfds:mnist", (28, 28, 1), 10)
