"""Old module paths, importable for one version with a DeprecationWarning. Standard library only."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import CodeType, ModuleType
from typing import Any

PACKAGE = "resnet_jax"
MOVED = {  # old: new, below `resnet_jax`
    "arguments": "cli.arguments",
    "cli": "cli.main",
    "commands": "cli.process",
    "evaluation": "runs.saved.evaluation_files",
    "nearest": "errors",
    "survey": "runs.planning.survey",
    "data.augment": "data.augment.device",
    "data.examples": "data.sources.stored",
    "data.formats": "data.sources.formats",
    "data.formats.arrays": "data.sources.formats.arrays",
    "data.formats.cifar": "data.sources.formats.cifar",
    "data.formats.folders": "data.sources.formats.folders",
    "data.formats.idx": "data.sources.formats.idx",
    "data.formats.labels": "data.sources.formats.labels",
    "data.formats.listing": "data.sources.formats.listing",
    "data.formats.npz": "data.sources.formats.npz",
    "data.formats.shards": "data.sources.formats.shards",
    "data.formats.splits": "data.sources.formats.splits",
    "data.identity": "data.sources.identity",
    "data.images": "data.loading.decoding",
    "data.parquet": "data.sources.parquet",
    "data.photographs": "data.loading.streaming",
    "data.reading": "data.loading.reading",
    "data.contact_sheet": "analysis.contact_sheet",
    "data.sheet": "analysis.contact_sheet",
    "data.sources": "data.loading.memory",
    "data.tfds": "data.sources.tfds",
    "ops.conv_cpu_grouped": "ops.conv_cpu",
    "training.best": "checkpoints.best",
    "training.checkpoint": "checkpoints.manager",
    "training.confusion": "metrics.confusion",
    "training.data_record": "runs.files.image_record",
    "training.distributed": "distributed.processes",
    "training.evaluate": "evaluation.evaluate",
    "training.folder": "runs.files.directory",
    "training.gradients": "training.gradient_flow",
    "training.init": "runs.starting.warm_start",
    "training.integrity": "checkpoints.checksums",
    "training.lock": "runs.files.lock",
    "training.losses": "tasks.losses",
    "training.log": "runs.loop.recorder",
    "training.loop": "runs.trainer",
    "training.memory": "runs.loop.memory",
    "training.numerics": "runs.planning.numerics",
    "training.parallel": "distributed.devices",
    "training.plan": "runs.planning.plan",
    "training.predict": "evaluation.predictions",
    "training.preemption": "distributed.signals",
    "training.protocols": "evaluation.views",
    "training.recalibrate": "runs.saved.recalibrate",
    "training.replay": "runs.saved.replay",
    "training.report": "runs.loop.reporter",
    "training.session": "runs.starting.build",
    "training.steps": "training.step",
    "training.writers": "runs.loop.writers",
    "weights.saved": "weights.writers",
}
# A package has the old name now; `moved_names` serves the names that were in the module.
NOW_PACKAGES = frozenset({"cli", "data.augment", "data.sources", "evaluation"})


class MovedModules(MetaPathFinder, Loader):
    """Finds an old path and loads the module of the new one, the same object under both names."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        old = name.removeprefix(f"{PACKAGE}.")
        return spec_from_loader(name, self) if old != name and old in MOVED and old not in NOW_PACKAGES else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = f"{PACKAGE}.{MOVED[old.removeprefix(f'{PACKAGE}.')]}"
        _warn(old, new)
        sys.modules[old] = import_module(new)  # importlib takes the module from there

    def get_code(self, name: str) -> CodeType | None:
        """The code of the new path, for `python -m`."""
        new = f"{PACKAGE}.{MOVED[name.removeprefix(f'{PACKAGE}.')]}"
        _warn(name, new)
        spec: Any = find_spec(new)
        code: CodeType | None = spec.loader.get_code(new)
        return code


def install() -> None:
    """Makes the old paths importable. It precedes the usual finder, which would load submodules a second time."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedModules())


def moved_names(package: str) -> Callable[[str], Any]:
    """`__getattr__` of a package whose name was a module's before: the names of that module, with a warning."""
    new = f"{PACKAGE}.{MOVED[package.removeprefix(f'{PACKAGE}.')]}"

    def __getattr__(name: str) -> Any:
        if not name.startswith("__"):
            if find_spec(f"{package}.{name}") is not None:
                return import_module(f"{package}.{name}")
            if hasattr(import_module(new), name):
                _warn(f"{package}.{name}", f"{new}.{name}")
                return getattr(import_module(new), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__


def renamed_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """`__getattr__` of a module: old names of its objects, "package.module.name" below `resnet_jax` each; warns."""

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = f"{PACKAGE}.{names[name]}".rpartition(".")
        _warn(f"{module}.{name}", f"{home}.{new}")
        return getattr(import_module(home), new)

    return __getattr__


class CallableModule(ModuleType):
    """A module that is called as its function `main`: `resnet_jax.cli.main` was a function of a module `cli`."""

    def __call__(self, *arguments: Any) -> None:
        _warn(self.__name__, f"{self.__name__}.main")
        self.main(*arguments)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}; the old name goes with the next version", DeprecationWarning, stacklevel=3)
