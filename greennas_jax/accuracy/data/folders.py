"""Images in class folders: FOLDER/train/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE, or FOLDER/CLASS.

Shapes: H height, W width, C channels of the network's input.
"""

import concurrent.futures
import os
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from greennas_jax.accuracy.data import checks, images
from greennas_jax.accuracy.data.record import DataError, Labelled, Source, Wanted
from greennas_jax.spec import limits

TRAIN, TEST = "train", "test"
# Formats that Pillow decodes by itself; for others, such as EPS, it starts other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# What file managers leave behind; names that begin with a dot are passed over as well.
STRAY = ("thumbs.db", "desktop.ini")
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    struct.error,
)


def names(folder: str) -> list[str]:
    """Return the names in a folder that a user put there, in order of their characters."""
    found = sorted(os.listdir(folder))
    return [name for name in found if name[0] != "." and name.lower() not in STRAY]


def _subfolders(folder: str) -> list[str]:
    return [name for name in names(folder) if os.path.isdir(os.path.join(folder, name))]


def _parts(folder: str) -> tuple[str, str | None]:
    """Return the folders of the training and of the test classes; None where one is to be cut."""
    within = _subfolders(folder)
    train, test = os.path.join(folder, TRAIN), os.path.join(folder, TEST)
    split = [name for name in (TRAIN, TEST) if name in within]
    # A folder 'train' that holds images is a class: trains.
    split = [name for name in split if _subfolders(os.path.join(folder, name))]
    if len(split) == 2:
        return train, test
    if split:
        other = TEST if split == [TRAIN] else TRAIN
        raise DataError(
            f"{folder}: class folders in '{split[0]}' and none in '{other}'; "
            f"{os.path.join(folder, split[0])} as the data set has a test split cut from it"
        )
    if not within:
        raise DataError(
            f"{folder}: no class folders; FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE and "
            "FOLDER/test/CLASS/IMAGE needed"
        )
    return folder, None


def _listed(folder: str, classes: list[str]) -> tuple[list[str], np.ndarray]:
    """Return every image's path and label, by class and then by name."""
    paths, labels = [], []
    for label, name in enumerate(classes):
        inside = os.path.join(folder, name)
        found = (
            [os.path.join(inside, each) for each in names(inside)] if os.path.isdir(inside) else []
        )
        for path in found:
            if os.path.isdir(path):
                raise DataError(f"{path}: a folder inside a class folder; images alone needed")
        paths += found
        labels += [label] * len(found)
    return paths, np.asarray(labels, np.int32)


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Return an image upright, grey or in colour with 8 bits a channel, without transparency."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # 16 bits; converted by Pillow itself they would be cut off at 255 in some versions.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("real numbers")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if channels == 1 else "RGB")


def decode(path: str, size: tuple[int, int, int]) -> np.ndarray:
    """Return an image file as uint8 [H, W, C], resized with Pillow's antialiased bilinear filter.

    Height and width are resized each by itself: nothing is cut off, proportions may change. Grey
    is ITU-R 601's luma; transparency is dropped; of a moving picture the first frame is taken.

    Args:
      path: Of the file; its content tells its format.
      size: H, W and C, 1 or 3.

    Raises:
      DataError: If it is no image that can be decoded.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > limits.MOST_PIXELS:
                raise DataError(
                    f"{path}: an image of {image.width} x {image.height} pixels; allowed: at most "
                    f"{limits.MOST_PIXELS:,} in all"
                )
            plain = _plain(image, size[2])
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: an image of too many pixels: {error}") from error
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: no image that can be decoded; allowed: {', '.join(FORMATS)}"
        ) from error
    fitted = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(fitted, np.uint8).reshape(size)


def _decoded(paths: list[str], size: tuple[int, int, int]) -> np.ndarray:
    """Return all images, uint8 [N, H, W, C]."""
    with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor() as pool:
        # Of odd metadata nothing is to be heard; a bomb is to be refused.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        found = np.empty((len(paths), *size), np.uint8)
        for index, image in enumerate(pool.map(lambda path: decode(path, size), paths)):
            found[index] = image
    return found


def _size(folder: str, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    size = (*input_shape, 1) if len(input_shape) == 2 else input_shape
    if len(size) != 3 or size[2] not in (1, 3):
        raise DataError(
            f"{folder}: images of files are grey or in colour; the network reads "
            f"{list(input_shape)}, not [H, W, 1] or [H, W, 3]"
        )
    return size[0], size[1], size[2]


def read(folder: str, wanted: Wanted) -> Source:
    """Return the images of a folder, classes and files in order of their names.

    Args:
      folder: FOLDER/train/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE, or FOLDER/CLASS/IMAGE.
      wanted: What the network wants; images are resized to it, grey or in colour by its channels.

    Raises:
      DataError: If the folder or an image in it cannot be used.
      OSError: If a folder cannot be read.
    """
    size = _size(folder, wanted.input_shape)
    train, test = _parts(folder)
    classes = _subfolders(train)
    if len(classes) > wanted.outputs:
        raise DataError(
            f"{folder}: {len(classes)} classes ('{classes[0]}' to '{classes[-1]}'); the network "
            f"tells {wanted.outputs} apart"
        )
    paths, labels = _listed(train, classes)
    test_paths, test_labels = [], np.zeros(0, np.int32)
    if test is not None:
        unseen = [name for name in _subfolders(test) if name not in classes]
        if unseen:
            raise DataError(f"{test}: class '{unseen[0]}' is not in {train}")
        test_paths, test_labels = _listed(test, classes)
    empty = [name for label, name in enumerate(classes) if label not in labels]
    if empty:
        raise DataError(f"{os.path.join(train, empty[0])}: no images in this class folder")
    checks.amounts(folder, len(paths), None if test is None else len(test_paths))
    images.check_bytes(folder, len(paths) + len(test_paths), size)
    return Source(
        name=os.path.basename(os.path.abspath(folder)),
        where=folder,
        train=Labelled(_decoded(paths, size), labels),
        test=None if test is None else Labelled(_decoded(test_paths, size), test_labels),
        class_names=tuple(classes),
    )
