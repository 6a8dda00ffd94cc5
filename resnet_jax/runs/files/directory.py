"""A run directory: its config.json, and the versions that wrote it."""

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
from typing import TYPE_CHECKING, Any, cast

from resnet_jax.checkpoints.reader import kept_steps, read_metadata
from resnet_jax.config import DEFAULT_WARMUP, Config, changes, from_dict, read_config_json, to_dict
from resnet_jax.errors import did_you_mean, listed
from resnet_jax.files import expanded, replace_file
from resnet_jax.metrics.confusion import FOLDER, remove_evaluation
from resnet_jax.moved import renamed_names

# Fields, and groups of fields, that may change when a run resumes, because they do not affect training.
FREE = (
    "workdir",
    "data.path",  # the images and their labels are compared
    "data.labels",
    "data.data_dir",
    "data.threads",
    "data.eval_batch_size",
    "data.unreadable",
    "optim.warmup_shrinks",  # without it, a warmup that it would change is an error
    "train.parallel",
    "train.log_every_steps",
    "train.patience",
    "train.deterministic",
    "checkpoint",
    "log",
    "resume",
    "distributed",
)


PATHS = ("path", "labels", "data_dir")  # fields of data that are paths


def make_directory(directory: Path) -> None:
    """Raises ValueError if it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the run directory {directory}: {error.strerror}") from None


def find_run_directory(path: str | Path) -> Path:
    """The run directory of a path to it, to its `checkpoints` or to one step in there."""
    path = expanded(path)
    if (path / "checkpoints").is_dir():
        return path
    inner = path.resolve()
    return next((one.parent for one in (inner, inner.parent) if one.name == "checkpoints"), path)


def remove_empty_run(directory: Path) -> None:
    """Removes a run directory that this process has locked, if it is empty."""
    with suppress(OSError):  # a directory with files stays
        (directory / "checkpoints").rmdir()
        if [path.name for path in directory.iterdir()] == ["lock"]:
            (directory / "lock").unlink()
            directory.rmdir()


def remove_reports(directory: Path) -> None:
    """Removes reports of earlier starts on data and tests; for a run that starts from scratch."""
    for file in directory.glob("skipped*.jsonl"):
        file.unlink()
    for evaluated in (directory / FOLDER, *directory.glob(f"{FOLDER}-*")):  # of other images too
        remove_evaluation(evaluated)


def check_unchanged(directory: Path, config: Config, saved: dict[str, Any] | None = None) -> list[str]:
    """Checks that the run in `directory`, if any, has this config; returns notes on changes that are allowed.

    Args:
      saved: the config of its checkpoint, which is compared if config.json is missing.

    Raises:
      ValueError: the configs differ, and resume.allow_changes is off; or config.json is invalid.
    """
    if not has_results(directory):
        return _note_replaced(directory, config)
    changed = _changed(directory, config, saved)
    if changed and not config.resume.allow_changes:
        problem = f"{directory} holds a run of another config: {listed(_described(changed), 6)}"
        raise ValueError(
            f"{problem}; --config {shlex.quote(str(directory))} takes the run's config; or choose another --workdir, "
            f"or --resume.allow-changes"
        )
    return [f"resuming with another config: {', '.join(_described(changed))}"] if changed else []


def has_results(directory: Path) -> bool:
    """Whether the directory has results that another config would overwrite: a checkpoint or the record of a test."""
    if any(path.name.removesuffix(".replaced").isdigit() for path in directory.glob("checkpoints/*")):
        return True
    file = directory / "metrics.jsonl"
    return file.is_file() and '"split": "test"' in file.read_text(errors="replace")


def _note_replaced(directory: Path, config: Config) -> list[str]:
    """A note on how this config differs from that of an earlier start, which saved no checkpoint."""
    try:
        changed = _changed(directory, config)
    except ValueError:
        return [f"{directory / 'config.json'} is replaced: it is invalid, and no checkpoint was saved with it"]
    reason = "no checkpoint was saved yet, so the config may change"
    return [f"{reason}: {', '.join(_described(changed))}"] if changed else []


def _described(changed: dict[str, tuple[Any, Any]]) -> list[str]:
    return [f"{name.rstrip('_')} was {old!r}, now {new!r}" for name, (old, new) in changed.items()]


def adopt_holdout(directory: Path, config: Config) -> Config:
    """`config` with the holdout rule of version 0.1.0, if that version began the run in `directory`.

    So the same command resumes it. Other values of `data.holdout` are compared like every field.
    """
    try:
        if (directory / "config.json").exists():
            rule = read_config(directory).data.holdout
        elif steps := kept_steps(directory / "checkpoints"):
            rule = from_dict(read_metadata(directory / "checkpoints" / str(steps[-1]))["config"]).data.holdout
        else:
            return config
    except (ValueError, OSError, KeyError):  # reported where the run's config and checkpoints are read
        return config
    return replace(config, data=replace(config.data, holdout=rule)) if rule == "position" else config


def record_config(directory: Path, config: Config, step: int) -> None:
    """Writes config.json, if there is none or the config has changed. Earlier configs stay in its list "before".

    `step` is the last step made with the earlier config, and is recorded there as "until".
    """
    record: dict[str, Any] = {
        "config": to_dict(config),
        "directory": os.getcwd(),  # base of relative paths
        "versions": versions(),
        "commit": _commit(),
    }
    file = directory / "config.json"
    if file.exists() and (step or has_results(directory)):
        last = json.loads(file.read_text())
        if not _changed(directory, config):
            paths = {name: value for name in PATHS if (value := getattr(config.data, name))}
            moved = any(last["config"]["data"].get(name) != value for name, value in paths.items())
            if paths and (moved or last.get("directory") != os.getcwd()):
                last["config"]["data"] |= paths
                last["directory"] = os.getcwd()
                replace_file(file, json.dumps(last, indent=2) + "\n")
            return
        record["before"] = [*_earlier(file, last), last | {"until": step}]
    replace_file(file, json.dumps(record, indent=2) + "\n")


def _earlier(file: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Removes the list of earlier configs, the oldest first, from the record in `file`, and returns it.

    Raises:
      ValueError: it is not a list of configs.
    """
    earlier = record.pop("before", [])
    is_valid = isinstance(earlier, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("until"), int) and isinstance(entry.get("config"), dict)
        for entry in earlier
    )
    if not is_valid:
        raise ValueError(f"{file} is not the config of a run: expected a list of earlier configs in 'before'")
    return cast(list[dict[str, Any]], earlier)


