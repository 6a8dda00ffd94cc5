"""config.json of a run directory: the resolved config, earlier ones, and the versions that wrote it."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from resnet_jax.checkpoints.reader import read_metadata, saved_steps
from resnet_jax.config import Config, changes, from_dict, read_config_json, to_dict
from resnet_jax.errors import did_you_mean, listed
from resnet_jax.files import expanded, replace_file
from resnet_jax.runs.files.config_changes import PATHS, Changes, config_changes, describe_changes, is_free
from resnet_jax.runs.files.directory import has_results
from resnet_jax.runs.files.versions import commit, versions


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
    existing: dict[str, Any] = {}
    for name, value in paths.items():
        resolved = [Path(directory) / expanded(one) for one in ([value] if isinstance(value, str) else value)]
        if all(path.exists() for path in resolved):
            existing[name] = str(resolved[0]) if isinstance(value, str) else tuple(map(str, resolved))
    return replace(config, data=replace(config.data, **existing))


def record_config(directory: Path, config: Config, step: int) -> None:
    """Writes config.json, if there is none or the config has changed. Earlier configs stay in its list "before".

    `step` is the last step made with the earlier config, and is recorded there as "until".
    """
    record: dict[str, Any] = {
        "config": to_dict(config),
        "directory": os.getcwd(),  # base of relative paths
        "versions": versions(),
        "commit": commit(),
    }
    file = directory / "config.json"
    if file.exists() and (step or has_results(directory)):
        last = json.loads(file.read_text())
        if not _changed(directory, config):
            paths = {name: value for name in PATHS if (value := record["config"]["data"][name])}
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
            for name in filter(is_free, changes(old, new)):  # the data may have moved since
                group, _, field = name.rpartition(".")
                (old[group] if group else old)[field] = (new[group] if group else new)[field]
            return from_dict(old)
    return now


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
        other = _other_config(directory, changed)
        raise ValueError(f"{other}; or choose another --workdir, or --resume.allow-changes")
    return [f"resuming with another config: {', '.join(describe_changes(changed))}"] if changed else []


def _note_replaced(directory: Path, config: Config) -> list[str]:
    """A note on how this config differs from that of an earlier start, which saved no checkpoint."""
    try:
        changed = _changed(directory, config)
    except ValueError:
        return [f"{directory / 'config.json'} is replaced: it is invalid, and no checkpoint was saved with it"]
    reason = "no checkpoint was saved yet, so the config may change"
    return [f"{reason}: {', '.join(describe_changes(changed))}"] if changed else []


def _changed(directory: Path, config: Config, saved: dict[str, Any] | None = None) -> Changes:
    before = _config_of_run(directory, saved)
    return {} if before is None else config_changes(before, config)


def _config_of_run(directory: Path, saved: dict[str, Any] | None) -> Config | None:
    """The config in config.json, or else `saved`, that of a checkpoint; None if there is neither."""
    try:
        if (directory / "config.json").exists():
            return read_config(directory)
        return None if saved is None else from_dict(saved)
    except ValueError as error:
        raise ValueError(
            f"{error}; choose another --workdir, or remove the file: checkpoints have the config too"
        ) from None


def other_config(directory: Path, config: Config, saved: dict[str, Any] | None = None) -> str | None:
    """A problem and its remedy: how `config` differs from that of the run, paths of data included; None if it does not.

    Args:
      saved: the config of its checkpoint, which is compared if config.json is missing.
    """
    before = _config_of_run(directory, saved)
    changed = {} if before is None else config_changes(before, config, with_paths=True)
    return _other_config(directory, changed) if changed else None


def _other_config(directory: Path, changed: Changes) -> str:
    problem = f"{directory} holds a run of another config: {listed(describe_changes(changed), 6)}"
    return f"{problem}; --config {shlex.quote(str(directory))} takes the run's config"


def adopt_holdout(directory: Path, config: Config) -> Config:
    """`config` with the holdout rule of version 0.1.0, if that version began the run in `directory`.

    So the same command resumes it. Other values of `data.holdout` are compared like every field.
    """
    try:
        if (directory / "config.json").exists():
            rule = read_config(directory).data.holdout
        elif steps := saved_steps(directory / "checkpoints"):
            rule = from_dict(read_metadata(directory / "checkpoints" / str(steps[-1]))["config"]).data.holdout
        else:
            return config
    except (ValueError, OSError, KeyError):  # reported where the run's config and checkpoints are read
        return config
    return replace(config, data=replace(config.data, holdout=rule)) if rule == "position" else config
