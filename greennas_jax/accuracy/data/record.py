"""What is read from a source, what a network wants of it, and the data set that comes of both.

Shapes: N images or sequences, H height, W width, C channels, S places.
"""

from typing import NamedTuple

import numpy as np


class DataError(ValueError):
    """A data set cannot be used; the message says what, where and what is allowed."""


class DataSet(NamedTuple):
    """Images and labels int32 [N] of three disjoint splits.

    Images are float32 in the network's input shape, [N, H, W, C], [N, F] or [N, S, D], or they are
    token numbers, int32 [N, S].

    Attributes:
      name: What reports call it.
      train_images: Trained on.
      train_labels: Of those.
      validation_images: What a search judges by.
      validation_labels: Of those.
      test_images: What the final test alone judges by.
      test_labels: Of those.
      classes: One more than the largest label.
      class_names: By label; none where the source has no names.
      notes: What a reader of the report should know about the data, a line each.
      chiral: Whether a mirrored image is known to mean something else.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    chiral: bool = False


class Wanted(NamedTuple):
    """What a network and a configuration want of a source.

    Attributes:
      input_shape: Height, width and channels (or features, or tokens) of the network's input.
      outputs: How many classes the network tells apart.
      vocabulary: Tokens that the network knows; 0 where it reads no token numbers.
      resize: Whether images of another size are resized.
      seed: Decides the splits.
    """

    input_shape: tuple[int, ...]
    outputs: int
    vocabulary: int = 0
    resize: bool = False
    seed: int = 0


class Labelled(NamedTuple):
    """Images [N, H, W, C] of any real type, or token numbers [N, S], and labels int [N]."""

    images: np.ndarray
    labels: np.ndarray


class Names(NamedTuple):
    """What messages call the parts of a source."""

    train_images: str = "training images"
    train_labels: str = "training labels"
    test_images: str = "test images"
    test_labels: str = "test labels"


class Source(NamedTuple):
    """What was read.

    Attributes:
      name: What reports call it.
      where: What messages call it: a path, mostly.
      train: To train on and to validate with, or all there is.
      test: To test with; None where a part of `train` has to serve.
      names: What messages call its parts.
      class_names: By label; none where the source has no names.
      notes: What a reader of the report should know about it.
      chiral: Whether a mirrored image is known to mean something else.
    """

    name: str
    where: str
    train: Labelled
    test: Labelled | None = None
    names: Names = Names()
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    chiral: bool = False


def class_words(label: int, class_names: tuple[str, ...]) -> str:
    """Return a class by its name, where it has one, or by its label."""
    return f"'{class_names[label]}'" if label < len(class_names) else str(label)
