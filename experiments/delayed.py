"""Imports that wait for the flags, so that `--help` answers at once.

A program states its imports on top, as any module does. Until `now` is called, modules of the
package are only found; each is executed when something of it is first used (the recipe of the
standard library, `importlib.util.LazyLoader`). What a flag's definition uses is therefore loaded,
and nothing else. Afterwards all are executed, in the order in which they were named, so that the
work itself meets ordinary modules.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

PACKAGE = "greennas_jax"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the package's modules as ever, but has them executed on first use."""

    def __init__(self):
        self.named: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != PACKAGE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        # A package holds no code; its submodules are looked for in it at once.
        if spec is None or spec.loader is None or spec.submodule_search_locations is not None:
            return spec
        spec.loader = importlib.util.LazyLoader(spec.loader)
        self.named.append(fullname)
        return spec


_FINDER = _Finder()


def begin() -> None:
    """Let imports of the package wait from here on."""
    sys.meta_path.insert(0, _FINDER)


def now() -> None:
    """Execute everything that was imported meanwhile; later imports are ordinary ones."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
    for name in _FINDER.named:
        # Any attribute will do.
        _ = sys.modules[name].__doc__
