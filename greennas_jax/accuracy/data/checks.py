"""Checks of what was read, before anything is trained on it.

Shapes: N images or sequences.
"""

import hashlib

import numpy as np

from greennas_jax.accuracy.data import record
from greennas_jax.accuracy.data.record import DataError, Source, Wanted

LEAST_TRAINING_IMAGES = 40
LEAST_TEST_IMAGES = 10
# A fifth of what is trained on is held out in turn, and a fifth of all is cut for a missing test.
PARTS = 5


def image_array(where: str, key: str, images: np.ndarray) -> np.ndarray:
    """Return images as [N, H, W, C].

    Args:
      where: What messages call the source.
      key: What messages call the array.
      images: [N, H, W] or [N, H, W, C].

    Raises:
      DataError: If they are no real, finite numbers of such a shape.
    """
    if images.dtype.kind not in "uif":
        raise DataError(f"{where}: {key} has type {images.dtype}; whole or real numbers needed")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(
            f"{where}: {key} has shape {list(images.shape)}; [N, H, W] or [N, H, W, C] needed"
        )
    finite = np.isfinite(images)
    if not finite.all():
        place = np.unravel_index(int(np.argmin(finite)), images.shape)
        raise DataError(
            f"{where}: {key} has values that are not finite numbers: {images[place]} at "
            f"{[int(index) for index in place]}"
        )
    return images


def token_array(
    where: str, key: str, tokens: np.ndarray, length: int, vocabulary: int
) -> np.ndarray:
    """Return token numbers [N, length], all below the vocabulary's size, or raise DataError."""
    if tokens.dtype.kind not in "ui" or tokens.shape[1:] != (length,):
        raise DataError(
            f"{where}: {key} is {tokens.dtype} {list(tokens.shape)}; the network reads whole "
            f"numbers [N, {length}]"
        )
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocabulary:
        raise DataError(
            f"{where}: {key} has tokens from {tokens.min()} to {tokens.max()}; the network's "
            f"vocabulary goes from 0 to {vocabulary - 1}"
        )
    return tokens


def label_array(where: str, key: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Return labels as whole numbers [count], or raise DataError."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "ui" or labels.ndim != 1:
        raise DataError(
            f"{where}: {key} is {labels.dtype} {list(labels.shape)}; whole numbers [N] needed"
        )
    if len(labels) != count:
        raise DataError(f"{where}: {key} has {len(labels)} labels for {count} images")
    return labels


def amounts(where: str, training: int, test: int | None) -> None:
    """Raise DataError unless there are enough images to train on and to test with.

    Args:
      where: What messages call the source.
      training: Images to train on and to validate with, or all there are.
      test: Images to test with; None where they have to be cut from the others.
    """
    least = LEAST_TRAINING_IMAGES + LEAST_TEST_IMAGES
    if test is None and training < least:
        raise DataError(
            f"{where}: too little data: {training} images; at least {least} needed where a test "
            "split has to be cut from them"
        )
    if test is not None and (training < LEAST_TRAINING_IMAGES or test < LEAST_TEST_IMAGES):
        raise DataError(
            f"{where}: too little data: {training} training and {test} test images; at least "
            f"{LEAST_TRAINING_IMAGES} and {LEAST_TEST_IMAGES} needed"
        )


def labels(source: Source, outputs: int) -> None:
    """Raise DataError unless a network can tell the classes apart and learn every one.

    Args:
      source: What was read.
      outputs: How many classes the network tells apart.
    """
    where, names = source.where, source.names
    parts = [(names.train_labels, source.train.labels)]
    if source.test is not None:
        parts.append((names.test_labels, source.test.labels))
    for key, found in parts:
        if found.min() < 0 or found.max() >= outputs:
            raise DataError(
                f"{where}: {key} has labels from {found.min()} to {found.max()}; the network "
                f"tells {outputs} classes apart (0 to {outputs - 1})"
            )
    known = source.train.labels
    if source.test is not None:
        unseen = sorted(set(source.test.labels.tolist()) - set(known.tolist()))
        if unseen:
            words = record.class_words(unseen[0], source.class_names)
            raise DataError(
                f"{where}: class {words} of {names.test_labels} is not in {names.train_labels}"
            )
    counts = np.bincount(known)
    if np.count_nonzero(counts) < 2:
        raise DataError(f"{where}: {names.train_labels} has one class; two or more needed")
    rarest = int(np.argmin(np.where(counts, counts, counts.max() + 1)))
    if counts[rarest] < PARTS:
        raise DataError(
            f"{where}: class {record.class_words(rarest, source.class_names)} has "
            f"{counts[rarest]} images in {names.train_labels}; at least {PARTS} needed, one for "
            f"each of the {PARTS} parts that are held out in turn"
        )


def _digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(one.tobytes(), digest_size=16).digest() for one in images]


def _constant(images: np.ndarray) -> list[str]:
    flat = images.reshape(len(images), -1)
    same = np.flatnonzero(flat.max(axis=1) == flat.min(axis=1))
    if not len(same):
        return []
    return [f"{len(same)} of {len(images)} training images are the same everywhere"]


def notes(source: Source, wanted: Wanted) -> list[str]:
    """Return what a reader should know about the data, though they can be used.

    Args:
      source: What was read, with its test split.
      wanted: What the network wants.
    """
    found = list(source.notes)
    classes = len(np.unique(source.train.labels))
    if classes < wanted.outputs and not wanted.vocabulary:
        found.append(f"the network tells {wanted.outputs} classes apart, the data have {classes}")
    if not wanted.vocabulary:
        found += _constant(source.train.images)
    if source.test is None:
        return found
    absent = sorted(set(source.train.labels.tolist()) - set(source.test.labels.tolist()))
    if absent:
        words = ", ".join(record.class_words(label, source.class_names) for label in absent[:5])
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        found.append(f"no test image is of class {words}{more}")
    if source.train.images.dtype == source.test.images.dtype:
        known = set(_digests(source.train.images))
        again = sum(digest in known for digest in _digests(source.test.images))
        if again:
            total = len(source.test.labels)
            found.append(f"{again} of {total} test images are training images too")
    return found
