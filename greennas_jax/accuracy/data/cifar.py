"""CIFAR-10 and CIFAR-100 in their public binary form (Krizhevsky 2009).

A record is one label byte (CIFAR-100: the coarse one, then the fine one) and 3072 bytes of pixels:
1024 of red, of green and of blue, each by rows (https://www.cs.toronto.edu/~kriz/cifar.html).

Shapes: N records.
"""

import os
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from greennas_jax.accuracy.data.record import DataError, Labelled, Source, Wanted

SIZE = 32
PIXELS = 3 * SIZE * SIZE
COARSE, FINE = 20, 100


class Form(NamedTuple):
    """One of the two data sets as files.

    Attributes:
      name: What messages call it.
      train: Its training files, in order.
      test: Its test file.
      records: Records of each public file, training and test.
      labels: How many classes each label byte tells apart.
      names: Text file of class names, one a line, for each label byte.
      pickled: Files by which its Python form is recognised.
    """

    name: str
    train: tuple[str, ...]
    test: str
    records: tuple[int, int]
    labels: tuple[int, ...]
    names: tuple[str, ...]
    pickled: frozenset[str]

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return len(self.labels) + PIXELS


TEN = Form(
    "CIFAR-10",
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test_batch.bin",
    (10_000, 10_000),
    (10,),
    ("batches.meta.txt",),
    frozenset({"data_batch_1", "test_batch"}),
)
HUNDRED = Form(
    "CIFAR-100",
    ("train.bin",),
    "test.bin",
    (50_000, 10_000),
    (COARSE, FINE),
    ("coarse_label_names.txt", "fine_label_names.txt"),
    frozenset({"train", "test", "meta"}),
)


def recognised(folder: str, files: Collection[str]) -> Form | None:
    """Return which of the two a folder holds by the names of its files, None for neither.

    Raises:
      DataError: If it holds the Python form.
    """
    for form in (TEN, HUNDRED):
        if {*form.train, form.test} & set(files):
            return form
        if form.pickled <= set(files):
            raise DataError(
                f"{folder}: the Python version of {form.name} is pickles, which are never "
                f"unpickled; the binary version is wanted ({_files(form)})"
            )
    return None


def _files(form: Form) -> str:
    first = form.train[0] if len(form.train) == 1 else f"{form.train[0]} to {form.train[-1]}"
    return f"{first} and {form.test}"


def _records(form: Form, path: str, public: int) -> np.ndarray:
    """Return a file's records, uint8 [N, record]."""
    length = os.path.getsize(path)
    if not length or length % form.record:
        raise DataError(
            f"{path}: {length} bytes; whole records of {form.record} bytes needed, as in the "
            f"public file of {public * form.record} bytes"
        )
    found = np.fromfile(path, np.uint8).reshape(-1, form.record)
    for column, classes in enumerate(form.labels):
        wrong = np.flatnonzero(found[:, column] >= classes)
        if len(wrong):
            raise DataError(
                f"{path}: record {wrong[0]} has label {found[wrong[0], column]}; 0 to "
                f"{classes - 1} needed"
            )
    return found


def _part(form: Form, records: np.ndarray, column: int) -> Labelled:
    pixels = records[:, len(form.labels) :].reshape(-1, 3, SIZE, SIZE)
    return Labelled(pixels.transpose(0, 2, 3, 1), records[:, column].astype(np.int32))


def _class_names(path: str, classes: int) -> tuple[str, ...]:
    """Return the names in a text file that lies beside the data, none where they are not told."""
    try:
        with open(path, encoding="utf-8") as file:
            found = tuple(line.strip() for line in file if line.strip())
    except (OSError, UnicodeDecodeError):
        return ()
    return found if len(found) == classes else ()


def read(folder: str, form: Form, wanted: Wanted) -> Source:
    """Return the images of a folder of binary files.

    A network that tells 20 classes apart learns CIFAR-100's coarse labels, every other one its
    fine ones.

    Args:
      folder: Holds the files.
      form: Which files.
      wanted: What the network wants.

    Raises:
      DataError: If a file is missing or damaged, or there are more classes than outputs.
      OSError: If a file cannot be read.
    """
    missing = [
        name for name in (*form.train, form.test) if not os.path.isfile(os.path.join(folder, name))
    ]
    if missing:
        raise DataError(f"{folder}: {form.name} without file '{missing[0]}'; {_files(form)} needed")
    column = 0 if form is TEN or wanted.outputs == COARSE else 1
    classes = form.labels[column]
    if classes > wanted.outputs:
        allowed = "" if form is TEN else f" ({COARSE} would be the coarse labels)"
        raise DataError(
            f"{folder}: {form.name} has {classes} classes; the network tells {wanted.outputs} "
            f"apart{allowed}"
        )
    train = np.concatenate(
        [_records(form, os.path.join(folder, name), form.records[0]) for name in form.train]
    )
    test = _records(form, os.path.join(folder, form.test), form.records[1])
    level = "" if form is TEN else f" ({('coarse', 'fine')[column]} labels)"
    return Source(
        name=form.name + level,
        where=folder,
        train=_part(form, train, column),
        test=_part(form, test, column),
        class_names=_class_names(os.path.join(folder, form.names[column]), classes),
    )
