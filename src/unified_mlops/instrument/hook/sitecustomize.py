"""Imported first by every Python below `umlops run`: lets plugins patch modules once imported.

It stands by itself, as the command's Python may be another one than ours, and it never breaks the
command: a patch that fails is one warning.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  pathlib costs 5 ms here


class Instruments:
    """A finder that finds what the others find, and patches it after it was executed.

    Args:
        wanted: the patches, as `module:function`, by the module that they are for.
    """

    def __init__(self, wanted: dict[str, list[str]]) -> None:
        self._wanted = wanted
        self._asking: set[str] = set()

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The spec of a module that is to be patched; None for any other."""
        if name not in self._wanted or name in self._asking:
            return None
        self._asking.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking.discard(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            with contextlib.suppress(AttributeError):  # a loader that takes no attributes
                loader.exec_module = self._patching(name, loader.exec_module)
        return spec

    def _patching(self, name: str, execute: Callable[[ModuleType], None]) -> Any:
        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.patch(name, module)

        return exec_module

    def patch(self, name: str, module: ModuleType) -> None:
        """Apply the patches for a module."""
        for value in self._wanted[name]:
            home, _, function = value.partition(":")
            try:
                getattr(importlib.import_module(home), function)(module)
            except Exception as error:  # noqa: BLE001  the command goes on without it
                _warn(f"umlops run: {value} could not instrument {name!r}: {error}")


def _warn(message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # also where the command turns warnings into errors
        warnings.warn(message, stacklevel=2)


def _install() -> None:
    try:
        wanted = json.loads(os.environ.get("UNIFIED_MLOPS_INSTRUMENTS", "{}"))
    except ValueError as error:
        return _warn(f"umlops run: nothing is instrumented: {error}")
    finder: Any = Instruments(wanted)
    sys.meta_path.insert(0, finder)
    for name in [each for each in wanted if each in sys.modules]:
        finder.patch(name, sys.modules[name])
    return None


def _chain() -> None:
    """Give way to the `sitecustomize` that would have been imported without us."""
    sys.path[:] = [each for each in sys.path if each != _HERE]
    sys.path_importer_cache.pop(_HERE, None)
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    _install()
    _chain()
