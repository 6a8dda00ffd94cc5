"""The command line: resnet-jax COMMAND, one of `COMMANDS`."""

from __future__ import annotations

import inspect
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise, takewhile
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import resnet_jax
from resnet_jax.cli.arguments import Parser, Positional, completion, fail, fill, make_parser
from resnet_jax.config import (
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Place,
    ResumeConfig,
    TrainConfig,
    changes,
    default_workdir,
    flat,
    load_config,
    place,
    to_dict,
)
from resnet_jax.errors import did_you_mean
from resnet_jax.experiments.settings import DEFAULTS
from resnet_jax.moved import CallableModule

TRAIN = """Train a residual network: --workdir is the run's folder. The same command on the same folder resumes.

Options override the config that --config names, or the default run's. Lists of numbers take spaces or commas."""


Run = Annotated[str, "RUN"]


@dataclass(frozen=True)
class Eval:
    """Evaluate a run, or several together: loss, top-1, top-5 and calibration error over a split, and each class.

    The data is that of the (first) run, unless --data options say otherwise, preprocessed as each run has learned it.
    Probabilities are means over an image's views, and over the runs.
    """

    runs: Positional[tuple[Run, ...]]  # folders of runs
    protocol: Literal["single", "flip", "ten-crop", "multi-scale"] = "single"  # the views of each image
    scales: tuple[int, ...] | None = (
        None  # with multi-scale: shorter sides in pixels; None: 224 256 384 480 640 times the net's pixels / 224
    )
    out: Place | None = None  # write each image's class and predictions to this .csv or .json file
    out_dir: Place | None = None  # folder for classes.json and pictures; None: RUN/evaluation; several: evaluation-A-B
    pictures: bool = True  # write those files into that folder
    step: str = "latest"  # checkpoint: latest, best (by checkpoint.best) or a number
    ema: bool = False  # use the averaged weights
    split: str | None = None  # split to evaluate; None: as the run was tested; of other data the test split, else all
    json: bool = False  # print one JSON object
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True)
class Predict:
    """Classify images with a run: the five likeliest classes of each, a line an image."""

    run: Positional[Run]  # folder of a run
    images: Positional[tuple[Annotated[str, "IMAGE"], ...]]  # image files, folders of them, or - for standard input
    step: str = "latest"  # checkpoint: latest, best (by checkpoint.best) or a number
    ema: bool = False  # use the averaged weights
    top: int = 5  # number of classes to print for each image
    batch_size: int = 32  # images at a time
    json: bool = False  # print one JSON object a line


@dataclass(frozen=True)
class Replay:
    """Do one step of a run again, from the newest checkpoint before it: its loss, and which examples it saw.

    Nothing in the run is changed.
    """

    run: Positional[Run]  # folder of a run
    at: Positional[Annotated[int, "STEP"]]  # the step, as metrics.jsonl counts them
    json: bool = False  # print one JSON object


@dataclass(frozen=True)
class Recalibrate:
    """Take running statistics anew, as averages over training images with the weights as they are, into a new run.

    Tests before and after. The run itself stays as it is.
    """

    run: Positional[Run]  # folder of a run
    out: Place | None = None  # folder of the new run; None: RUN-recalibrated
    step: str = "latest"  # checkpoint: latest, best (by checkpoint.best) or a number
    ema: bool = False  # use the averaged weights
    batches: int | None = None  # number of batches of training images; None: an epoch
    json: bool = False  # print one JSON object


