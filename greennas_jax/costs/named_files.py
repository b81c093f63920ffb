"""JSON files that go by a name: devices and links, each kind in its folder of configs."""

import os
import pathlib

from greennas_jax.spec import limits, text_files


def names(folder: pathlib.Path) -> tuple[str, ...]:
    """Return the names of a folder's JSON files, sorted; NAME.OTHER.json belongs to NAME.json."""
    return tuple(sorted(path.stem for path in folder.glob("*.json") if "." not in path.stem))


def read(
    name_or_path: str | os.PathLike[str],
    folder: pathlib.Path,
    kind: str,
    error: type[ValueError],
) -> tuple[str, str]:
    """Return a file's text and its path, by its name (in any case) or its path.

    Args:
      name_or_path: A name in the folder, or a path: a text that ends in .json or has a separator.
      folder: Where the named files lie.
      kind: What the files state, for messages.
      error: What is raised for an unknown name and for what is not text.

    Raises:
      error: If the name is not known, or the file not UTF-8 text.
      OSError: If a file cannot be read.
    """
    text = os.fspath(name_or_path)
    known = {name.lower(): name for name in names(folder)}
    if text.lower() in known:
        path = folder / f"{known[text.lower()]}.json"
    elif text.endswith(".json") or os.sep in text:
        path = pathlib.Path(text)
    else:
        listed = ", ".join(known) if known else f"none found in {folder}"
        raise error(f"{kind} '{text}' is not known; allowed: {listed}, or a {kind} file")
    try:
        return text_files.read(path, limits.LARGEST_JSON), str(path)
    except text_files.FileError as refused:
        raise error(f"{kind} file {refused}") from None
