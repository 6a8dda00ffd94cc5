"""The folder of a run: its config.json, and what a checkpoint says of where it came from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from resnet_jax.config import Config, changes, from_dict, to_dict
from resnet_jax.nearest import nearest

# Fields, and groups of them, that may change between the starts of one run: they change no number in it.
FREE = (
    "workdir",
    "data.data_dir",
    "data.threads",
    "train.parallel",
    "train.log_every_steps",
    "train.deterministic",
    "checkpoint",
    "log",
    "resume",
    "distributed",
)


def make_folder(folder: Path) -> None:
    """Raises ValueError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the run's folder {folder}: {error.strerror}") from None


def record_config(folder: Path, config: Config) -> list[str]:
    """Writes config.json, or checks that the run in `folder` has the same config. Returns what there is to tell.

    With `resume.allow_changes` a changed config is written, and the one before kept in the list "before".

    Raises:
      ValueError: a run of another config, or a file that is none.
    """
    file = folder / "config.json"
    record: dict[str, Any] = {"config": to_dict(config), "versions": versions(), "commit": _commit()}
    if not file.exists():
        _write(file, record)
        return []
    try:
        before = to_dict(read_config(folder))
    except ValueError as error:
        raise ValueError(f"{error}; choose another --workdir") from None
    differ = {name: pair for name, pair in changes(before, record["config"]).items() if not _free(name)}
    if not differ:
        return []
    named = ", ".join(f"{name} was {old!r}, now {new!r}" for name, (old, new) in differ.items())
    if not config.resume.allow_changes:
        raise ValueError(
            f"{folder} holds a run of another config: {named}; choose another --workdir, or --resume.allow-changes"
        )
    last = json.loads(file.read_text())
    _write(file, record | {"before": [*last.pop("before", []), last]})
    return [f"going on with another config: {named}"]


def _free(name: str) -> bool:
    return name in FREE or name.partition(".")[0] in FREE


def _write(file: Path, record: dict[str, Any]) -> None:
    new = file.with_suffix(".new")
    new.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(new, file)


def read_config(folder: str | Path) -> Config:
    """The config of a run.

    Raises:
      FileNotFoundError: no such folder, or no run in it.
      ValueError: its config.json is something else.
    """
    folder = Path(folder)
    file = folder / "config.json"
    if not file.is_file():
        runs = [path.parent.name for path in folder.parent.glob("*/config.json")]
        there = "has no config.json" if folder.is_dir() else "is not there"
        if inside := sorted(path.parent.name for path in folder.glob("*/config.json")):
            raise FileNotFoundError(f"{folder} is no run; runs in it: {', '.join(inside[:10])}")
        raise FileNotFoundError(
            f"{folder} {there}; wanted: the folder of a run; {nearest(folder.name, runs, 'see runs/')}"
        )
    try:
        record = json.loads(file.read_text())
        if not isinstance(record, dict) or "config" not in record:
            raise ValueError("it has no entry 'config'")
        return from_dict(record["config"])
    except (ValueError, RecursionError) as error:  # the second of brackets nested too deep
        raise ValueError(f"{file} is not the config of a run: {error}") from None


def versions() -> dict[str, str | None]:
    """Of each package: None where it runs from its source and is not installed."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    names = ("flax-resnets", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {name: version(name) for name in names}


def _commit() -> str | None:
    """The commit of the source tree this runs from ("-dirty" if it was changed), or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
