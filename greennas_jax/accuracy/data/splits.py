"""From what was read to a data set: stratified splits, the network's shape, standardised.

Shapes: N images or sequences.
"""

import numpy as np

from greennas_jax.accuracy.data import checks, images
from greennas_jax.accuracy.data.record import DataError, DataSet, Labelled, Source, Wanted


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


def with_test(source: Source, seed: int) -> Source:
    """Return a source with a test split; a missing one is a fifth of all, stratified."""
    if source.test is not None:
        return source
    found, labels = source.train
    order = stratified_order(labels, np.random.default_rng([seed, 1]))
    held = -(-len(labels) // checks.PARTS)
    known, test = order[:-held], order[-held:]
    return source._replace(
        train=Labelled(found[known], labels[known]), test=Labelled(found[test], labels[test])
    )


def assemble(source: Source, wanted: Wanted) -> DataSet:
    """Return a source as a data set: checked, split and brought into a network's input shape.

    Of images without a test split, a fifth becomes that; a fifth of all that is there to train on
    becomes the validation split. Both are stratified. Images are standardised with the mean and
    the deviation of each channel of the training split alone.

    Args:
      source: What was read.
      wanted: What the network wants.

    Raises:
      DataError: If the data cannot be used.
    """
    where, names = source.where, source.names
    if source.test is not None and source.train.images.shape[1:] != source.test.images.shape[1:]:
        raise DataError(
            f"{where}: {names.train_images} {list(source.train.images.shape)} and "
            f"{names.test_images} {list(source.test.images.shape)} differ in size"
        )
    checks.amounts(
        where, len(source.train.labels), None if source.test is None else len(source.test.labels)
    )
    checks.labels(source, wanted.outputs)
    total = len(source.train.labels)
    source = with_test(source, wanted.seed)
    return data_set(source, wanted, total // checks.PARTS)


def data_set(source: Source, wanted: Wanted, validation: int) -> DataSet:
    """Split what is known into training and validation, and bring all into the input's shape.

    Args:
      source: What was read, checked and with a test split.
      wanted: What the network wants.
      validation: How many images become the validation split.

    Raises:
      DataError: If the images do not fit the network.
    """
    labels = source.train.labels
    order = stratified_order(labels, np.random.default_rng(wanted.seed))
    train, held = order[: len(order) - validation], order[len(order) - validation :]
    if source.test is None:
        raise DataError(f"{source.where}: no test split")
    test = source.test
    if wanted.vocabulary:
        parts = [
            part.astype(np.int32)
            for part in (source.train.images[train], source.train.images[held], test.images)
        ]
    else:
        parts = _standardised(source, wanted, train, held, test.images)
    targets = [part.astype(np.int32) for part in (labels[train], labels[held], test.labels)]
    return DataSet(
        source.name,
        parts[0],
        targets[0],
        parts[1],
        targets[1],
        parts[2],
        targets[2],
        1 + max(int(part.max()) for part in targets[:2]),
        source.class_names,
        tuple(checks.notes(source, wanted)),
        source.chiral,
    )


def _standardised(
    source: Source, wanted: Wanted, train: np.ndarray, held: np.ndarray, test: np.ndarray
) -> list[np.ndarray]:
    """Return the images of the three splits as the network reads them."""
    known = source.train.images
    shape = known.shape[1:]
    size = images.target(source.where, shape, wanted.input_shape, wanted.resize)
    images.check_bytes(source.where, len(known) + len(test), size)
    parts = [images.fitted(part, size) for part in (known[train], known[held], test)]
    mean, deviation = images.moments(parts[0])
    if not (deviation > 0).all():
        raise DataError(f"{source.where}: a channel of the training images is the same everywhere")
    found = [images.standardised(part, mean, deviation) for part in parts]
    return [part.reshape(len(part), *wanted.input_shape) for part in found]