@dataclass(frozen=True)
class Experiment:
    """Train the nets of an experiment one after the other, and draw what they show, into one folder.

    degradation: deeper plain nets have the higher training error, deeper residual nets do not. gradients: how much of
    the gradient reaches the first block. transfer: from half of the classes to the others, with few images. The runs
    are ordinary ones: the same command resumes those that are not finished. The table and the pictures are of the
    nets asked for last. Each experiment has its own defaults of data, optim and train, on the digits;
    `resnet-jax experiment NAME --help` shows them.
    """

    name: Positional[Literal["degradation", "gradients", "transfer"]]  # the experiment
    workdir: Place | None = None  # folder of its runs; None: runs/NAME
    depths: tuple[int, ...] | None = None  # layers of the nets (not of transfer); None: 20, (32,) 56
    kinds: tuple[Literal["plain", "resnet", "highway"], ...] | None = None  # kinds of nets (likewise); None: all
    seeds: tuple[int, ...] | None = None  # seeds of the runs; None: 0, of transfer 0 to 4
    target_epochs: float | None = None  # epochs of transfer's second half (train.epochs: of its first); None: 60
    draw_only: bool = False  # draw the pictures from the runs that are there
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)


@dataclass(frozen=True)
class Models:
    """List the networks whose names match, with parameters, multiply-adds and input size."""

    pattern: Positional[str] = "*"  # names of nets, as in a shell: "*20*"


@dataclass(frozen=True)
class Summarize:
    """Parameters, statistics and multiply-adds of a network, by stage."""

    name: Positional[str]  # the net
    image_size: int | None = None  # pixels a side; None: the size it was published with


@dataclass(frozen=True)
class Data:
    """Look at a dataset: splits, images of each class, a sheet of images as training sees them, the speed of reading.

    With --verify every image of every split is read once. Those that cannot be used are listed, and the exit status is
    then 1.
    """

    name: Positional[Annotated[str, "NAME|PATH"]]  # a TFDS dataset, or a folder or file of your own
    sheet: Place = "contact_sheet.png"  # file for the picture
    batches: int = 20  # number of batches to read for the throughput
    verify: bool = False  # read every image of every split once, and list those that cannot be used
    json: bool = False  # print one JSON object
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True)
class Plot:
    """Draw loss and top-1 of one or more runs, overlaid; or the gradients that one has recorded."""

    runs: Positional[tuple[Run, ...]]  # folders of runs
    out: Place | None = (
        None  # writes PATH.png and PATH.svg; None: RUN/curves or RUN/gradients, of several runs ./curves-A-B
    )
    x: Literal["epochs", "steps"] | None = None  # what the x axis counts; None: epochs, where every record has them
    gradients: bool = False  # draw the gradients of one run with train.gradient_flow, by blocks and steps


