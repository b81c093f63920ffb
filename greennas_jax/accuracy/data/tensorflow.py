"""Data sets of TensorFlow Datasets, where the user has installed it; it may download them."""

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from greennas_jax.accuracy.data import checks, images
from greennas_jax.accuracy.data.record import DataError, Labelled, Source, Wanted

PREFIX = "tfds:"
TRAIN, TEST = "train", "test"
_INSTALL = "pip install tensorflow-datasets tensorflow"


def _splits(name: str, where: str) -> tuple[Any, dict[str, Any]]:
    """Return the module and a data set's splits, examples in their stored order."""
    try:
        module = importlib.import_module("tensorflow_datasets")
        return module, dict(module.load(name, as_supervised=True, shuffle_files=False))
    except ImportError as error:
        missing = error.name or "tensorflow_datasets"
        raise DataError(f"{where}: needs {missing}, which is not installed; {_INSTALL}") from error
    # Each data set's own code runs here, and may fail in its own way.
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{where}: could not be loaded: {told}") from error


def _examples(where: str, split: str, examples: Iterable[Any], wanted: Wanted) -> Labelled:
    """Return a split's images, all of one size, and labels."""
    key = f"split '{split}'"
    pictures: list[np.ndarray] = []
    labels = []
    held = 0
    for number, (image, label) in enumerate(examples):
        found = np.asarray(image)
        if found.ndim not in (2, 3):
            raise DataError(
                f"{where}: example {number} of {key} has shape {list(found.shape)}; images "
                "[H, W] or [H, W, C] needed"
            )
        found = checks.image_array(where, f"example {number} of {key}", found[None])
        if wanted.resize:
            size = images.target(where, found.shape[1:], wanted.input_shape, True)
            found = images.fitted(found, (*size[:2], found.shape[3]))
        if pictures and found.shape[1:] != pictures[0].shape:
            raise DataError(
                f"{where}: images of {key} differ in size, {list(pictures[0].shape)} and "
                f"{list(found.shape[1:])}; {images.RESIZE_FLAG} resizes them"
            )
        held += found.size * 4
        if held > images.LARGEST_BYTES:
            raise DataError(
                f"{where}: the images of {key} need more than {images.LARGEST_BYTES // 2**30} GiB"
            )
        pictures.append(found[0])
        labels.append(np.asarray(label))
    if not pictures:
        raise DataError(f"{where}: {key} is empty")
    return Labelled(
        np.stack(pictures),
        checks.label_array(where, f"labels of {key}", np.stack(labels), len(pictures)),
    )


def read(name: str, wanted: Wanted) -> Source:
    """Return splits `train` and `test` of a data set of pairs (image, label).

    Args:
      name: `tfds:NAME`, a name that tensorflow_datasets knows, with configuration and version.
      wanted: What the network wants.

    Raises:
      DataError: If tensorflow_datasets is not installed, or the data set cannot be used.
    """
    module, splits = _splits(name.removeprefix(PREFIX), name)
    if TRAIN not in splits:
        raise DataError(f"{name}: no split '{TRAIN}'; found: {', '.join(splits) or 'none'}")
    parts = {
        split: _examples(name, split, module.as_numpy(splits[split]), wanted)
        for split in (TRAIN, TEST)
        if split in splits
    }
    unused = [split for split in splits if split not in parts]
    return Source(
        name=name,
        where=name,
        train=parts[TRAIN],
        test=parts.get(TEST),
        notes=(f"splits not used: {', '.join(unused)}",) if unused else (),
    )
