"""Parts that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from resnet_jax.cli.messages import fail
from resnet_jax.config import Config, DataConfig, OptimConfig, load_config, option
from resnet_jax.files import expanded

Run = Annotated[str, "RUN"]
THE_RUNS_BATCHES = "its batches are those of the run; more devices, or some with more memory, hold them"
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin")  # suffixes of files of weights
STEP = "checkpoint: latest, best (by checkpoint.best) or a number"


def step_option() -> Any:
    return option("latest", STEP)


def ema_option() -> Any:
    return option(False, "use the averaged weights")


def check_data_exists(run: str) -> None:
    """Raises FileNotFoundError where the images of a run have moved, for commands that read those and no others."""
    from resnet_jax.runs.files.config_file import read_config

    path = read_config(run).data.path
    if path is not None and not expanded(path).exists():
        raise FileNotFoundError(
            f"no file or folder {path!r}, where {run} read its images; move them back, or link to them"
        )


def metric_titles(run: str) -> Mapping[str, str]:
    """Names of the metrics of a run's task for people."""
    from resnet_jax.runs.files.config_file import read_config
    from resnet_jax.tasks import get_task

    return get_task(read_config(run).task).titles


def load_base(config: str | None) -> Config:
    """The config that --config names, or the default; exits with one line for a mistake."""
    try:
        return Config() if config is None else load_config(config)
    except (OSError, ValueError) as error:
        fail(str(error))


def with_named_data(values: Mapping[str, Any], config: DataConfig) -> DataConfig:
    """Without the path of a file or a run, where a dataset is typed by name."""
    return replace(config, path=None) if "data.name" in values and "data.path" not in values else config


def with_shrinking_warmup(values: Mapping[str, Any], config: OptimConfig) -> OptimConfig:
    """A typed warmup stays; a config's was chosen for its own length of the run, and shrinks in a shorter one."""
    if "optim.warmup_epochs" in values:
        return replace(config, warmup_shrinks=False)
    is_other_length = bool(values.keys() & {"train.steps", "train.epochs"})
    return replace(config, warmup_shrinks=True) if is_other_length and config.warmup_epochs is not None else config


def check_is_run(path: str) -> None:
    """Raises ValueError for a file of weights: it has no names of classes."""
    if expanded(path).suffix in WEIGHTS and expanded(path).is_file():
        raise ValueError(
            f"expected the folder of a run, got {path}, a file of weights; load_pretrained reads it in Python, "
            "and train --init.from starts from it"
        )
