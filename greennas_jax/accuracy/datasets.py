"""Data sets for real training: scikit-learn's digits, sequence tasks, and one's own arrays.

Images are resized to the network's input, given its channels and standardised with the training
split's mean and deviation; token numbers stay as they are. A search reads the training and
validation split; the test split is for the final test alone.

Shapes: N images or sequences, H height, W width, C channels, S places.
"""

import os
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from sklearn import datasets as sklearn_datasets

from greennas_jax.accuracy import sequences

DEFAULT = "default"
DIGITS = "digits"
DEFAULT_TASK = "brackets"
# Of a sequence task; a fifth is for the test, a fifth of all for validation.
SEQUENCES = 5000
KEYS = ("x_train", "y_train", "x_test", "y_test")
LEAST_TRAINING_IMAGES = 40
LEAST_TEST_IMAGES = 10
LARGEST_BYTES = 8 * 2**30

_UNREADABLE = (
    ValueError,
    TypeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class DataError(ValueError):
    """A data set cannot be used; the message says what, where and what is allowed."""


class DataSet(NamedTuple):
    """Images and labels int32 [N] of three disjoint splits.

    Images are float32 in the network's input shape, [N, H, W, C], [N, F] or [N, S, D], or they are
    token numbers, int32 [N, S].
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of images in which every stretch has all classes in proportion.

    Args:
      labels: int [N].
      rng: Decides the order within each class.

    Returns:
      int [N], a permutation.
    """
    shuffled = rng.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return np.argsort(place, kind="stable")


def resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize images bilinearly with half-pixel centres; smaller sizes average no more than two.

    Args:
      images: float32 [N, h, w, C].
      height: New height.
      width: New width.

    Returns:
      float32 [N, height, width, C].
    """
    for axis, size in ((1, height), (2, width)):
        old = images.shape[axis]
        if old == size:
            continue
        centre = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(centre).astype(int)
        high = np.minimum(low + 1, old - 1)
        share = (centre - low).astype(np.float32)
        share = share[:, None, None] if axis == 1 else share[:, None]
        images = np.take(images, low, axis) * (1 - share) + np.take(images, high, axis) * share
    return images.astype(np.float32)


def _fit(name: str, images: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return images float32 [N, H, W, C] of a network's input size; rows of a sequence are H."""
    size = {2: (*input_shape, 1), 3: input_shape}.get(len(input_shape), images.shape[1:])
    if images.shape[3] not in (1, size[2]):
        raise DataError(
            f"{name}: images have {images.shape[3]} channels, the network's input "
            f"{list(input_shape)} has {size[2]}; 1 or {size[2]} needed"
        )
    if len(input_shape) == 1 and int(np.prod(size)) != input_shape[0]:
        raise DataError(
            f"{name}: images {list(size)} are not the {input_shape[0]} features that the network "
            "reads"
        )
    if len(images) * int(np.prod(size)) * 4 > LARGEST_BYTES:
        raise DataError(
            f"{name}: {len(images)} images of {list(size)} need more than "
            f"{LARGEST_BYTES // 2**30} GiB"
        )
    resized = resize(images.astype(np.float32), size[0], size[1])
    return np.broadcast_to(resized, (*resized.shape[:3], size[2]))


def _split(
    name: str,
    known: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    validation: int,
    input_shape: tuple[int, ...],
    seed: int,
) -> DataSet:
    """Split known images into training and validation, and bring all into the input's shape."""
    images, labels = known
    order = stratified_order(labels, np.random.default_rng(seed))
    train, held = order[: len(order) - validation], order[len(order) - validation :]
    parts = [_fit(name, part, input_shape) for part in (images[train], images[held], test[0])]
    mean = parts[0].mean(axis=(0, 1, 2), dtype=np.float64)
    deviation = parts[0].std(axis=(0, 1, 2), dtype=np.float64)
    if not (deviation > 0).all():
        raise DataError(f"{name}: a channel of the training images is the same everywhere")
    scaled = [((part - mean) / deviation).astype(np.float32) for part in parts]
    flat = [part.reshape(len(part), *input_shape) for part in scaled]
    return _data_set(name, flat, [labels[train], labels[held], test[1]])


def _data_set(name: str, images: list[np.ndarray], labels: list[np.ndarray]) -> DataSet:
    """Return training, validation and test split, in order, as one record."""
    targets = [part.astype(np.int32) for part in labels]
    return DataSet(
        name,
        images[0],
        targets[0],
        images[1],
        targets[1],
        images[2],
        targets[2],
        1 + max(int(part.max()) for part in targets[:2]),
    )


def _split_tokens(
    name: str,
    known: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    validation: int,
    seed: int,
) -> DataSet:
    """Split known sequences of token numbers into training and validation."""
    tokens, labels = known
    order = stratified_order(labels, np.random.default_rng(seed))
    train, held = order[: len(order) - validation], order[len(order) - validation :]
    parts = [part.astype(np.int32) for part in (tokens[train], tokens[held], test[0])]
    return _data_set(name, parts, [labels[train], labels[held], test[1]])


def task(name: str, length: int, vocabulary: int, seed: int = 0) -> DataSet:
    """Return a task of `sequences`, split 60/20/20, all sequences different.

    Args:
      name: One of `sequences.TASKS`.
      length: Tokens of a sequence.
      vocabulary: Tokens that may be named.
      seed: Decides the sequences and the split.

    Raises:
      DataError: If there are too few different sequences of that length and vocabulary.
    """
    try:
        tokens, labels = sequences.make(name, SEQUENCES, length, vocabulary, seed)
    except sequences.TooFewError as error:
        raise DataError(str(error)) from error
    part = SEQUENCES // 5
    known, test = (tokens[:-part], labels[:-part]), (tokens[-part:], labels[-part:])
    return _split_tokens(name, known, test, part, seed)


def digits(input_shape: tuple[int, ...], seed: int = 0) -> DataSet:
    """Return scikit-learn's handwritten digits (Alpaydin and Kaynak 1998), split 60/20/20.

    Args:
      input_shape: Height, width and channels (or features) of the network's input.
      seed: Decides the split: 1078 training, 359 validation and 360 test images.
    """
    found = sklearn_datasets.load_digits()
    images, labels = found.images[..., None], found.target  # pyright: ignore[reportAttributeAccessIssue] -- a Bunch
    order = stratified_order(labels, np.random.default_rng([seed, 1]))
    held = -(-len(labels) // 5)
    known, test = order[:-held], order[-held:]
    validation = len(labels) // 5
    return _split(
        DIGITS,
        (images[known], labels[known]),
        (images[test], labels[test]),
        validation,
        input_shape,
        seed,
    )


def _read(path: str) -> dict[str, np.ndarray]:
    """Return the four arrays of a file; nothing in it is executed."""
    with open(path, "rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("one array alone")
            found = {key: arrays[key] for key in KEYS if key in arrays}
        except _UNREADABLE as error:
            raise DataError(
                f"{path}: not an .npz file of plain arrays ({', '.join(KEYS)} needed)"
            ) from error
    missing = [key for key in KEYS if key not in found]
    if missing:
        raise DataError(f"{path}: array '{missing[0]}' is missing; {', '.join(KEYS)} needed")
    return found


def _images(path: str, key: str, images: np.ndarray) -> np.ndarray:
    if images.dtype.kind not in "uif":
        raise DataError(f"{path}: '{key}' has type {images.dtype}; whole or real numbers needed")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(
            f"{path}: '{key}' has shape {list(images.shape)}; [N, H, W] or [N, H, W, C] needed"
        )
    if not np.isfinite(images).all():
        raise DataError(f"{path}: '{key}' has values that are not finite numbers")
    return images


def _tokens(path: str, key: str, tokens: np.ndarray, length: int, vocabulary: int) -> np.ndarray:
    if tokens.dtype.kind not in "ui" or tokens.shape[1:] != (length,):
        raise DataError(
            f"{path}: '{key}' is {tokens.dtype} {list(tokens.shape)}; the network reads whole "
            f"numbers [N, {length}]"
        )
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocabulary:
        raise DataError(
            f"{path}: '{key}' has tokens from {tokens.min()} to {tokens.max()}; the network's "
            f"vocabulary goes from 0 to {vocabulary - 1}"
        )
    return tokens


def _labels(path: str, key: str, labels: np.ndarray, count: int) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "ui" or labels.ndim != 1:
        raise DataError(
            f"{path}: '{key}' is {labels.dtype} {list(labels.shape)}; whole numbers [N] needed"
        )
    if len(labels) != count:
        raise DataError(f"{path}: '{key}' has {len(labels)} labels for {count} images")
    return labels


def from_file(
    path: str, input_shape: tuple[int, ...], outputs: int, seed: int = 0, vocabulary: int = 0
) -> DataSet:
    """Return the data set of an .npz file with x_train, y_train, x_test and y_test.

    A fifth of the training images, in proportion by class, becomes the validation split.

    Args:
      path: The file; images [N, H, W] or [N, H, W, C], or token numbers [N, S]; labels whole
        numbers from 0.
      input_shape: Height, width and channels (or features, or tokens) of the network's input.
      outputs: How many classes the network tells apart.
      seed: Decides the split.
      vocabulary: Tokens that the network knows; 0 where it reads no token numbers.

    Raises:
      DataError: If the file's arrays cannot be used.
      OSError: If it cannot be read.
    """
    arrays = _read(path)
    train, test = (
        _tokens(path, key, arrays[key], input_shape[0], vocabulary)
        if vocabulary
        else _images(path, key, arrays[key])
        for key in ("x_train", "x_test")
    )
    train_labels = _labels(path, "y_train", arrays["y_train"], len(train))
    test_labels = _labels(path, "y_test", arrays["y_test"], len(test))
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{path}: 'x_train' {list(train.shape)} and 'x_test' {list(test.shape)} differ in size"
        )
    if len(train) < LEAST_TRAINING_IMAGES or len(test) < LEAST_TEST_IMAGES:
        raise DataError(
            f"{path}: too little data: {len(train)} training and {len(test)} test images; at "
            f"least {LEAST_TRAINING_IMAGES} and {LEAST_TEST_IMAGES} needed"
        )
    for key, labels in (("y_train", train_labels), ("y_test", test_labels)):
        if labels.min() < 0 or labels.max() >= outputs:
            raise DataError(
                f"{path}: '{key}' has labels from {labels.min()} to {labels.max()}; the network "
                f"tells {outputs} classes apart (0 to {outputs - 1})"
            )
    unseen = sorted(set(test_labels.tolist()) - set(train_labels.tolist()))
    if unseen:
        raise DataError(f"{path}: class {unseen[0]} of 'y_test' is not in 'y_train'")
    if len(np.unique(train_labels)) < 2:
        raise DataError(f"{path}: 'y_train' has one class; two or more needed")
    known, tested = (train, train_labels), (test, test_labels)
    stem, held = os.path.basename(path), len(train) // 5
    if vocabulary:
        return _split_tokens(stem, known, tested, held, seed)
    return _split(stem, known, tested, held, input_shape, seed)


def load(
    name: str, input_shape: tuple[int, ...], outputs: int, seed: int = 0, *, vocabulary: int = 0
) -> DataSet:
    """Return a data set by name, fitted to a network.

    Args:
      name: "digits", one of `sequences.TASKS`, "default" for what fits the input (digits, or
        brackets for token numbers), or the path of an .npz file.
      input_shape: Height, width and channels (or features, or tokens) of the network's input.
      outputs: How many classes the network tells apart.
      seed: Decides the split.
      vocabulary: Tokens that the network knows; 0 where it reads no token numbers.

    Raises:
      DataError: If the name is unknown or the data cannot be used.
      OSError: If a file cannot be read.
    """
    if name == DEFAULT:
        name = DEFAULT_TASK if vocabulary else DIGITS
    _check_kind(name, input_shape, vocabulary)
    if name in sequences.TASKS:
        return task(name, input_shape[0], vocabulary, seed)
    if name == DIGITS:
        if outputs < 10:
            raise DataError(f"{name}: 10 classes; the network tells {outputs} apart")
        return digits(input_shape, seed)
    if not name.endswith(".npz"):
        known = ", ".join((DIGITS, *sequences.TASKS, DEFAULT))
        raise DataError(f"data set {name!r} is not known; allowed: {known}, or a FILE.npz")
    return from_file(name, input_shape, outputs, seed, vocabulary)


def _check_kind(name: str, input_shape: tuple[int, ...], vocabulary: int) -> None:
    """Check that a data set made here is of what the network reads."""
    if name in sequences.TASKS and not vocabulary:
        raise DataError(
            f"{name}: sequences of token numbers; the network reads {list(input_shape)} without an "
            f"Embedding of a vocabulary; {DIGITS} or a FILE.npz of images fits it"
        )
    if name == DIGITS and vocabulary:
        raise DataError(
            f"{name}: images; the network reads token numbers; {', '.join(sequences.TASKS)} or a "
            "FILE.npz of whole numbers [N, S] fits it"
        )
