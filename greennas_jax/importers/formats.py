"""Files of other formats: which one a file is, and reading it within limits."""

import os
import pathlib

from greennas_jax.importers import caffe, onnx_model, onnx_network, text_format
from greennas_jax.importers import draft as drafts
from greennas_jax.importers.draft import Asked, Imported
from greennas_jax.spec.network import SpecError

FORMATS = ("caffe", "onnx")
_BY_SUFFIX = {".prototxt": "caffe", ".prototext": "caffe", ".onnx": "onnx"}


def of_name(path: str | os.PathLike[str]) -> str:
    """Return the format that a file's name tells.

    Raises:
      SpecError: If it tells none.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise SpecError(
            f"{os.fspath(path)}: the name tells no format ({', '.join(_BY_SUFFIX)} do); "
            f"--format={'|'.join(FORMATS)} is needed"
        )
    return _BY_SUFFIX[suffix]


def load(
    path: str | os.PathLike[str],
    format: str | None = None,
    asked: Asked = drafts.NOTHING_ASKED,
) -> Imported:
    """Read a network from a file.

    Args:
      path: The file.
      format: Its format; by default the one that its name tells.
      asked: What the user states about the input.

    Raises:
      SpecError: If the file is too large, malformed, or its network cannot be told in the
        specification; the path is named.
      OSError: If the file cannot be read.
    """
    origin = os.fspath(path)
    format = of_name(path) if format is None else format
    source = f"{pathlib.Path(path).name} ({'Caffe' if format == 'caffe' else 'ONNX'})"
    most = 4 * text_format.LARGEST_TEXT if format == "caffe" else onnx_model.LARGEST_FILE
    with open(path, "rb") as file:
        data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    if data is None or len(data) > most:
        raise SpecError(f"{origin}: larger than {most} bytes, the most that is read")
    try:
        if format == "onnx":
            return onnx_network.read(data, source=source, asked=asked)
        return caffe.read(_text(data), source=source, asked=asked)
    except SpecError as error:
        raise SpecError(f"{origin}: {error}") from None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise SpecError(f"line {line}, column {column}: not UTF-8 text") from None