def _changed(directory: Path, config: Config, saved: dict[str, Any] | None = None) -> dict[str, tuple[Any, Any]]:
    try:
        if (directory / "config.json").exists():
            before = to_dict(read_config(directory))
        elif saved is not None:
            before = to_dict(from_dict(saved))
        else:
            return {}
    except ValueError as error:
        raise ValueError(
            f"{error}; choose another --workdir, or remove the file: checkpoints have the config too"
        ) from None
    changed = changes(before, to_dict(config))
    if set(changed.get("optim.warmup_epochs", ())) == {None, DEFAULT_WARMUP}:  # the same warmup either way
        del changed["optim.warmup_epochs"]
    return {name: pair for name, pair in changed.items() if not _is_free(name)}


def _is_free(name: str) -> bool:
    return name in FREE or name.partition(".")[0] in FREE


def read_config(directory: str | Path) -> Config:
    """The config of a run.

    Raises:
      FileNotFoundError: no such directory, or no run in it.
      ValueError: its config.json is invalid.
    """
    directory = expanded(directory)
    file = directory / "config.json"
    if not file.is_file():
        runs = [path.parent.name for path in directory.parent.glob("*/config.json")]
        problem = "has no config.json" if directory.is_dir() else "does not exist"
        if inside := sorted(path.parent.name for path in directory.glob("*/config.json")):
            raise FileNotFoundError(f"expected a run directory, got {directory} with the runs {', '.join(inside[:10])}")
        hint = did_you_mean(directory.name, runs, "see runs/")
        raise FileNotFoundError(f"expected a run directory; {directory} {problem}; {hint}")
    try:
        return _resolve_paths(read_config_json(file), json.loads(file.read_text()).get("directory"))
    except (ValueError, RecursionError) as error:  # the second for deeply nested brackets
        raise ValueError(f"{file} is not the config of a run: {error}") from None


def _resolve_paths(config: Config, directory: Any) -> Config:
    """The config with relative paths of data resolved against the run's working directory, if they exist there."""
    if not isinstance(directory, str) or directory == os.getcwd():
        return config
    paths = {name: value for name in PATHS if (value := getattr(config.data, name))}
    resolved = {name: Path(directory) / expanded(value) for name, value in paths.items()}
    existing: dict[str, Any] = {name: str(path) for name, path in resolved.items() if path.exists()}
    return replace(config, data=replace(config.data, **existing))


def config_of_steps(directory: str | Path, first: int, last: int) -> Config:
    """The config of a run's steps from `first` to `last` (1, 2, ...), completed or not.

    Raises:
      FileNotFoundError, ValueError: no run; or the config was changed between these steps.
    """
    now, file = read_config(directory), expanded(directory) / "config.json"
    for earlier in _earlier(file, json.loads(file.read_text())):
        until = earlier["until"]
        if first <= until < last:
            raise ValueError(f"the config of {directory} was changed after step {until}, whose checkpoint is deleted")
        if last <= until:
            old, new = earlier["config"], to_dict(now)
            for name in filter(_is_free, changes(old, new)):  # the data may have moved since
                group, _, field = name.rpartition(".")
                (old[group] if group else old)[field] = (new[group] if group else new)[field]
            return from_dict(old)
    return now


@cache
def versions() -> dict[str, str | None]:
    """The version of each package; None if it runs from source and is not installed."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    names = ("flax-resnets", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {name: version(name) for name in names}


def _commit() -> str | None:
    """The commit of the source tree ("-dirty" if it was changed); None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(
        __name__,
        {
            "make_folder": "runs.files.directory.make_directory",
        },
    )
