"""The folder of a run: its config.json, and what a checkpoint says of where it came from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import subprocess
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from resnet_jax.checkpoints.manager import kept_steps, read_meta
from resnet_jax.config import DEFAULT_WARMUP, Config, changes, from_dict, read_config_json, to_dict
from resnet_jax.errors import did_you_mean, listed
from resnet_jax.files import expanded, replace_file
from resnet_jax.metrics.confusion import FOLDER, remove_evaluation

# Fields, and groups of them, that may change between the starts of one run: they change no step that is made.
FREE = (
    "workdir",
    "data.path",  # the images themselves are compared, with their labels
    "data.labels",
    "data.data_dir",
    "data.threads",
    "data.eval_batch_size",
    "data.unreadable",
    "optim.warmup_shrinks",  # without it a warmup that it would change is an error
    "train.parallel",
    "train.log_every_steps",
    "train.patience",
    "train.deterministic",
    "checkpoint",
    "log",
    "resume",
    "distributed",
)


LOCATED = ("path", "labels", "data_dir")  # fields of data that are paths


def make_folder(folder: Path) -> None:
    """Raises ValueError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the run's folder {folder}: {error.strerror}") from None


def find_run_directory(path: str | Path) -> Path:
    """The run's directory, from its own path, that of its `checkpoints`, or that of one step in there."""
    path = expanded(path)
    if (path / "checkpoints").is_dir():
        return path
    inner = path.resolve()
    return next((one.parent for one in (inner, inner.parent) if one.name == "checkpoints"), path)


def remove_empty_run(folder: Path) -> None:
    """Removes the folder of a run, which this process has locked, if nothing has been written there."""
    with suppress(OSError):  # what is there stays
        (folder / "checkpoints").rmdir()
        if [path.name for path in folder.iterdir()] == ["lock"]:
            (folder / "lock").unlink()
            folder.rmdir()


def remove_reports(folder: Path) -> None:
    """Removes what an earlier start reported on its data and its tests, as a run that starts from scratch does."""
    for file in folder.glob("skipped*.jsonl"):
        file.unlink()
    for evaluated in (folder / FOLDER, *folder.glob(f"{FOLDER}-*")):  # of other images too
        remove_evaluation(evaluated)


def check_unchanged(folder: Path, config: Config, saved: dict[str, Any] | None = None) -> list[str]:
    """That the run in `folder`, if there is one, has this config; with `resume.allow_changes`, what there is to tell.

    `saved`: the config in its checkpoint, which counts where config.json is gone.

    Raises:
      ValueError: a run of another config, or a file that is none.
    """
    if not has_results(folder):
        return _corrected(folder, config)
    differ = _changed(folder, config, saved)
    if differ and not config.resume.allow_changes:
        said = f"{folder} holds a run of another config: {listed(_described(differ), 6)}"
        raise ValueError(
            f"{said}; --config {shlex.quote(str(folder))} has the run's own; else choose another --workdir, "
            f"or --resume.allow-changes"
        )
    return [f"going on with another config: {', '.join(_described(differ))}"] if differ else []


def has_results(folder: Path) -> bool:
    """Whether a run has left anything that another config would overwrite: a checkpoint, or the record of a test."""
    if any(path.name.removesuffix(".replaced").isdigit() for path in folder.glob("checkpoints/*")):
        return True
    file = folder / "metrics.jsonl"
    return file.is_file() and '"split": "test"' in file.read_text(errors="replace")


def _corrected(folder: Path, config: Config) -> list[str]:
    """A note on how this config differs from that of an earlier start, which has left no checkpoint."""
    try:
        differ = _changed(folder, config)
    except ValueError:
        return [f"{folder / 'config.json'} is replaced: it cannot be read, and no checkpoint was saved with it"]
    return (
        [f"no checkpoint was saved before, so the config may change: {', '.join(_described(differ))}"] if differ else []
    )


def _described(differ: dict[str, tuple[Any, Any]]) -> list[str]:
    return [f"{name.rstrip('_')} was {old!r}, now {new!r}" for name, (old, new) in differ.items()]


def adopt_holdout(folder: Path, config: Config) -> Config:
    """`config` with the rule of splits that the run in `folder` began with, if it began with version 0.1.0.

    So the same command resumes it. Other values of `data.holdout` are compared as every field is.
    """
    try:
        if (folder / "config.json").exists():
            rule = read_config(folder).data.holdout
        elif steps := kept_steps(folder / "checkpoints"):
            rule = from_dict(read_meta(folder / "checkpoints" / str(steps[-1]))["config"]).data.holdout
        else:
            return config
    except (ValueError, OSError, KeyError):  # reported where the run's config and checkpoints are read
        return config
    return replace(config, data=replace(config.data, holdout=rule)) if rule == "position" else config


