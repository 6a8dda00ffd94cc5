"""Old names that `moved` lists: importable for one version, with a DeprecationWarning. Standard library only."""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, spec_from_loader
from types import CodeType, ModuleType
from typing import Any

from resnet_jax.moved import MOVED, NOW_PACKAGES, RENAMED, REPLACED

PACKAGE = "resnet_jax"


def _by_module(table: dict[str, str]) -> dict[str, dict[str, str]]:
    """Rows of a table by the module of the old name (its present path, below `resnet_jax`)."""
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for old, new in table.items():
        module, _, name = old.rpartition(".")
        rows[MOVED.get(module, module)][name] = new
    return rows


_RENAMED, _REPLACED = _by_module(RENAMED), _by_module(REPLACED)


def install() -> None:
    """Makes the old names importable. It precedes the usual finder, which would load submodules a second time."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The spec of an old path, or of a module whose objects have old names; None: the usual finder imports it.

        It is called with the import lock: an import here could wait for another thread's forever.
        """
        package, _, short = name.partition(".")
        if package != PACKAGE:
            return None
        if short in MOVED and short not in NOW_PACKAGES:
            return spec_from_loader(name, _Moved())
        if short in NOW_PACKAGES or short in _RENAMED or short in _REPLACED:
            spec = PathFinder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _WithOldNames(spec.loader)
            return spec
        return None


class _Moved(Loader):
    """Loads the module of the new path: the same object under both names."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = f"{PACKAGE}.{MOVED[old.removeprefix(f'{PACKAGE}.')]}"
        warn(f"{old} is now {new}", stacklevel=2)
        sys.modules[old] = import_module(new)  # importlib takes the module from there

    def get_code(self, name: str) -> CodeType | None:
        """The code of the new path, for `python -m`."""
        new = f"{PACKAGE}.{MOVED[name.removeprefix(f'{PACKAGE}.')]}"
        warn(f"{name} is now {new}", stacklevel=2)
        spec: Any = find_spec(new)
        code: CodeType | None = spec.loader.get_code(new)
        return code


class _WithOldNames(Loader):
    """A loader whose module has its old names too. The module keeps the loader that it would have without."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:  # get_code, get_source, ...
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        namespace: Any = module
        namespace.__loader__ = namespace.__spec__.loader = self._loader
        namespace.__getattr__ = _old_names(module.__name__)
        self._loader.exec_module(module)


def _old_names(module: str) -> Callable[[str], Any]:
    """`__getattr__` of a module."""
    short = module.removeprefix(f"{PACKAGE}.")
    homes = [short, MOVED[short]] if short in NOW_PACKAGES else [short]

    def __getattr__(name: str) -> Any:
        for home in homes:
            if name in _RENAMED[home]:
                new = f"{PACKAGE}.{_RENAMED[home][name]}"
                warn(f"{module}.{name} is now {new}", stacklevel=2)
                return getattr(import_module(new.rpartition(".")[0]), new.rpartition(".")[2])
            if name in _REPLACED[home]:
                raise ImportError(f"{module}.{name} is gone; {_REPLACED[home][name]}", name=module)
        if short in NOW_PACKAGES and not name.startswith("__"):
            if find_spec(f"{module}.{name}") is not None:
                return import_module(f"{module}.{name}")
            if name in vars(moved := import_module(f"{PACKAGE}.{MOVED[short]}")):
                warn(f"{module}.{name} is now {moved.__name__}.{name}", stacklevel=2)
                return getattr(moved, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


class CallableModule(ModuleType):
    """A module that is called as its function `main`: `resnet_jax.cli.main` was a function of a module `cli`."""

    def __call__(self, *arguments: Any) -> None:
        warn(f"{self.__name__} is now {self.__name__}.main", stacklevel=2)
        self.main(*arguments)


def warn(message: str, stacklevel: int) -> None:
    """Warns of an old name; `stacklevel` counts from the caller."""
    message = f"{message}; the old name goes with the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
