"""Configs in files: Python scripts, config.json of runs, and configs that come with the package."""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

from resnet_jax.config.checks import check_types, shortened
from resnet_jax.config.schema import Config, DataConfig
from resnet_jax.errors import did_you_mean, public_address
from resnet_jax.files import expanded

# Values of fields that an earlier version did not have, where the default would change one of its runs.
EARLIER: dict[tuple[type, str], Any] = {(DataConfig, "holdout"): "position"}


def load_config(path: str | Path) -> Config:
    """The config at a path, or one that comes with the package, by its name.

    A path leads to a Python file, which defines `config = Config(...)` and may import its neighbours; to config.json of
    a run; or to the run's folder. A name is that of a file in configs/: "folder_resnet18".

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file fails, or has no config.
    """
    file = _config_file(expanded(path))
    try:
        config = read_config_json(file) if file.suffix == ".json" else _config_of_script(file)
        check_types(config)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"config file {file}: {error}") from error
    return replace(config, workdir=str(expanded(config.workdir)))


def shipped_configs() -> Path:
    """The folder of the configs that come with the package."""
    inside = Path(__file__).parents[1] / "configs"  # of an installed package; a source tree has it beside the package
    return inside if inside.is_dir() else Path(__file__).parents[2] / "configs"


def _config_file(path: Path) -> Path:
    if path.is_dir() and (path / "config.json").is_file():
        return path / "config.json"
    shipped = shipped_configs() / f"{path.name.removesuffix('.py')}.py"
    if not path.exists() and path.name == str(path) and shipped.is_file():
        return shipped
    if not path.is_file():
        names = sorted(other.stem for other in shipped_configs().glob("*.py"))
        beside = [other.name for other in path.parent.glob("*.py")]
        hint = did_you_mean(path.name, beside, did_you_mean(path.stem, names))
        raise FileNotFoundError(f"no config file {str(path)!r}; {hint}")
    if path.suffix not in (".py", ".json"):
        raise ValueError(f"config file {path}: expected a .py file with `config = Config(...)` or a run's config.json")
    return path


def _config_of_script(file: Path) -> Config:
    folder, before = str(file.parent.resolve()), set(sys.modules)
    sys.path.insert(0, folder)
    try:
        config = runpy.run_path(str(file)).get("config")
    except (Exception, SystemExit) as error:  # exit() in a config file must not end this process
        raise ValueError(f"{type(error).__name__}: {error}") from error
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)
        for name in set(sys.modules) - before:  # another folder's config may import another file of that name
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{folder}{os.sep}"):
                del sys.modules[name]
    if not isinstance(config, Config):
        raise ValueError(
            "expected `config = Config(...)`, got " + ("no config" if config is None else type(config).__name__)
        )
    return config


def read_config_json(file: Path) -> Config:
    """The config in the config.json of a run.

    Raises:
      ValueError: the file has none.
    """
    record = json.loads(file.read_text())
    if not isinstance(record, dict) or "config" not in record:
        raise ValueError("expected an entry 'config', got none")
    config: Config = from_dict(record["config"])
    return config


def default_workdir(config: Config) -> str:
    """Run directory named by data and net: runs/digits_resnet20, the default of `Config`, for the default run."""
    started = Path(Config.workdir) / "config.json"
    if started.is_file():  # a run of this net on this data, started when that was every run's default
        with suppress(OSError, ValueError):
            earlier = read_config_json(started)
            if (earlier.model.name, place(earlier.data)) == (config.model.name, place(config.data)):
                return Config.workdir
    name = os.path.basename(os.path.abspath(config.data.path)) if config.data.path else config.data.name
    name = name.removesuffix(".npz").removesuffix(".parquet").replace("/", "_").replace(":", "_") or "data"
    return f"runs/{name}_{config.model.name.removeprefix('cifar_')}"


def place(config: DataConfig) -> tuple[str | None, ...]:
    """Where the images are, however their path is written."""
    if config.path:
        return "", os.path.realpath(os.path.expanduser(config.path)), ""
    return config.name, None, config.data_dir


def to_dict(config: Any) -> dict[str, Any]:
    """The config as JSON holds it: nested dicts, tuples as lists; of an address in init.from without what is secret."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    if isinstance(config, Config) and config.init.from_ is not None:
        values["init"]["from_"] = public_address(str(config.init.from_))
    return values


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optim": {"peak_lr": 0.1}} as {"optim.peak_lr": 0.1}."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def from_dict(values: dict[str, Any], kind: type = Config) -> Any:
    """The inverse of `to_dict`; absent fields get the values that reproduce a run of an earlier version.

    Raises:
      ValueError: a field that `kind` does not have, or a value that its field cannot hold.
    """
    config = _restored(values, kind)
    check_types(config)
    return config


def _restored(values: dict[str, Any], kind: type, prefix: str = "") -> Any:
    if not isinstance(values, dict):
        problem = f"expected names and values of the fields of {kind.__name__}, got {shortened(values)}"
        raise ValueError(f"{prefix.removesuffix('.')}: {problem}" if prefix else problem)
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            place, problem = prefix.removesuffix("."), f"{kind.__name__} has no field {shortened(name)}"
            problem = f"{place}: {problem}" if "." in place else problem  # the name of a group is that of its class
            raise ValueError(f"{problem}; {did_you_mean(str(name), hints)}")

    def restore(name: str, value: Any) -> Any:
        if dataclasses.is_dataclass(hints[name]):
            return _restored(value, hints[name], f"{prefix}{name}.")
        return tuple(value) if isinstance(value, list) else value

    absent = {name: value for (owner, name), value in EARLIER.items() if owner is kind and name not in values}
    return kind(**absent | {name: restore(name, value) for name, value in values.items()})


def changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ between two config dicts: {"optim.peak_lr": (old, new)}."""
    before, after = flat(old), flat(new)
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
