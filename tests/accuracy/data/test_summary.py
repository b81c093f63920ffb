import numpy as np

from greennas_jax.accuracy import datasets
from greennas_jax.accuracy.data import summary
from tests.accuracy.data import examples


def test_sizes_and_balance_are_told(tmp_path):
    folder = examples.pictures(tmp_path / "own", {"ant": 60, "bee": 30, "cow": 10})
    found = summary.summarise(datasets.load(str(folder), (4, 4, 3), 3))
    # Three fifths of each class are trained on; 12 of 20 test images are ants.
    assert found == {
        "name": "own",
        "training_images": 60,
        "validation_images": 20,
        "test_images": 20,
        "classes": 3,
        "largest_class": {"label": 0, "name": "ant", "images": 36},
        "smallest_class": {"label": 2, "name": "cow", "images": 6},
        "largest_class_share": 0.6,
        "notes": [],
    }


def test_a_class_that_does_not_occur_is_not_the_smallest(tmp_path):
    labels = np.repeat([1, 4], [40, 20])
    path = examples.npz(tmp_path, y_train=labels, y_test=np.repeat([1, 4], 6))
    found = summary.summarise(datasets.load(path, (6, 5, 3), 5))
    assert found["classes"] == 2
    assert found["smallest_class"] == {"label": 4, "name": None, "images": 16}
    assert found["largest_class"] == {"label": 1, "name": None, "images": 32}
    assert found["largest_class_share"] == 0.5


def test_digest_follows_every_image_and_label_and_nothing_else():
    data = datasets.load("digits", (8, 8, 1), 10)
    known = summary.digest(data)
    assert known == summary.digest(data._replace(name="other", notes=("read again",)))
    for name in ("train_images", "validation_labels", "test_images"):
        changed = np.array(getattr(data, name))
        changed.flat[-1] += 1
        assert summary.digest(data._replace(**{name: changed})) != known
