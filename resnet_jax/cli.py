"""The command line: resnet-jax COMMAND, one of `COMMANDS`."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from resnet_jax.arguments import Positional, completion, fail, parse_arguments, take
from resnet_jax.config import (
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    ResumeConfig,
    TrainConfig,
    load_config,
    place,
)
from resnet_jax.experiments.settings import DEFAULTS
from resnet_jax.nearest import nearest

DESCRIPTION = "Deep residual networks in JAX. `resnet-jax COMMAND --help` says more of each."
TRAIN = """Train a residual network.

--config FILE starts from the `config` of a Python file (see configs/); the options below override it. Starting the same
command on the same --workdir resumes; options that change a number of the run are refused then."""


@dataclass(frozen=True)
class Eval:
    """Evaluate a run, or several together: loss, top-1, top-5 and calibration error over a split.

    The data is the (first) run's own, unless --data options say otherwise; it is preprocessed as each has learned it.
    Probabilities are means over an image's views, and over the runs.
    """

    runs: Positional[tuple[str, ...]]  # folders of runs
    protocol: Literal["single", "flip", "ten-crop", "multi-scale"] = "single"  # the views of each image
    scales: tuple[int, ...] | None = (
        None  # of multi-scale: shorter sides in pixels; None: 224 256 384 480 640 times the net's pixels / 224
    )
    out: str | None = None  # write each image's class and predictions to this .csv or .json file
    step: str = "latest"  # of the checkpoint: latest, best (by test top-1) or a number
    ema: bool = False  # the averaged weights
    split: str | None = None  # None: what the run was tested on; of other data its test split, else every image
    json: bool = False  # print one JSON object
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True)
class Predict:
    """Classify images with a run: the five likeliest classes of each, a line an image."""

    run: Positional[str]  # folder of a run
    images: Positional[tuple[str, ...]]  # image files, or folders of them
    step: str = "latest"  # of the checkpoint: latest, best (by test top-1) or a number
    ema: bool = False  # the averaged weights
    top: int = 5  # classes an image
    batch_size: int = 32  # images at a time
    json: bool = False  # print one JSON object a line


@dataclass(frozen=True)
class Replay:
    """Do one step of a run again, from the newest checkpoint before it: its loss, and which examples it saw.

    Nothing in the run is changed.
    """

    run: Positional[str]  # folder of a run
    at: Positional[int]  # the step, as metrics.jsonl counts them
    json: bool = False  # print one JSON object


@dataclass(frozen=True)
class Recalibrate:
    """Take running statistics anew, as averages over training images with the weights as they are, into a new run.

    Tests before and after. The run itself stays as it is.
    """

    run: Positional[str]  # folder of a run
    out: str | None = None  # folder of the new one; None: RUN-recalibrated
    step: str = "latest"  # of the checkpoint: latest, best (by test top-1) or a number
    ema: bool = False  # the averaged weights' statistics
    batches: int | None = None  # of training images; None: an epoch
    json: bool = False  # print one JSON object


@dataclass(frozen=True)
class Experiment:
    """Train the nets of an experiment one after the other, and draw what they show, into one folder.

    degradation: deeper plain nets have the higher training error, deeper residual nets do not. gradients: how much of
    the gradient reaches the first block. transfer: from half of the classes to the others, with few images. The runs
    are ordinary ones: the same command goes on with those that are not finished. The table and the pictures are of the
    nets asked for last. Each experiment has its own defaults of data, optim and train, on the digits.
    """

    name: Positional[Literal["degradation", "gradients", "transfer"]]
    workdir: str | None = None  # None: runs/NAME
    depths: tuple[int, ...] | None = None  # layers of the nets (not of transfer); None: 20, (32,) 56
    kinds: tuple[Literal["plain", "resnet", "highway"], ...] | None = None  # the same; None: all
    seeds: tuple[int, ...] | None = None  # None: 0; of transfer 0 to 4
    target_epochs: float | None = None  # of transfer's second half (train.epochs: of its first); None: 60
    draw_only: bool = False  # the pictures, from what is there
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)


@dataclass(frozen=True)
class Models:
    """List the networks whose names match, with parameters, multiply-adds and input size."""

    pattern: Positional[str] = "*"  # as in a shell: "*20*"


@dataclass(frozen=True)
class Summarize:
    """Parameters, statistics and multiply-adds of a network, by stage."""

    name: Positional[str]
    image_size: int | None = None  # pixels a side; None: the size it was published with


@dataclass(frozen=True)
class Data:
    """Look at a dataset: splits, classes, a sheet of images as training sees them, and how fast they are read.

    --config FILE starts from the data options of a config, as `train` does.
    """

    name: Positional[str]  # of a TFDS dataset, or a path
    sheet: str = "contact_sheet.png"  # where the picture goes
    batches: int = 20  # that are read for the throughput
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True)
class Plot:
    """Draw loss and top-1 of one or more runs, overlaid; or the gradients that one has recorded."""

    runs: Positional[tuple[str, ...]]  # folders of runs
    out: str | None = None  # OUT.png and OUT.svg; None: curves, or gradients
    gradients: bool = False  # of one run with train.gradient_flow: by blocks and steps


COMMANDS: dict[str, Callable[..., Any]] = {
    "train": Config,
    "eval": Eval,
    "predict": Predict,
    "replay": Replay,
    "recalibrate": Recalibrate,
    "experiment": Experiment,
    "models": Models,
    "summary": Summarize,
    "data": Data,
    "plot": Plot,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command. Exits with status 2 and one line for a mistake, 1 for a run that stopped, 130 after Ctrl-C, 143
    after SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name == "--version":
        print(importlib.metadata.version("flax-resnets"))
        return None
    if name.startswith("-"):
        return completion(COMMANDS, arguments or ["--help"], prog="resnet-jax", description=DESCRIPTION)
    if name not in COMMANDS:
        fail(f"no command {name!r}; {nearest(name, COMMANDS)}")
    request = parse(arguments[1:], prog="resnet-jax train") if name == "train" else _request(name, arguments[1:])
    try:
        from resnet_jax import commands  # when it is known what is asked for: it imports JAX
    except KeyboardInterrupt:
        _interrupted(name)
    try:
        commands.run(name, request)
    except commands.Preempted as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.status) from None
    except (commands.SetupError, commands.DataError) as error:
        commands.leave(f"error: {error}", 2)
    except (commands.Diverged, commands.SaveFailed, commands.PeerFailed) as error:
        commands.leave(f"stopped: {error}", 1)
    except BrokenPipeError:  # who read what is printed has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would flush it once more
        raise SystemExit(1) from None
    except OSError as error:  # a log on a full disk: everything else is told by what it was for
        commands.leave(f"stopped: {error}", 1)
    except KeyboardInterrupt:
        _interrupted(name)
    except Exception:
        commands.leave_if_others_wait(traceback.format_exc())
        raise


def _interrupted(name: str) -> NoReturn:
    hint = "; the same command goes on from the last checkpoint, if there is one yet" if name == "train" else ""
    print(f"interrupted{hint}", file=sys.stderr)
    raise SystemExit(130) from None


def parse(argv: Sequence[str] | None = None, *, prog: str = "train.py") -> Config:
    """A Config from the arguments of `train`: a file's, or the default, with typed overrides."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        path = take(arguments, "--config")
        default = Config() if path is None else load_config(path)
    except (OSError, ValueError) as error:
        fail(str(error))
    default = replace(default, data=_named(arguments, default.data))
    return parse_arguments(Config, arguments, default=default, prog=prog, description=TRAIN)


