"""Config: a run as plain data. It needs the standard library alone; callables live in Python, their names here."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import runpy
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from resnet_jax.errors import did_you_mean
from resnet_jax.files import expanded

Place = Annotated[str, "PATH"]  # what the command line calls the value
Jitter = Annotated[tuple[float, float, float, float], "BRIGHTNESS CONTRAST SATURATION HUE"]
DEFAULT_WARMUP = 5.0  # epochs


@dataclass(frozen=True)
class ModelConfig:
    """The net. Its classes and channels are the data's."""

    name: str = "cifar_resnet20"  # the net; `resnet-jax models` lists them
    stem: Literal["imagenet", "cifar", "deep", "halving"] | None = None  # first layers; None: the net's own
    drop_rate: float = 0.0  # dropout before the head
    drop_path: float = 0.0  # stochastic depth: rate of the last block
    global_pool: Literal["avg", "max"] = "avg"  # mean or maximum over the last map
    bn_axis: Literal["data"] | None = None  # batch statistics over all devices; None: each device's own
    bn_group_size: int | None = None  # with bn_axis: statistics over so many neighbouring devices; None: over all
    frozen_norms: tuple[
        Annotated[str, "NORM"], ...
    ] = ()  # components whose norms keep their statistics: stem, stage1, ... or all
    remat: Literal["none", "block", "stage"] = "none"  # recompute activations in the backward pass
    dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of the arithmetic (mixed precision: bfloat16)


@dataclass(frozen=True)
class InitConfig:
    """The first weights: initialised, or those of another run or of a file."""

    from_: Place | None = None  # a run, or PyTorch weights (.safetensors, .pth) to start from; None: initialised
    step: str = "latest"  # checkpoint of that run: latest, best (by checkpoint.best) or a number
    ema: bool = False  # take the averaged weights of that run or file
    head: Literal["new", "keep"] | None = None  # the classifier; None: kept from a run with the same classes
    kernels: Literal["fan_out", "fan_in", "lecun", "small", "large"] | None = (
        None  # scale of initialised kernels; None: the net's own
    )