COMMANDS: dict[str, tuple[type, str]] = {  # with a line of help each
    "train": (Config, "train a net: on handwritten digits, or on your images"),
    "eval": (Eval, "evaluate runs: loss, top-1, calibration error, each class"),
    "predict": (Predict, "classify images with a run"),
    "data": (Data, "look at a dataset before training: splits, classes, images"),
    "plot": (Plot, "draw loss and top-1 of runs"),
    "models": (Models, "list the nets, with parameters and multiply-adds"),
    "summary": (Summarize, "parameters and multiply-adds of a net, by stage"),
    "recalibrate": (Recalibrate, "take a run's running statistics anew"),
    "replay": (Replay, "do one step of a run again"),
    "experiment": (Experiment, "repeat a paper's experiment: degradation, gradients, transfer"),
}
CONFIG = "a config to start from: a name (folder_resnet18), a .py file, or a run"
# What a config says of one dataset, and of no other.
OF_DATA = (
    "name", "path", "data_dir", "labels", "label_column", "image_column", "train_split", "test_split", "holdout",
    "class_names", "classes", "per_class",
)  # fmt: skip
EVERYDAY = (  # what the help of train shows
    "workdir", "task", "data.path", "data.name", "data.image_size", "data.batch_size", "model.name",
    "model.dtype", "init.from_", "train.epochs", "train.steps", "optim.peak_lr", "optim.weight_decay",
)  # fmt: skip
# Options that a command accepts and has no use for; they are not shown.
UNUSED = {
    "eval": tuple(
        f"data.{name}"
        for name in (
            "per_class", "channels", "crop_area", "interpolation", "padding", "horizontal_flip", "color_jitter",
            "cutout", "mixup", "cutmix", "mean", "std", "balance",
        )
    ),
    "data": ("data.name", "data.path", "data.eval_batch_size"),
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command. Exits with status 2 and one line for a mistake, 1 for a run that stopped, 130 after Ctrl-C, 143
    after SIGTERM.
    """
    _silence_loader()
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    name = ""
    try:
        try:
            arguments = list(sys.argv[1:] if argv is None else argv)
            name = arguments[0] if arguments else "--help"
            _main(name, arguments[1:])
        finally:
            sys.stdout.flush()
    except OSError as error:  # of printing: the reader of our output has gone, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would flush it once more
        if not isinstance(error, BrokenPipeError):
            print(f"stopped: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        hint = "; the same command resumes from the last checkpoint, if there is one yet" if name == "train" else ""
        print(f"interrupted{hint}", file=sys.stderr)
        raise SystemExit(130) from None


def _silence_loader() -> None:
    """Before 0.10.2 jaxlib logs two false errors for each program that it loads from the compilation cache.

    Its log is read once, when JAX is imported. Errors still reach Python as exceptions.
    """
    with suppress(PackageNotFoundError):
        # JAX itself sets 1, where nothing is set: a process that has imported it hands that on.
        unset = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1"
        if unset and "jaxlib" not in sys.modules and version("jaxlib") in ("0.10.0", "0.10.1"):
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _main(name: str, arguments: list[str]) -> None:
    if sys.platform == "win32":
        fail("Windows is not supported; expected Linux or macOS (the Windows Subsystem for Linux is one)")
    if name == "--version":
        return print(resnet_jax.__version__)
    if name in ("-h", "--help", "--help-all"):
        return print(_help())
    if name.startswith("--print-completion") or name.startswith("--tyro-print-completion"):
        if "tyro" in name:
            print("warning: --tyro-print-completion is now --print-completion", file=sys.stderr)
        shell = (*name.split("=")[1:], *arguments, "bash")[0]
        return print(completion({command: _parser(command) for command in COMMANDS}, shell), end="")
    if name.startswith("-"):
        if (unknown := _parser("train").misspelt(name)) is not None:
            fail(f"expected a command before options, as resnet-jax train; {unknown}")
        fail(f"expected a command, got {name}; did you mean resnet-jax train {name}?")
    if name not in COMMANDS:
        fail(f"no command {name!r}; {did_you_mean(name, COMMANDS)}")
    request = parse(arguments) if name == "train" else _request(name, arguments)
    from resnet_jax.cli import commands

    try:
        commands.run(name, request)
    except commands.Preempted as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.status) from None
    except (commands.SetupError, commands.DataError) as error:
        commands.leave(f"error: {error}", 2)
    except (commands.Diverged, commands.SaveFailed, commands.PeerFailed, commands.OutOfMemory) as error:
        commands.leave(f"stopped: {error}", 1)
    except BrokenPipeError:
        raise
    except OSError as error:  # a log on a full disk: everything else is told by what it was for
        commands.leave(f"stopped: {error}", 1)
    except Exception:
        commands.leave_if_others_wait(traceback.format_exc())
        raise


HELP = """usage: resnet-jax COMMAND [options]

Deep residual networks in JAX: published weights, and training that resumes.

{commands}

Examples:
  resnet-jax train                                 handwritten digits, a minute
  resnet-jax train --config folder_resnet18 --data.path photos --workdir runs/a
  resnet-jax predict runs/a photo.jpg              the five likeliest classes
  resnet-jax eval runs/a                           loss and accuracy

resnet-jax COMMAND --help lists a command's options. Also: --version, and
--print-completion bash or zsh."""
MORE = """
{count} more options: resnet-jax train --help-all, or of one group --help GROUP
({groups})"""


def _help() -> str:
    width = max(map(len, COMMANDS))
    return HELP.format(commands="\n".join(f"  {name:{width}}  {line}" for name, (_, line) in COMMANDS.items()))


def _parser(name: str, defaults: Any = None, only: Sequence[str] | None = None) -> Parser:
    """The parser of a command; its help shows all options, or `only` these."""
    kind, _ = COMMANDS[name]
    parser = make_parser(
        kind,
        prog=f"resnet-jax {name}",
        description=TRAIN if name == "train" else inspect.getdoc(kind) or "",
        defaults=defaults,
        hidden=UNUSED.get(name, ()),
        only=only,
        config=CONFIG if name in ("train", "data") else None,
    )
    if name == "train":
        parser.add_argument("--help-all", action="help", help="show all options and exit")
    return parser


def _values(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The values that are typed, by dotted names of fields; after --help it exits."""
    before_files = list(takewhile(lambda argument: argument != "--", arguments))
    if (group := next((one for one in before_files if one.startswith("--help=")), None)) is not None:
        before_files = group.split("=", 1) + before_files
    if not {"-h", "--help", "--help-all"}.isdisjoint(before_files):
        _print_help(name, before_files)
        raise SystemExit(0)
    values = _parser(name).values(arguments)
    for unused in UNUSED.get(name, ()):
        if unused in values and unused != "data.per_class":
            print(f"warning: --{unused.replace('_', '-')} has no effect on {name}", file=sys.stderr)
    return values


def _print_help(name: str, arguments: Sequence[str]) -> None:
    """All options of a command; of train the everyday ones, after --help-all all, after --help GROUP a group's."""
    parser = _parser(name, _shown(name, arguments))
    if name != "train" or "--help-all" in arguments:
        return parser.print_help()
    names = list(dict.fromkeys(option.name for option in parser.options.values() if option.name != "config"))
    groups = list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))
    asked = [after for flag, after in pairwise(arguments) if flag in ("-h", "--help") and not after.startswith("-")]
    if unknown := [group for group in asked if group not in groups]:
        fail(f"no group {unknown[0]!r}; {did_you_mean(unknown[0], groups)}")
    only = [name for name in names if name.partition(".")[0] in asked] or EVERYDAY
    _parser(name, _shown(name, arguments), only).print_help()
    print(MORE.format(count=len(names) - len(only), groups=", ".join(groups)))


