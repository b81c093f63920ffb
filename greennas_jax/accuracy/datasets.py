"""Data sets for real training, by name: digits, sequence tasks, and one's own of several kinds.

Images are given the network's size and channels and standardised with the training split's mean
and deviation; token numbers stay as they are. A search reads the training and validation split; the
test split is for the final test alone.
"""

import os

import numpy as np

from greennas_jax.accuracy import sequences
from greennas_jax.accuracy.data import arrays, cifar, folders, splits, tensorflow
from greennas_jax.accuracy.data.record import DataError, DataSet, Labelled, Source, Wanted

DEFAULT = "default"
DIGITS = "digits"
DEFAULT_TASK = "brackets"
# Of a sequence task; a fifth is for the test, a fifth of all for validation.
SEQUENCES = 5000
OWN = "a FILE.npz, a FOLDER of images in class folders or of CIFAR's binary files, or tfds:NAME"


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
    known, test = Labelled(tokens[:-part], labels[:-part]), Labelled(tokens[-part:], labels[-part:])
    return splits.data_set(
        Source(name, name, known, test), Wanted((length,), 2, vocabulary, seed=seed), part
    )


def digits(input_shape: tuple[int, ...], seed: int = 0, outputs: int = 10) -> DataSet:
    """Return scikit-learn's handwritten digits (Alpaydin and Kaynak 1998), split 60/20/20.

    Args:
      input_shape: Height, width and channels (or features) of the network's input.
      seed: Decides the split: 1078 training, 359 validation and 360 test images.
      outputs: How many classes the network tells apart.
    """
    # Imported where it is used: it takes longer to import than all the rest of a short run.
    from sklearn import datasets as sklearn_datasets

    found = sklearn_datasets.load_digits()
    images, labels = found.images[..., None], found.target  # pyright: ignore[reportAttributeAccessIssue] -- a Bunch
    source = Source(DIGITS, DIGITS, Labelled(images, np.asarray(labels)), chiral=True)
    return splits.assemble(source, Wanted(input_shape, outputs, resize=True, seed=seed))


def load(
    name: str,
    input_shape: tuple[int, ...],
    outputs: int,
    seed: int = 0,
    *,
    vocabulary: int = 0,
    resize: bool = False,
) -> DataSet:
    """Return a data set by name, fitted to a network.

    Args:
      name: "digits", one of `sequences.TASKS`, "default" for what fits the input (digits, or
        brackets for token numbers), the path of an .npz file, of a folder of images or of CIFAR's
        binary files, or "tfds:NAME" (which may download).
      input_shape: Height, width and channels (or features, or tokens) of the network's input.
      outputs: How many classes the network tells apart.
      seed: Decides the splits.
      vocabulary: Tokens that the network knows; 0 where it reads no token numbers.
      resize: Whether images of another size than the network's are resized; digits and folders
        always are.

    Raises:
      DataError: If the name is unknown or the data cannot be used.
      OSError: If a file cannot be read.
    """
    if name == DEFAULT:
        name = DEFAULT_TASK if vocabulary else DIGITS
    wanted = Wanted(input_shape, outputs, vocabulary, resize, seed)
    if name in sequences.TASKS:
        if not vocabulary:
            raise DataError(
                f"{name}: sequences of token numbers; the network reads {list(input_shape)} "
                f"without an Embedding of a vocabulary; {DIGITS} or a FILE.npz of images fits it"
            )
        return task(name, input_shape[0], vocabulary, seed)
    if name.endswith(".npz"):
        return splits.assemble(arrays.read(name, wanted), wanted)
    folder = os.path.isdir(name)
    if vocabulary and (folder or name == DIGITS or name.startswith(tensorflow.PREFIX)):
        raise DataError(
            f"{name}: images; the network reads token numbers; {', '.join(sequences.TASKS)} or a "
            "FILE.npz of whole numbers [N, S] fits it"
        )
    if name == DIGITS:
        if outputs < 10:
            raise DataError(f"{name}: 10 classes; the network tells {outputs} apart")
        return digits(input_shape, seed, outputs)
    if name.startswith(tensorflow.PREFIX):
        return splits.assemble(tensorflow.read(name, wanted), wanted)
    if folder:
        return splits.assemble(_of_folder(name, wanted), wanted)
    known = ", ".join((DIGITS, *sequences.TASKS, DEFAULT))
    raise DataError(f"data set {name!r} is not known; allowed: {known}, {OWN}")


def _of_folder(folder: str, wanted: Wanted) -> Source:
    """Return what a folder holds: CIFAR by the names of its files, else images in class folders."""
    files = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))]
    form = cifar.recognised(folder, files)
    return folders.read(folder, wanted) if form is None else cifar.read(folder, form, wanted)
