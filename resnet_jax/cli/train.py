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
from resnet_jax.config.messages import with_model_option
from resnet_jax.errors import public_address

Request = Config
DESCRIPTION = """Train a residual network: --workdir is the run's folder. The same command on the same folder resumes.

Options override the config that --config names, or the default run's. Lists of numbers take spaces or commas."""
# Fields of a config that describe one dataset, and no other.
OF_DATA = (
    "name", "path", "data_dir", "labels", "label_column", "image_column", "annotations", "masks",
    "train_split", "test_split", "holdout", "class_names", "classes", "per_class",
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
    elif config.init.from_ is not None and "model.name" not in values and not _is_started_here(config):
        inherited = _net_of_weights(config, is_explicit="model.name" in explicit)
    config = fill(config, inherited)
    if "workdir" not in values and config.workdir == Config.workdir:
        config = replace(config, workdir=default_workdir(config))
    if (started := _started(config)) is not None:  # the same command resumes, whatever has become of the source
        names_net = "model.name" not in values and _may_be_weights(config)
        return fill(config, _inherited(started, config, explicit - {"model.name"} if names_net else explicit))
    if inherited:
        shown = ", ".join(f"{name}={value!r}" for name, value in inherited.items())
        print(as_typed(f"taken from {public_address(str(config.init.from_))}: {shown}"))
    return config


def _source(config: Config) -> Config | None:
    """The config of the run that this one takes its first weights from; None for other weights."""
    from resnet_jax.runs.files.config_file import read_config
    from resnet_jax.runs.files.directory import find_run_directory, is_run

    if config.init.from_ is None or not is_run(config.init.from_):
        return None
    try:
        folder = find_run_directory(config.init.from_)
        return read_config(folder) if (folder / "config.json").is_file() else None
    except (OSError, ValueError) as error:
        fail(f"init.from: {error}")


def _is_started_here(config: Config) -> bool:
    """Whether the run that these options name has started: then its config has the net, and the source may be gone."""
    return config.workdir != Config.workdir and _started(config) is not None


def _may_be_weights(config: Config) -> bool:
    """Whether the source is no run, or has gone."""
    from resnet_jax.files import expanded
    from resnet_jax.runs.files.directory import is_run

    source = str(config.init.from_)
    return not is_run(source) or not expanded(source).exists()


def _net_of_weights(config: Config, *, is_explicit: bool) -> Mapping[str, Any]:
    """The net of the weights to start from, if it is another; a config's net stays where they fit it."""
    from resnet_jax.runs.files.directory import is_missing_file, is_run
    from resnet_jax.runs.starting.warm_start import net_of

    source = str(config.init.from_)
    if is_run(source) or is_missing_file(source):  # a run without a config; what is missing the trainer reports
        return {}
    try:
        name = net_of(source, config.model.name if is_explicit else None, ema=config.init.ema)
    except (OSError, ValueError) as error:
        fail(f"init.from: {with_model_option(str(error), '--model.name')}")
    return {} if name == config.model.name else {"model.name": name}


def _started(config: Config) -> Config | None:
    """The config of the run in the workdir, if it started from the same weights."""
    from resnet_jax.runs.files.config_file import read_config

    with suppress(OSError, ValueError):  # the trainer names what is wrong there
        started = read_config(config.workdir)
        if config.init.from_ is not None and public_address(config.init.from_) == public_address(
            started.init.from_ or ""
        ):
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