def _shown(name: str, arguments: Sequence[str]) -> Any:
    """The defaults that a command's help shows: of a config or an experiment that is named with it."""
    if name == "eval":  # they are the run's
        return SimpleNamespace(data=SimpleNamespace(**dict.fromkeys((field.name for field in fields(DataConfig)), "")))
    if name == "experiment":
        known = [argument for argument in arguments if argument in DEFAULTS]
        return DEFAULTS[known[0] if known else "degradation"].config
    given = [argument.removeprefix("--config=") for argument in arguments if argument.startswith("--config=")]
    given += [after for flag, after in pairwise(arguments) if flag == "--config"]
    return _load(given[0] if given else None)


def _load(config: str | None) -> Config:
    try:
        return Config() if config is None else load_config(config)
    except (OSError, ValueError) as error:
        fail(str(error))


def parse(argv: Sequence[str] | None = None) -> Config:
    """A Config from the arguments of `train`: a file's, or the default, with typed overrides."""
    values = _values("train", list(sys.argv[1:] if argv is None else argv))
    default = _load(values.pop("config", None))
    if values.keys() >= {"train.steps", "train.epochs"}:
        fail("--train.steps and --train.epochs are two lengths of one run; set one of them")
    if "train.steps" in values:  # instead of the length that a file has
        default = fill(default, {"train.epochs": TrainConfig.epochs})
    if "train.epochs" in values:
        default = fill(default, {"train.steps": None})
    default = replace(default, data=_named(values, default.data), optim=_with_warmup(values, default.optim))
    config = fill(default, values)
    said = values.keys() | changes(to_dict(Config()), to_dict(default)).keys()
    source, taken = _source(config), {}
    if source is not None:
        taken = _taken(source, config, said)
        config = fill(config, taken)
    if "workdir" not in values and config.workdir == Config.workdir:
        config = replace(config, workdir=default_workdir(config))
    if (begun := _begun(config)) is not None:  # the same command resumes, whatever has become of the source
        return fill(config, _taken(begun, config, said))
    if taken:
        print(f"taken from {config.init.from_}: {', '.join(f'{name}={value!r}' for name, value in taken.items())}")
    return config


