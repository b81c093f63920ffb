import numpy as np
import pytest
from PIL import Image

from greennas_jax.accuracy.data import images


def test_resize_interpolates_between_pixel_centres():
    image = np.asarray([0.0, 1.0], np.float32).reshape(1, 1, 2, 1)
    # Four pixels over two: centres at -0.25, 0.25, 0.75 and 1.25 of the old ones.
    np.testing.assert_allclose(images.resized(image, 1, 4).reshape(-1), [0, 0.25, 0.75, 1])
    np.testing.assert_array_equal(images.resized(image, 1, 2), image)
    flat = np.full((1, 5, 7, 2), 3, np.float32)
    np.testing.assert_allclose(images.resized(flat, 11, 4), np.full((1, 11, 4, 2), 3), rtol=1e-6)


def test_half_as_many_pixels_are_weighed_by_a_triangle():
    image = np.asarray([8.0, 0, 0, 0], np.float32).reshape(1, 4, 1, 1)
    # Around 0.5, with a half-width of 2, pixels weigh 3/4, 3/4, 1/4 and 0, in all 7/4; pixel 0 is
    # 2.5 away from the other centre.
    np.testing.assert_allclose(images.resized(image, 2, 1).ravel(), [8 * 3 / 7, 0], rtol=1e-6)


@pytest.mark.parametrize("size", [(3, 4), (12, 20), (5, 3), (9, 11)], ids=str)
def test_resize_is_pillows_bilinear_filter(size):
    image = np.random.default_rng(0).random((9, 11)).astype(np.float32)
    expected = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    found = images.resized(image[None, ..., None], *size)[0, ..., 0]
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-5)


def test_blocks_change_nothing(monkeypatch):
    found = np.random.default_rng(0).normal(3, 2, (30, 4, 5, 2)).astype(np.float32)
    # Seven images of 40 numbers a block, so that the last one is not full.
    monkeypatch.setattr(images, "BLOCK", 280)
    mean, deviation = images.moments(found)
    np.testing.assert_allclose(mean, found.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(deviation, found.std(axis=(0, 1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(
        images.standardised(found, mean, deviation), (found - mean) / deviation, rtol=1e-6
    )
    np.testing.assert_array_equal(images.fitted(found, (4, 5, 2)), found)


def test_one_channel_is_repeated():
    grey = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 1)).astype(np.uint8)
    np.testing.assert_array_equal(images.fitted(grey, (4, 5, 3)), grey.repeat(3, axis=3))


def test_too_many_images_are_refused():
    # 8 GiB are 2^31 float32 numbers: 14,266 images of 224 x 224 x 3 and one more.
    images.check_bytes("here", 14_266, (224, 224, 3))
    with pytest.raises(images.DataError, match=r"14267 images of \[224, 224, 3\] need more than 8"):
        images.check_bytes("here", 14_267, (224, 224, 3))