def record_config(folder: Path, config: Config, step: int) -> None:
    """Writes config.json, if there is none or a changed one: the one before is kept in its list "before".

    There "until" is the last step that was made with it: `step`.
    """
    record: dict[str, Any] = {
        "config": to_dict(config),
        "directory": os.getcwd(),  # that relative paths start from
        "versions": versions(),
        "commit": _commit(),
    }
    file = folder / "config.json"
    if file.exists() and (step or has_results(folder)):
        last = json.loads(file.read_text())
        if not _changed(folder, config):
            paths = {name: value for name in LOCATED if (value := getattr(config.data, name))}
            moved = any(last["config"]["data"].get(name) != value for name, value in paths.items())
            if paths and (moved or last.get("directory") != os.getcwd()):
                last["config"]["data"] |= paths
                last["directory"] = os.getcwd()
                replace_file(file, json.dumps(last, indent=2) + "\n")
            return
        record["before"] = [*_earlier(file, last), last | {"until": step}]
    replace_file(file, json.dumps(record, indent=2) + "\n")


def _earlier(file: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Takes from the record in `file` those of earlier configs, the oldest first; raises ValueError for others."""
    earlier = record.pop("before", [])
    sound = isinstance(earlier, list) and all(
        isinstance(one, dict) and isinstance(one.get("until"), int) and isinstance(one.get("config"), dict)
        for one in earlier
    )
    if not sound:
        raise ValueError(f"{file} is not the config of a run: expected a list of earlier ones in 'before'")
    return cast(list[dict[str, Any]], earlier)


def _changed(folder: Path, config: Config, saved: dict[str, Any] | None = None) -> dict[str, tuple[Any, Any]]:
    try:
        if (folder / "config.json").exists():
            before = to_dict(read_config(folder))
        elif saved is not None:
            before = to_dict(from_dict(saved))
        else:
            return {}
    except ValueError as error:
        raise ValueError(
            f"{error}; choose another --workdir, or remove the file: a checkpoint has the config too"
        ) from None
    differ = changes(before, to_dict(config))
    if set(differ.get("optim.warmup_epochs", ())) == {None, DEFAULT_WARMUP}:  # a run as long as that has it either way
        del differ["optim.warmup_epochs"]
    return {name: pair for name, pair in differ.items() if not _free(name)}


def _free(name: str) -> bool:
    return name in FREE or name.partition(".")[0] in FREE


def read_config(folder: str | Path) -> Config:
    """The config of a run.

    Raises:
      FileNotFoundError: no such folder, or no run in it.
      ValueError: its config.json is something else.
    """
    folder = expanded(folder)
    file = folder / "config.json"
    if not file.is_file():
        runs = [path.parent.name for path in folder.parent.glob("*/config.json")]
        there = "has no config.json" if folder.is_dir() else "is not there"
        if inside := sorted(path.parent.name for path in folder.glob("*/config.json")):
            raise FileNotFoundError(f"{folder} is no run; runs in it: {', '.join(inside[:10])}")
        raise FileNotFoundError(
            f"{folder} {there}; wanted: the folder of a run; {did_you_mean(folder.name, runs, 'see runs/')}"
        )
    try:
        return _located(read_config_json(file), json.loads(file.read_text()).get("directory"))
    except (ValueError, RecursionError) as error:  # the second of brackets nested too deep
        raise ValueError(f"{file} is not the config of a run: {error}") from None


def _located(config: Config, directory: Any) -> Config:
    """With the data's relative paths made to start from where the run was started, if something is there."""
    if not isinstance(directory, str) or directory == os.getcwd():
        return config
    paths = {name: value for name in LOCATED if (value := getattr(config.data, name))}
    there = {name: Path(directory) / expanded(value) for name, value in paths.items()}
    located: dict[str, Any] = {name: str(path) for name, path in there.items() if path.exists()}
    return replace(config, data=replace(config.data, **located))


def config_of_steps(folder: str | Path, first: int, last: int) -> Config:
    """With what config a run has made, or would make, its steps from `first` to `last` (1, 2, ...).

    Raises:
      FileNotFoundError, ValueError: no run; or the config was changed on the way.
    """
    now, file = read_config(folder), expanded(folder) / "config.json"
    for earlier in _earlier(file, json.loads(file.read_text())):
        until = earlier["until"]
        if first <= until < last:
            raise ValueError(f"{folder} was given another config after step {until}, whose checkpoint is gone")
        if last <= until:
            then, here = earlier["config"], to_dict(now)
            for name in filter(_free, changes(then, here)):  # where the data lies may have changed since
                group, _, field = name.rpartition(".")
                (then[group] if group else then)[field] = (here[group] if group else here)[field]
            return from_dict(then)
    return now


@cache
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