def _with_warmup(values: Mapping[str, Any], config: OptimConfig) -> OptimConfig:
    """A typed warmup stays; a config's was chosen for its own length of the run, and shrinks in a shorter one."""
    if "optim.warmup_epochs" in values:
        return replace(config, warmup_shrinks=False)
    is_other_length = bool(values.keys() & {"train.steps", "train.epochs"})
    return replace(config, warmup_shrinks=True) if is_other_length and config.warmup_epochs is not None else config


def _source(config: Config) -> Config | None:
    """The config of the run whose weights this one starts from; None for a file of weights."""
    from resnet_jax.runs.directory import find_run_directory, read_config

    if config.init.from_ is None:
        return None
    try:
        folder = find_run_directory(config.init.from_)
        return read_config(folder) if (folder / "config.json").is_file() else None
    except (OSError, ValueError) as error:
        fail(f"init.from: {error}")


def _begun(config: Config) -> Config | None:
    """The config of the run in the workdir, if it started from the same weights."""
    from resnet_jax.runs.directory import read_config

    with suppress(OSError, ValueError):  # the trainer names what is wrong there
        begun = read_config(config.workdir)
        if config.init.from_ is not None and config.init.from_ == begun.init.from_:
            return begun
    return None


def _taken(own: Config, config: Config, said: Set[str]) -> dict[str, Any]:
    """The task, and fields of net and data, of `own`, but for those that are `said`, or of another net or dataset."""
    groups = [{"task": one.task, "model": asdict(one.model), "data": asdict(one.data)} for one in (own, config)]
    theirs, ours = map(flat, groups)
    skipped = set(said)
    if "model.name" in said and config.model.name != own.model.name:
        skipped |= {name for name in theirs if name.startswith("model.")}
    if said & {"data.name", "data.path", "data.data_dir"}:
        skipped |= {f"data.{name}" for name in OF_DATA}
    return {name: value for name, value in theirs.items() if name not in skipped and value != ours[name]}


def _request(name: str, arguments: Sequence[str]) -> Any:
    values = _values(name, arguments)
    config = _load(values.pop("config", None))
    own = {field: values.pop(field) for field in list(values) if "." not in field}
    request = COMMANDS[name][0](**own)
    if name == "experiment":
        base = DEFAULTS[request.name].config
        own_optim, own_data = _with_warmup(values, base.optim), _named(values, base.data)
        groups = {"model": base.model, "optim": own_optim, "train": base.train, "data": own_data}
        return fill(replace(request, **groups), values)
    if name == "data":
        return fill(replace(request, data=config.data), values)
    if name == "eval":
        return _of_run(request, values)
    return request


def _of_run(request: Eval, values: Mapping[str, Any]) -> Eval:
    """With the data of the first run, where nothing else is said."""
    from resnet_jax.runs.directory import read_config

    if not request.runs:
        fail("no run given; wanted: the folder of a run, or of several")
    try:
        own = read_config(request.runs[0]).data
    except (ValueError, OSError) as error:
        fail(str(error))
    result = fill(replace(request, data=_named(values, own)), values)
    if place(result.data) == place(own):
        return result
    # What the run said of its own data holds for no other.
    fields = ("class_names", "classes", "labels", "label_column", "image_column")
    inherited = [f"data.{name}" for name in fields if f"data.{name}" not in values]
    return fill(result, dict.fromkeys(inherited))


def _named(values: Mapping[str, Any], config: DataConfig) -> DataConfig:
    """Without the path that a file or a run has, where a dataset is asked for by name."""
    return replace(config, path=None) if "data.name" in values and "data.path" not in values else config


sys.modules[__name__].__class__ = CallableModule