@dataclass(frozen=True)
class DataConfig:
    """Images: a TFDS classification set by name, or your own at a path."""

    name: str = "digits"  # a TFDS dataset; "digits" comes with the package
    path: Place | None = None  # your images instead: a folder of them, of IDX or Parquet files; .npz or .parquet
    labels: Place | None = None  # with path: a .csv, .tsv or .jsonl file of images and labels; None: metadata.csv there
    label_column: Annotated[str, "NAME"] | None = None  # column of labels in Parquet or that file; None: label, ...
    image_column: Annotated[str, "NAME"] | None = None  # column of images; None: image, file_name, ...
    data_dir: Place | None = None  # where prepared TFDS sets lie; None: TFDS's own choice
    train_split: str = "train"  # split to train on, or a part of it: train[:10%]
    test_split: str | None = None  # split to test on; None: validation or test, else a fifth of train_split, held out
    holdout: Literal["digest", "position"] = "digest"  # hold out by contents of images; position: data as in 0.1.0
    class_names: tuple[str, ...] | None = None  # names in the order of the labels, or CLASS=NAME; None: the data's
    classes: tuple[str, ...] | None = None  # only these classes, in this order; None: all
    per_class: int | None = None  # train on so many images of each class, the first ones; None: on all
    balance: bool = False  # serve each class equally often: images of rare ones again and again
    channels: Literal[1, 3] | None = None  # 1: made grey; 3: grey becomes three; None: as the images are
    unreadable: Literal["stop", "skip"] = "stop"  # images that cannot be read; skip: ignore and count them
    batch_size: int = 128  # images a step, all devices together
    eval_batch_size: int | None = None  # images at a time in evaluation; None: batch_size
    image_size: int | None = None  # photographs: side of the random resized crops; None: images of one size, in memory
    crop_area: tuple[float, float] = (0.08, 1.0)  # with image_size: least and greatest share of the image in a crop
    resize: int | None = None  # with image_size: shorter side before evaluation's centre crop; None: image_size * 8/7
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"  # with image_size; antialiased
    threads: int | None = None  # with image_size: threads that decode; None: one per processor of this process
    padding: int = 1  # pixels of zeros on each side before a random crop of the same size; 0: no crop
    horizontal_flip: bool = False  # mirror half of the training images
    color_jitter: Jitter = (0.0, 0.0, 0.0, 0.0)  # strengths of random changes of colour
    cutout: int = 0  # side of the square that is blanked, pixels
    mixup: float = 0.0  # mixup with shares from Beta(alpha, alpha), this alpha; 0: off
    cutmix: float = 0.0  # CutMix, likewise; with both, each pair takes one of them
    mean: tuple[float, ...] | None = None  # per channel, of values in [0, 1]; None: as init.from, or the images' own
    std: tuple[float, ...] | None = None  # standard deviation, likewise


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and loss."""

    optimizer: Literal["sgd", "adamw"] = "sgd"  # SGD with momentum, or AdamW
    peak_lr: float = 0.1  # highest learning rate; at lr_reference_batch images a step where that is set
    lr_reference_batch: int | None = None  # scale peak_lr by batch_size / this; None: peak_lr is absolute
    schedule: Literal["cosine", "step"] = "cosine"  # how the rate falls after the warmup
    warmup_epochs: float | None = (
        None  # epochs in which the rate grows linearly to peak_lr; None: 5, or a fifth of a run not longer than that
    )
    warmup_shrinks: bool = False  # a warmup not shorter than the run takes a fifth of it; off: it is an error
    warmup_from: float = 0.0  # share of peak_lr that the warmup starts from
    warmup_flat: bool = False  # stay at warmup_from until the warmup ends, as the paper's CIFAR ResNet-110
    final_lr: float = 0.0  # rate at the cosine's end
    decay_epochs: tuple[float, ...] = ()  # with schedule step: epochs at which the rate is multiplied by decay_factor
    decay_factor: float = 0.1  # with schedule step: factor of each decay
    momentum: float = 0.9  # with sgd: momentum
    nesterov: bool = False  # with sgd: Nesterov's momentum
    b1: float = 0.9  # with adamw: decay of the mean gradient
    b2: float = 0.999  # with adamw: decay of the mean squared gradient
    weight_decay: float = 5e-4  # decay of the kernels
    decay_all: bool = False  # decay norms and biases too, as the paper
    class_weights: Literal["balanced"] | tuple[Annotated[float | str, "WEIGHT|CLASS=WEIGHT"], ...] | None = (
        None  # of the training loss: in the order of the classes, or by name, the others 1; None: 1 each
    )
    label_smoothing: float = 0.0  # share of each label that is spread over all classes
    clip_norm: float | None = None  # greatest global norm of the gradient; None: not clipped
    accumulate: int = 1  # microbatches that a batch is run in, one after the other
    freeze: Annotated[str, "REGEX"] | None = (
        None  # parameters whose path matches keep their values, norms their statistics; None: none
    )
    lr_multiplier: tuple[
        Annotated[str, "REGEX=FACTOR"], ...
    ] = ()  # the rate times FACTOR for parameters whose path matches; the first match counts
    layer_decay: float | None = None  # multiplies the rate once more for each block below the head; None: 1
    gate_penalty: float = 0.0  # SkipNets: this times the share of blocks that are run is added to the loss
    ema_decay: float | None = None  # keep averaged weights and statistics, tested beside the others; None: none


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    epochs: float = 40.0  # times that every training image is seen
    steps: int | None = None  # length of the run in steps; None: in epochs
    patience: int | None = None  # stop after this many tests without a better checkpoint.best; None: train to the end
    seed: int = 0  # seed of the initialisation, the order of the images and the augmentation
    parallel: Literal["pmap", "shard_map"] = "pmap"  # how several devices are used; the numbers are the same
    log_every_steps: int = 50  # steps between two records in metrics.jsonl
    soft_gate_epochs: float = 0.0  # SkipNets: train with soft gates for so long, then with hard ones
    eval_every_epochs: float = 10.0  # evaluate and save a checkpoint; also at the end
    gradient_flow: bool = False  # record the norms of the gradients by each block's output and parameters
    nonfinite: Literal["stop", "skip"] = "stop"  # a loss or gradient that is not finite; skip: leave that update out
    deterministic: bool = False  # refuse to start where XLA may pick operations that differ from run to run


@dataclass(frozen=True)
class CheckpointConfig:
    """When the state is saved beside each evaluation, and which checkpoints are kept."""

    keep_latest: int = 2  # number of the latest checkpoints to keep
    best: Literal["top1", "loss", "ema_top1", "ema_loss"] = "top1"  # test result by which the best is chosen and kept
    every_steps: int | None = None  # steps between two saves; None: with each evaluation alone
    every_minutes: float | None = None  # minutes between two saves, at a record of metrics.jsonl; None: no limit


@dataclass(frozen=True)
class LogConfig:
    """Curves, beside metrics.jsonl."""

    tensorboard: bool = True  # event files in the run's folder
    wandb: Literal["off", "online", "offline"] = "off"  # Weights & Biases (extra `wandb`)
    wandb_project: str = "resnet_jax"  # project of Weights & Biases


@dataclass(frozen=True)
class ResumeConfig:
    """Starting the same command again on the same workdir resumes the run."""

    allow_changes: bool = False  # resume even with another config or other data


@dataclass(frozen=True)
class DistributedConfig:
    """Several processes that train one net: each starts the same command, on the same file system."""

    auto: bool = False  # ask Slurm, Cloud TPU, GKE or Open MPI who is who
    method: Literal["slurm", "ompi", "mpi4py", "gcetpu", "gketpu"] | None = None  # with auto: ask this one
    coordinator: Annotated[str, "HOST:PORT"] | None = None  # instead of auto: the address of process 0
    processes: int | None = None  # instead of auto: number of processes
    process_id: int | None = None  # instead of auto: number of this process, from 0
    heartbeat_seconds: int = 100  # seconds of silence after which a process ends the job


@dataclass(frozen=True)
class Config:
    """A training run."""

    workdir: Place = "runs/digits_resnet20"  # folder of the run; one that has a run is resumed
    task: Annotated[str, "NAME"] = "classification"  # also: multilabel, regression
    model: ModelConfig = field(default_factory=ModelConfig)
    init: InitConfig = field(default_factory=InitConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    distributed: DistributedConfig = field(default_factory=DistributedConfig)


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
        config = read_record(file) if file.suffix == ".json" else _config_of_script(file)
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
        close = did_you_mean(path.name, beside, did_you_mean(path.stem, names))
        raise FileNotFoundError(f"no config file {str(path)!r}; {close}")
    if path.suffix not in (".py", ".json"):
        raise ValueError(f"config file {path}: expected a .py file with `config = Config(...)` or a run's config.json")
    return path


def _config_of_script(file: Path) -> Config:
    folder, before = str(file.parent.resolve()), set(sys.modules)
    sys.path.insert(0, folder)
    try:
        config = runpy.run_path(str(file)).get("config")
    except (Exception, SystemExit) as error:  # exit() in a file is a mistake of the file, not the end of ours
        raise ValueError(f"{type(error).__name__}: {error}") from error
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)
        for name in set(sys.modules) - before:  # another folder's config may import another file of that name
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{folder}{os.sep}"):
                del sys.modules[name]
    if not isinstance(config, Config):
        raise ValueError("it defines no `config = Config(...)`")
    return config


def read_record(file: Path) -> Config:
    """The config in the config.json of a run.

    Raises:
      ValueError: the file has none.
    """
    record = json.loads(file.read_text())
    if not isinstance(record, dict) or "config" not in record:
        raise ValueError("it has no entry 'config'")
    config: Config = from_dict(record["config"])
    return config


def _between(least: float, most: float) -> tuple[Any, str]:
    return lambda value: least <= value <= most, f"at least {least:,}, at most {most:,}"


# Upper limits keep what no machine can hold, and what float32 cannot, from failing late or training on silently.
LARGEST = 10**9  # of numbers without a unit
IMAGES = 10**6  # at a time
SIDE = 2**14  # pixels
POSITIVE = (lambda value: 0 < value <= LARGEST, f"more than 0, at most {LARGEST:,}")
COUNT = _between(1, LARGEST)
NOT_NEGATIVE = _between(0, LARGEST)
SHARE = (lambda value: 0 <= value < 1, "a number in [0, 1)")
RANGES = {
    "data": {
        **dict.fromkeys(("batch_size", "eval_batch_size"), _between(1, IMAGES)),
        **dict.fromkeys(("image_size", "resize"), _between(1, SIDE)),
        "threads": _between(1, 1024),
        "per_class": COUNT,
        "classes": (lambda value: len(value) > 0, "one class or more"),
        **dict.fromkeys(("padding", "cutout"), _between(0, SIDE)),
        **dict.fromkeys(("mixup", "cutmix"), _between(0, 1000)),
        "std": (lambda value: value and min(value) > 0, "of values in [0, 1]: above 0, at most 1"),
        "crop_area": (lambda value: 0 < value[0] <= value[1] <= 1, "two shares of the image, as 0.08 1.0"),
        "color_jitter": (
            lambda value: 0 <= min(value) <= max(value) <= 100 and value[3] <= 0.5,
            "four strengths of at least 0, at most 100, the last (hue) at most 0.5",
        ),
    },
    "optim": {
        **dict.fromkeys(
            ("peak_lr", "decay_factor", "clip_norm"), (lambda value: 0 < value <= 1e30, "more than 0, at most 1e30")
        ),
        "decay_epochs": (
            lambda value: not value or 0 <= min(value) <= max(value) <= LARGEST,
            f"epochs of at least 0, at most {LARGEST:,}",
        ),
        **dict.fromkeys(("lr_reference_batch", "accumulate"), COUNT),
        **dict.fromkeys(("weight_decay", "warmup_epochs", "final_lr", "gate_penalty"), NOT_NEGATIVE),
        **dict.fromkeys(("label_smoothing", "warmup_from", "momentum", "b1", "b2"), SHARE),
        "class_weights": (
            lambda value: value == "balanced" or _are_class_weights(value),
            "balanced, or a number of at least 0 for each class, one more than 0 (1e-9 to 1e9); or CLASS=WEIGHT",
        ),
        "ema_decay": (lambda value: 0 < value < 1, "a number between 0 and 1"),
        "layer_decay": (lambda value: 0 < value <= 1, "a number above 0, at most 1"),
    },
    "train": {
        **dict.fromkeys(("epochs", "eval_every_epochs"), POSITIVE),
        "soft_gate_epochs": NOT_NEGATIVE,
        **dict.fromkeys(("log_every_steps", "steps", "patience"), COUNT),
        "seed": (lambda value: 0 <= value < 2**63, "at least 0 and less than 2**63"),
    },
    "checkpoint": {**dict.fromkeys(("keep_latest", "every_steps"), COUNT), "every_minutes": POSITIVE},
    "distributed": {
        "processes": COUNT,
        "heartbeat_seconds": (lambda value: 1 <= value <= 86_400, "at least 1 and at most a day, 86,400"),
        "process_id": NOT_NEGATIVE,
        "coordinator": (lambda value: _is_address(*value.rpartition(":")), "HOST:PORT, with a port up to 65535"),
    },
}


MOMENTS = {
    "mean": (lambda value: value and 0 <= min(value) <= max(value) <= 1, "of values in [0, 1], as 0.485 0.456 0.406"),
    "std": (lambda value: value and 0 < min(value) <= max(value) <= 1, "of values in [0, 1]: above 0, at most 1"),
}


def _are_class_weights(values: tuple[float | str, ...]) -> bool:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) == len(values):
        return any(numbers) and all(map(_is_class_weight, numbers))
    try:
        return not numbers and all(_is_class_weight(class_weight(str(value))[1]) for value in values)
    except ValueError:
        return False


def _is_class_weight(value: float) -> bool:
    return value == 0 or 1e-9 <= value <= 1e9  # float32 has these, and their products with a loss


def class_weight(text: str) -> tuple[str, float]:
    """ "cat=2" as ("cat", 2.0). Raises ValueError for another text."""
    name, _, weight = text.rpartition("=")
    return name, float(weight)


def _is_address(host: str, colon: str, port: str) -> bool:
    return bool(host and colon and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16)


def check_config(config: Config) -> None:
    """Raises ValueError for a value that cannot be, whatever the data and the net are."""
    check_types(config)
    if not config.workdir.strip():
        raise ValueError("workdir is empty; wanted: a folder for the run")
    try:
        config.workdir.encode()
    except UnicodeEncodeError:
        shown = config.workdir.encode(errors="backslashreplace").decode()
        raise ValueError(f"workdir={shown!r}: expected a name in UTF-8, which checkpoints need") from None
    for group in ("optim", "train", "checkpoint", "distributed"):
        _check_ranges(group, getattr(config, group))
    check_data(config.data)
    if config.train.steps is not None and config.train.epochs != TrainConfig.epochs:
        given = f"train.steps={config.train.steps} and train.epochs={config.train.epochs}"
        raise ValueError(f"{given} are two lengths of one run; set one of them")
    if config.checkpoint.best.startswith("ema_") and config.optim.ema_decay is None:
        said = f"checkpoint.best={config.checkpoint.best!r} is a result of averaged weights"
        raise ValueError(f"{said}; set --optim.ema-decay, or --checkpoint.best {config.checkpoint.best[4:]}")
    if config.optim.gate_penalty and config.optim.class_weights is not None:
        said = f"optim.gate_penalty={config.optim.gate_penalty} cannot be combined with optim.class_weights"
        raise ValueError(f"{said}; set --optim.gate-penalty 0 or remove --optim.class-weights")
    _check_init(config.init)
    _check_distributed(config.distributed)


def check_data(config: DataConfig) -> None:
    """The same for the data alone."""
    check_types(config, "data.")
    _check_ranges("data", config)
    size, resize = config.image_size, config.resize
    if size is not None and resize is not None and resize < size:
        raise ValueError(f"data.resize={resize}; wanted: at least data.image_size, {size}")


def check_moments(config: DataConfig) -> None:
    """Raises ValueError for a mean or a deviation of values above 1; a run of version 0.1.0 may have them."""
    if config.holdout != "position":
        _check_ranges("data", config, MOMENTS)


def default_workdir(config: Config) -> str:
    """Run directory named by data and net: runs/digits_resnet20, the default of `Config`, for the default run."""
    started = Path(Config.workdir) / "config.json"
    if started.is_file():  # a run of this net on this data, started when that was every run's default
        with suppress(OSError, ValueError):
            earlier = read_record(started)
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


def _check_init(config: InitConfig) -> None:
    given = [name for name in ("step", "ema", "head") if getattr(config, name) != getattr(InitConfig(), name)]
    if given and config.from_ is None:
        raise ValueError(f"init.{given[0]} is of the weights of init.from, which is not set")
    if config.kernels is not None and config.from_ is not None:
        raise ValueError(f"init.kernels={config.kernels!r} draws what init.from takes from {config.from_!r}; set one")


def _check_distributed(config: DistributedConfig) -> None:
    explicit = {name: getattr(config, name) for name in ("coordinator", "processes", "process_id")}
    missing = [f"distributed.{name}" for name, value in explicit.items() if value is None]
    if config.auto and len(missing) < 3:
        raise ValueError("distributed.auto finds coordinator, processes and process_id itself; leave them out")
    if config.method and not config.auto:
        raise ValueError("distributed.method is for distributed.auto")
    if not config.auto and 0 < len(missing) < 3:
        raise ValueError(f"{', '.join(missing)} not given; wanted: all of coordinator, processes and process_id")
    if config.processes is not None and config.process_id is not None and config.process_id >= config.processes:
        raise ValueError(f"distributed.process_id={config.process_id}; wanted: less than {config.processes} processes")


def _check_ranges(group: str, config: Any, ranges: Any = None) -> None:
    for name, (holds, wanted) in (ranges or RANGES[group]).items():
        value = getattr(config, name)
        if value is not None and not holds(value):
            raise ValueError(f"{group}.{name}={_short(value)}; wanted: {wanted}")


def check_types(config: Any, prefix: str = "") -> None:
    """Raises ValueError for a value that its field cannot hold, as a config file may have one."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            if not isinstance(value, hint):
                raise ValueError(f"{prefix}{name}={_short(value)}; wanted: a {hint.__name__}")
            check_types(value, f"{prefix}{name}.")
        elif not _holds(hint, value):
            raise ValueError(f"{prefix}{name}={_short(value)}; wanted: {_shown(hint)}")


