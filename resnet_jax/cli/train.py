"""resnet-jax train: a Config from a file, options and the run that is started from, and the run itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from resnet_jax.cli.arguments import fill
from resnet_jax.cli.commands import typed_values
from resnet_jax.cli.messages import as_typed, fail
from resnet_jax.cli.shared import load_base, with_named_data, with_shrinking_warmup
from resnet_jax.config import Config, TrainConfig, changes, default_workdir, flat, to_dict

Request = Config
DESCRIPTION = """Train a residual network: --workdir is the run's folder. The same command on the same folder resumes.

Options override the config that --config names, or the default run's. Lists of numbers take spaces or commas."""
# Fields of a config that describe one dataset, and no other.
OF_DATA = (
    "name", "path", "data_dir", "labels", "label_column", "image_column", "train_split", "test_split", "holdout",
    "class_names", "classes", "per_class",
)  # fmt: skip


def run(request: Config) -> None:
    from resnet_jax.runs.trainer import train

    train(request)


def parse(argv: Sequence[str]) -> Config:
    """The Config that these arguments of `train` describe."""
    return make_request(typed_values("train", argv))


def make_request(values: dict[str, Any]) -> Config:
    """A file's config, or the default, with typed values; then what a run to start from has, then a started run."""
    base = load_base(values.pop("config", None))
    if values.keys() >= {"train.steps", "train.epochs"}:
        fail("--train.steps and --train.epochs are two lengths of one run; set one of them")
    if "train.steps" in values:  # instead of the length that a file has
        base = fill(base, {"train.epochs": TrainConfig.epochs})
    if "train.epochs" in values:
        base = fill(base, {"train.steps": None})
    base = replace(base, data=with_named_data(values, base.data), optim=with_shrinking_warmup(values, base.optim))
    config = fill(base, values)
    explicit = values.keys() | changes(to_dict(Config()), to_dict(base)).keys()
    inherited: Mapping[str, Any] = {}
    if (source := _source(config)) is not None:
        inherited = _inherited(source, config, explicit)
        config = fill(config, inherited)
    if "workdir" not in values and config.workdir == Config.workdir:
        config = replace(config, workdir=default_workdir(config))
    if (started := _started(config)) is not None:  # the same command resumes, whatever has become of the source
        return fill(config, _inherited(started, config, explicit))
    if inherited:
        shown = ", ".join(f"{name}={value!r}" for name, value in inherited.items())
        print(as_typed(f"taken from {config.init.from_}: {shown}"))
    return config


def _source(config: Config) -> Config | None:
    """The config of the run that this one takes its first weights from; None for a file of weights."""
    from resnet_jax.runs.files.config_file import read_config
    from resnet_jax.runs.files.directory import find_run_directory

    if config.init.from_ is None:
        return None
    try:
        folder = find_run_directory(config.init.from_)
        return read_config(folder) if (folder / "config.json").is_file() else None
    except (OSError, ValueError) as error:
        fail(f"init.from: {error}")


def _started(config: Config) -> Config | None:
    """The config of the run in the workdir, if it started from the same weights."""
    from resnet_jax.runs.files.config_file import read_config

    with suppress(OSError, ValueError):  # the trainer names what is wrong there
        started = read_config(config.workdir)
        if config.init.from_ is not None and config.init.from_ == started.init.from_:
            return started
    return None


def _inherited(source: Config, config: Config, explicit: Set[str]) -> Mapping[str, Any]:
    """The source's task, net and data, except what is equal, `explicit`, or of another net or dataset."""
    groups = [{"task": one.task, "model": asdict(one.model), "data": asdict(one.data)} for one in (source, config)]
    theirs, ours = map(flat, groups)
    skipped = set(explicit)
    if "model.name" in explicit and config.model.name != source.model.name:
        skipped |= {name for name in theirs if name.startswith("model.")}
    if explicit & {"data.name", "data.path", "data.data_dir"}:
        skipped |= {f"data.{name}" for name in OF_DATA}
    return {name: value for name, value in theirs.items() if name not in skipped and value != ours[name]}
