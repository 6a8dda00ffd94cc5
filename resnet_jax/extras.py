"""Packages that extras of the distribution install: flax-resnets[train], and others. Standard library only."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from resnet_jax.errors import MissingExtra

EXTRAS = {
    "tensorflow_datasets": "train",
    "importlib_resources": "train",
    "array_record": "train",
    "grain": "train",
    "tensorboardX": "train",
    "pyarrow": "parquet",
    "h5py": "h5",
    "soundfile": "audio",
    "scipy": "audio",
    "huggingface_hub": "hub",
    "ftfy": "clip",
    "regex": "clip",
    "matplotlib": "plots",
    "wandb": "wandb",
}


@contextmanager
def extra() -> Iterator[None]:
    """Context for imports of such packages.

    Raises:
      MissingExtra: a package is not installed; the message has the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingExtra(_message(package), name=package) from error


def check_installed(package: str) -> None:
    """Raises MissingExtra for a package that is not installed, without importing it."""
    if not is_installed(package):
        raise MissingExtra(_message(package), name=package)


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def install_command(package: str) -> str:
    """The command that installs a package with its extra."""
    return f"pip install 'flax-resnets[{EXTRAS[package]}]'"


def _message(package: str) -> str:
    return f"{package} is not installed: {install_command(package)}"
