"""Parts that several commands share."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from resnet_jax.cli.messages import fail
from resnet_jax.config import Config, DataConfig, OptimConfig, load_config, option
from resnet_jax.files import expanded
from resnet_jax.text import printable_lines

Run = Annotated[str, "RUN"]
THE_RUNS_BATCHES = "its batches are those of the run; more devices, or some with more memory, hold them"
Weights = Annotated[str, "WEIGHTS"]
STEP = "checkpoint: latest, best (by checkpoint.best) or a number"
# Sources of weights, for the help of every command that takes them.
SOURCES = (
    ("a run", "its folder, or a checkpoint in it"),
    ("a file", ".safetensors, .pth, .npz, .h5"),
    ("a folder", "in the hub's layout: config.json, model.safetensors"),
    ("timm/NAME.TAG", "or a repository of the Hugging Face hub (extra hub)"),
    ("torchvision/NAME.TAG", "a file that torchvision publishes"),
    ("open_clip/NAME.TAG", "CLIP, both towers"),
    ("https://...", "the address of a file"),
)


def step_option() -> Any:
    return option("latest", STEP)


def ema_option() -> Any:
    return option(False, "use the averaged weights")


def model_option() -> Any:
    return option(None, "the net of weights, where their file does not say", none="as the file says")


def with_sources(description: str) -> str:
    """A command's description with a table of the sources of weights."""
    width = max(len(source) for source, _ in SOURCES) + 2
    table = "\n".join(f"  {source:{width}}{what}" for source, what in SOURCES)
    published = "resnet-jax weights lists NAME.TAG of what is published."
    return f"{inspect.cleandoc(description)}\n\nWEIGHTS is one of these:\n\n{table}\n\n{published}"


def print_notes(notes: Iterable[str]) -> None:
    """Prints a line each, beside the output."""
    for note in notes:
        print(f"note: {printable_lines(note)}", file=sys.stderr)


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

    task = get_task(read_config(run).task)
    return {**task.titles, **task.eval_titles}


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