def _short(value: Any) -> str:
    """For a message: a damaged file may hold a value of any length."""
    try:
        shown = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"a number of {value.bit_length():,} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


def _shown(hint: Any) -> str:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, kinds))
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_shown, kinds))
    if get_origin(hint) is tuple:
        return f"a tuple of {_shown(kinds[0])}" if Ellipsis in kinds else f"a tuple of {len(kinds)} numbers"
    return {float: "a finite number", int: "a whole number", type(None): "None"}.get(hint, hint.__name__)


def _holds(hint: Any, value: Any) -> bool:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return any(type(value) is type(kind) and value == kind for kind in kinds)  # True and 1.0 are equal to 1
    if get_origin(hint) in (Union, UnionType):
        return any(_holds(kind, value) for kind in kinds)
    if get_origin(hint) is tuple:
        every = isinstance(value, tuple) and all(_holds(kinds[0], one) for one in value)
        return every and (Ellipsis in kinds or len(value) == len(kinds))
    if hint is float:
        if isinstance(value, int) and not isinstance(value, bool):
            return abs(value) <= sys.float_info.max  # isfinite() fails on a larger one
        return isinstance(value, float) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def to_dict(config: Any) -> dict[str, Any]:
    """As JSON holds it: nested dicts, tuples as lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"optim": {"peak_lr": 0.1}} as {"optim.peak_lr": 0.1}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


# Values of fields that an earlier version did not have, where the default would change one of its runs.
EARLIER: dict[tuple[type, str], Any] = {(DataConfig, "holdout"): "position"}


def from_dict(values: dict[str, Any], kind: type = Config) -> Any:
    """The inverse of `to_dict`. Fields that are absent have the values that reproduce the run of an earlier version.

    Raises:
      ValueError: a field that `kind` does not have, or a value that its field cannot hold.
    """
    config = _restored(values, kind)
    check_types(config)
    return config


def _restored(values: dict[str, Any], kind: type) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{_short(values)} for a {kind.__name__}; wanted: names and values of its fields")
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise ValueError(f"{kind.__name__} has no field {_short(name)}; {did_you_mean(str(name), hints)}")

    def restore(name: str, value: Any) -> Any:
        if dataclasses.is_dataclass(hints[name]):
            return _restored(value, hints[name])
        return tuple(value) if isinstance(value, list) else value

    absent = {name: value for (owner, name), value in EARLIER.items() if owner is kind and name not in values}
    return kind(**absent | {name: restore(name, value) for name, value in values.items()})


def changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ between two config dicts: {"optim.peak_lr": (old, new)}."""
    before, after = flat(old), flat(new)
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