def _request(name: str, arguments: list[str]) -> Any:
    kind: Any = COMMANDS[name]
    options = {"prog": f"resnet-jax {name}", "description": str(kind.__doc__)}
    try:
        if name == "data":
            path = take(arguments, "--config")
            own = DataConfig() if path is None else load_config(path).data
        request = parse_arguments(kind, arguments, **options)
        if name == "eval":
            from resnet_jax.training.folder import read_config

            if not request.runs:
                raise ValueError("no run given; wanted: the folder of a run, or of several")
            own = read_config(request.runs[0]).data
    except (ValueError, OSError) as error:
        fail(str(error))
    if name == "experiment":
        base = DEFAULTS[request.name].config
        groups = {"model": base.model, "optim": base.optim, "train": base.train, "data": _named(arguments, base.data)}
        return parse_arguments(kind, arguments, default=replace(request, **groups), **options)
    if name not in ("eval", "data"):
        return request
    # Once more, now that it is known what the options start from.
    default = replace(request, data=_named(arguments, own))
    found = parse_arguments(kind, arguments, default=default, **options)
    if name == "eval" and place(found.data) != place(own):  # what the run said of its own data holds for no other
        given = _flags_of(arguments)
        inherited = [field for field in ("class_names", "classes") if f"--data.{field.replace('_', '-')}" not in given]
        found = replace(found, data=replace(found.data, **dict.fromkeys(inherited)))
    return found


def _flags_of(arguments: Sequence[str]) -> set[str]:
    return {argument.partition("=")[0].replace("_", "-") for argument in arguments}


def _named(arguments: Sequence[str], config: DataConfig) -> DataConfig:
    """Without the path that a file or a run has, where a dataset is asked for by name."""
    flags = _flags_of(arguments)
    return replace(config, path=None) if "--data.name" in flags and "--data.path" not in flags else config
