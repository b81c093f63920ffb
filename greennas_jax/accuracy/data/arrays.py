"""One's own arrays: an .npz file, in which nothing is ever executed."""

import os
import tokenize
import zipfile
import zlib

import numpy as np

from greennas_jax.accuracy.data import checks
from greennas_jax.accuracy.data.record import DataError, Labelled, Names, Source, Wanted

KEYS = ("x_train", "y_train", "x_test", "y_test")
NEEDED = KEYS[:2]

_UNREADABLE = (
    ValueError,
    TypeError,
    # Of the file that is open already: zipfile seeks to where a damaged directory sends it.
    OSError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_WANTED = f"{', '.join(KEYS)} needed, the last two or neither"


def _array(path: str, file: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        return file[key]
    except _UNREADABLE as error:
        # numpy refuses to unpickle in these words; it has no type of its own for it.
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: '{key}' holds Python objects, which are never unpickled; plain numbers "
                "needed"
            ) from error
        raise DataError(f"{path}: '{key}' is damaged or no plain array; {_WANTED}") from error


def _read(path: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file that are known by name."""
    with open(path, "rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("one array alone")
        except _UNREADABLE as error:
            raise DataError(f"{path}: not an .npz file of plain arrays ({_WANTED})") from error
        found = {key: _array(path, arrays, key) for key in KEYS if key in arrays}
    wanted = KEYS if set(found) & set(KEYS[2:]) else NEEDED
    missing = [key for key in wanted if key not in found]
    if missing:
        raise DataError(f"{path}: array '{missing[0]}' is missing; {_WANTED}")
    return found


def read(path: str, wanted: Wanted) -> Source:
    """Return the arrays of an .npz file.

    Args:
      path: Of a file with x_train and y_train, and x_test and y_test or neither: images [N, H, W]
        or [N, H, W, C], or token numbers [N, S]; labels whole numbers from 0.
      wanted: What the network wants.

    Raises:
      DataError: If the file's arrays cannot be used.
      OSError: If it cannot be read.
    """
    arrays = _read(path)

    def part(images: str, labels: str) -> Labelled:
        found = (
            checks.token_array(
                path, f"'{images}'", arrays[images], wanted.input_shape[0], wanted.vocabulary
            )
            if wanted.vocabulary
            else checks.image_array(path, f"'{images}'", arrays[images])
        )
        own = checks.label_array(path, f"'{labels}'", arrays[labels], len(found))
        return Labelled(found, own)

    return Source(
        name=os.path.basename(path),
        where=path,
        train=part(*KEYS[:2]),
        test=part(*KEYS[2:]) if KEYS[2] in arrays else None,
        names=Names(*(f"'{key}'" for key in KEYS)),
    )
