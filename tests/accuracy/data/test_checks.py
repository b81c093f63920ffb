import numpy as np

from greennas_jax.accuracy import datasets
from tests.accuracy.data import examples


def test_training_images_in_the_test_split_are_told(tmp_path):
    train = examples.arrays()["x_train"]
    test = examples.arrays()["x_test"]
    test[[2, 5, 7]] = train[[0, 1, 59]]
    path = examples.npz(tmp_path, x_test=test)
    assert datasets.load(path, (6, 5, 3), 3).notes == (
        "3 of 12 test images are training images too",
    )


def test_constant_images_are_told(tmp_path):
    train = examples.arrays()["x_train"]
    train[4], train[9] = 0, 200
    train[10, ..., 0] = 7
    path = examples.npz(tmp_path, x_train=train)
    notes = datasets.load(path, (6, 5, 3), 3).notes
    assert notes == ("2 of 60 training images are the same everywhere",)


def test_classes_without_a_test_image_and_spare_outputs_are_told(tmp_path):
    path = examples.npz(tmp_path, y_train=np.arange(60) % 10, y_test=np.arange(12) % 2)
    assert datasets.load(path, (6, 5, 3), 12).notes == (
        "the network tells 12 classes apart, the data have 10",
        "no test image is of class 2, 3, 4, 5, 6 and 3 more",
    )
