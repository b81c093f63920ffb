import os

import numpy as np
import pytest
from PIL import Image

from greennas_jax.accuracy import datasets
from greennas_jax.accuracy.data import folders
from greennas_jax.spec import limits
from tests.accuracy.data import examples


@pytest.fixture
def split(tmp_path):
    """Two classes in train and test folders."""
    examples.pictures(tmp_path / "own" / "train", {"dog": 30, "cat": 30})
    examples.pictures(tmp_path / "own" / "test", {"dog": 6, "cat": 6}, seed=1)
    return tmp_path / "own"


def test_class_folders_are_read_in_order_of_their_names(split):
    data = datasets.load(str(split), (5, 7, 3), 2)
    assert data.name == "own" and data.class_names == ("cat", "dog")
    assert data.train_images.shape == (48, 5, 7, 3)
    assert data.test_labels.tolist() == [0] * 6 + [1] * 6
    # The first test image is the first cat's file, standardised: equal but for scale and place.
    first = np.asarray(Image.open(split / "test" / "cat" / "000.png"))
    assert np.corrcoef(data.test_images[0].ravel(), first.ravel())[0, 1] > 0.999


def test_order_of_listing_does_not_matter(split, monkeypatch):
    first = datasets.load(str(split), (4, 4, 3), 2)
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed(folder)[::-1])
    second = datasets.load(str(split), (4, 4, 3), 2)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_missing_test_split_is_cut_in_proportion(tmp_path):
    folder = examples.pictures(tmp_path / "own", {"a": 40, "b": 20})
    data = datasets.load(str(folder), (5, 7, 3), 2)
    assert np.bincount(data.test_labels).tolist() == [8, 4]
    assert np.bincount(data.validation_labels).tolist() == [8, 4]
    assert np.bincount(data.train_labels).tolist() == [24, 12]
    again = datasets.load(str(folder), (5, 7, 3), 2)
    np.testing.assert_array_equal(data.test_images, again.test_images)
    assert len(np.unique(np.concatenate([data.train_images, data.test_images]), axis=0)) == 48


def test_a_class_may_be_called_train(tmp_path):
    folder = examples.pictures(tmp_path / "vehicles", {"train": 30, "bus": 30})
    assert datasets.load(str(folder), (4, 4, 1), 2).class_names == ("bus", "train")


@pytest.mark.parametrize("shape", [(5, 7, 1), (5, 7)], ids=str)
def test_grey_is_luma(tmp_path, shape):
    path = tmp_path / "one.png"
    colours = np.zeros((5, 7, 3), np.uint8)
    colours[0, 0], colours[1, 1], colours[2, 2] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    Image.fromarray(colours).save(path)
    found = folders.decode(str(path), (5, 7, 1))[..., 0]
    # ITU-R 601: 0.299, 0.587 and 0.114 of 200.
    np.testing.assert_array_equal(np.diag(found)[:4], [60, 117, 23, 0])
    folder = examples.pictures(tmp_path / "own", {"a": 30, "b": 30})
    assert datasets.load(str(folder), shape, 2).train_images.shape == (36, *shape)


def test_a_shrunk_image_loses_no_pixel(tmp_path):
    path = tmp_path / "one.png"
    bright = np.zeros((8, 8), np.uint8)
    bright[::4, ::4] = 255
    Image.fromarray(bright).save(path)
    # One pixel of sixteen is white: the mean is 255 / 16 = 15.9, up to the edges' weights.
    found = folders.decode(str(path), (2, 2, 1))
    assert found.shape == (2, 2, 1) and 8 <= found.min() <= found.mean() <= 24


@pytest.mark.parametrize(
    "suffix, mode",
    [
        ("jpg", "RGB"),
        ("jpeg", "L"),
        ("gif", "P"),
        ("png", "1"),
        ("png", "RGBA"),
        ("bmp", "RGB"),
        ("ppm", "RGB"),
        ("tiff", "CMYK"),
        ("png", "P"),
        ("webp", "RGB"),
    ],
)
def test_formats_and_modes_are_read(tmp_path, suffix, mode):
    examples.pictures(tmp_path, {"a": 1}, suffix=suffix, mode=mode)
    path = str(tmp_path / "a" / f"000.{suffix}")
    for channels in (1, 3):
        found = folders.decode(path, (5, 7, channels))
        assert found.shape == (5, 7, channels) and found.dtype == np.uint8
        assert np.ptp(found) > 0


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.asarray([[0, 32896, 65535]], np.uint16)).save(path)
    # 65535 / 255 = 257, and 32896 / 257 = 128.
    np.testing.assert_array_equal(folders.decode(str(path), (1, 3, 1)).ravel(), [0, 128, 255])


