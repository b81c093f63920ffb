"""Python files of the user's that register what is not in the package, run at the user's request.

Such a file calls `register` of one of the registries: `costs.terms`, `spec.layer_types`,
`spaces.catalogue`, `costs.conv_algorithms`, `costs.communication`. It is a program like any other
that the user starts; nothing is ever loaded because a network or a workdir names it.
"""

import hashlib
import importlib.util
import os
import pathlib
import traceback

_SUFFIX = ".py"
_loaded: dict[str, str] = {}


class PluginError(ValueError):
    """A file of the user's cannot be run; the message says where and why."""


def load(path: str | os.PathLike[str]) -> None:
    """Run a Python file once, so that it registers what it holds.

    Args:
      path: A file NAME.py; the same content again does nothing.

    Raises:
      PluginError: If it is no Python file, or stops; the line is named.
      OSError: If it cannot be read.
    """
    file = pathlib.Path(path)
    if file.suffix != _SUFFIX:
        raise PluginError(f"plugin {os.fspath(path)}: a file NAME.py needed")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest in _loaded.values():
        return
    name = f"greennas_plugin_{digest[:12]}"
    made = importlib.util.spec_from_file_location(name, file)
    if made is None or made.loader is None:
        raise PluginError(f"plugin {os.fspath(path)}: cannot be loaded as Python")
    module = importlib.util.module_from_spec(made)
    # Whatever the user's file raises is its user's to read, in one line and with its place.
    try:
        made.loader.exec_module(module)
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"plugin {os.fspath(path)}, {_place(error, file)}: {told}") from error
    _loaded[file.name] = digest


def _place(error: Exception, file: pathlib.Path) -> str:
    """Return the line of the user's file in which an error arose."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}"
    steps = traceback.extract_tb(error.__traceback__)
    own = [step.lineno for step in steps if pathlib.Path(step.filename) == file]
    return f"line {own[-1]}" if own else "as it is loaded"


def loaded() -> dict[str, str]:
    """Return the names of the files that were run, each with the SHA-256 of its content.

    Examples:
      >>> load("terms.txt")
      Traceback (most recent call last):
      greennas_jax.plugins.PluginError: plugin terms.txt: a file NAME.py needed
    """
    return dict(sorted(_loaded.items()))