def test_a_photograph_is_turned_upright(tmp_path):
    path = tmp_path / "turned.jpg"
    image = Image.fromarray(np.repeat([[0], [255]], 8, axis=0).repeat(16, axis=1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3
    image.save(path, exif=exif, quality=95)
    # Dark above as stored, and to be turned by 180 degrees.
    found = folders.decode(str(path), (16, 16, 1))
    assert found[0].mean() > 200 > 50 > found[-1].mean()


def test_what_file_managers_leave_is_passed_over(split):
    for name in (".DS_Store", "Thumbs.db"):
        (split / "train" / "cat" / name).write_bytes(b"\x00")
    (split / ".cache" / "x").mkdir(parents=True)
    assert len(datasets.load(str(split), (4, 4, 3), 2).train_labels) == 48


def _text(split):
    (split / "train" / "cat" / "notes.png").write_text("no image")


def _truncated(split):
    path = split / "test" / "dog" / "000.png"
    path.write_bytes(path.read_bytes()[:60])


def _postscript(split):
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (split / "train" / "cat" / "x.png").write_text(text)


def _nested(split):
    (split / "train" / "cat" / "more").mkdir()


def _unseen(split):
    (split / "test" / "emu").mkdir()


def _empty(split):
    (split / "train" / "ant").mkdir()


def _no_test(split):
    (split / "test").rename(split / "held")


def _few(split):
    for number in range(3, 30):
        (split / "train" / "cat" / f"{number:03d}.png").unlink()


def _rare(split):
    examples.pictures(split / "train", {"bee": 20, "emu": 4}, seed=3)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (_text, "train/cat/notes.png: no image that can be decoded; allowed: PNG, JPEG"),
        (_truncated, "test/dog/000.png: no image that can be decoded"),
        (_postscript, "train/cat/x.png: no image that can be decoded"),
        (_nested, "train/cat/more: a folder inside a class folder"),
        (_unseen, "own/test: class 'emu' is not in .*own/train"),
        (_empty, "train/ant: no images in this class folder"),
        (_no_test, "class folders in 'train' and none in 'test'; .*own/train as the data set"),
        (_few, "too little data: 33 training and 12 test images; at least 40 and 10 needed"),
        (_rare, "class 'emu' has 4 images in training labels; at least 5 needed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_folders_are_named_with_the_reason(split, spoil, message):
    spoil(split)
    with pytest.raises(datasets.DataError, match=message) as caught:
        datasets.load(str(split), (4, 4, 3), 4)
    assert "\n" not in str(caught.value)


def test_more_classes_than_outputs_and_fewer_are_told(split):
    examples.pictures(split / "train", {"emu": 6}, seed=3)
    with pytest.raises(
        datasets.DataError, match=r"3 classes \('cat' to 'emu'\); the network tells 2 apart"
    ):
        datasets.load(str(split), (4, 4, 3), 2)
    notes = datasets.load(str(split), (4, 4, 3), 9).notes
    assert notes == (
        "the network tells 9 classes apart, the data have 3",
        "no test image is of class 'emu'",
    )


def test_folders_without_classes_are_refused(tmp_path):
    with pytest.raises(datasets.DataError, match="no class folders; FOLDER/CLASS/IMAGE"):
        datasets.load(str(tmp_path), (4, 4, 3), 2)
    examples.pictures(tmp_path / "own", {"only": 60})
    with pytest.raises(datasets.DataError, match="one class; two or more needed"):
        datasets.load(str(tmp_path / "own"), (4, 4, 3), 2)


@pytest.mark.parametrize("shape", [(64,), (4, 4, 2)], ids=str)
def test_networks_that_read_no_pictures_are_refused(split, shape):
    with pytest.raises(datasets.DataError, match="grey or in colour; the network reads"):
        datasets.load(str(split), shape, 2)


def test_an_image_of_too_many_pixels_is_refused(split, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    # 7 x 5 pixels: more than allowed, less than twice as many, of which Pillow would only warn.
    with pytest.raises(datasets.DataError, match="cat/000.png: an image of too many pixels"):
        datasets.load(str(split), (4, 4, 3), 2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(datasets.DataError, match="cat/000.png: an image of too many pixels"):
        datasets.load(str(split), (4, 4, 3), 2)


def test_an_image_beyond_the_limit_is_refused_before_it_is_unpacked(split, monkeypatch):
    monkeypatch.setattr(limits, "MOST_PIXELS", 34)
    words = "cat/000.png: an image of 7 x 5 pixels; allowed: at most 34 in all"
    with pytest.raises(datasets.DataError, match=words):
        datasets.load(str(split), (4, 4, 3), 2)
