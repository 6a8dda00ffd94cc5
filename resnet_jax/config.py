"""Config: a run as plain data. It needs the standard library alone; callables live in Python, their names here."""

from __future__ import annotations

import dataclasses
import json
import math
import runpy
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from resnet_jax.nearest import nearest


@dataclass(frozen=True)
class ModelConfig:
    """The net. Classes and channels are the data's."""

    name: str = "cifar_resnet20"  # one of resnet_jax.list_models()
    stem: Literal["imagenet", "cifar", "deep", "halving"] | None = None  # None: the net's own
    drop_rate: float = 0.0  # dropout before the head
    drop_path: float = 0.0  # stochastic depth: rate of the last block
    global_pool: Literal["avg", "max"] = "avg"
    bn_axis: Literal["data"] | None = None  # None: batch statistics per device; data: of all devices
    bn_group_size: int | None = None  # with bn_axis: of this many neighbouring devices
    frozen_norms: tuple[str, ...] = ()  # parts that keep running statistics: stem, stage1, ...; all
    remat: Literal["none", "block", "stage"] = "none"  # recompute activations in the backward pass
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the arithmetic; parameters and statistics are float32


@dataclass(frozen=True)
class InitConfig:
    """What the weights are at first: drawn anew, or those of another run or of a file."""

    from_: str | None = None  # (--init.from) folder of a run, or PyTorch weights (.safetensors, .pth); None: drawn
    step: str = "latest"  # of that run's checkpoint: latest, best (by test top-1) or a number
    ema: bool = False  # that run's averaged weights
    head: Literal["new", "keep"] | None = None  # the classifier; None: kept from a run of the very same classes
    kernels: Literal["fan_out", "fan_in", "lecun", "small", "large"] | None = None  # of drawn kernels; None: net's own


@dataclass(frozen=True)
class DataConfig:
    """Images: a TFDS classification set by name, or your own at a path."""

    name: str = "digits"  # of the TFDS dataset; "digits" comes with the package
    path: str | None = None  # instead of `name`: a folder of images, of IDX or Parquet files; an .npz or .parquet file
    data_dir: str | None = None  # where prepared TFDS sets lie; None: TFDS's own choice
    train_split: str = "train"  # or a part of it: train[:10%]
    test_split: str | None = None  # None: the set's test or validation split, else a fifth of train_split, held out
    class_names: tuple[str, ...] | None = None  # None: the data's own
    classes: tuple[str, ...] | None = None  # only these, in this order; None: all
    per_class: int | None = None  # train on the first so many images of each class; None: on all
    channels: Literal[1, 3] | None = None  # 1: made grey; 3: grey becomes three; None: as the images are
    unreadable: Literal["stop", "skip"] = "stop"  # skip: count them, and go on without
    batch_size: int = 128  # images a step, all devices together
    eval_batch_size: int | None = None  # None: batch_size
    image_size: int | None = None  # photographs: side of the random resized crops; None: images of one size, in memory
    crop_area: tuple[float, float] = (0.08, 1.0)  # with image_size: least and greatest share of the image in a crop
    resize: int | None = None  # with image_size: shorter side before evaluation's centre crop; None: image_size * 8/7
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"  # with image_size; antialiased
    threads: int | None = None  # with image_size: that decode; None: one per processor of this process
    padding: int = 1  # pixels of zeros on each side before a random crop of the same size; 0: no crop
    horizontal_flip: bool = False
    color_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue
    cutout: int = 0  # side of the square that is blanked, pixels
    mixup: float = 0.0  # alpha of Beta(alpha, alpha); 0: off
    cutmix: float = 0.0  # the same for CutMix; with both, each pair takes one of them
    mean: tuple[float, ...] | None = None  # per channel, of values in [0, 1]; None: as init.from, or the images' own
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and loss."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    peak_lr: float = 0.1  # highest learning rate; at lr_reference_batch images a step where that is set
    lr_reference_batch: int | None = None  # scale peak_lr by batch_size / this; None: peak_lr is absolute
    schedule: Literal["cosine", "step"] = "cosine"
    warmup_epochs: float = 5.0
    warmup_from: float = 0.0  # share of peak_lr it starts from, growing linearly
    warmup_flat: bool = False  # stay at warmup_from until the warmup ends, as the paper's CIFAR ResNet-110
    final_lr: float = 0.0  # where the cosine ends
    decay_epochs: tuple[float, ...] = ()  # schedule step: where the rate is multiplied by decay_factor
    decay_factor: float = 0.1
    momentum: float = 0.9  # sgd
    nesterov: bool = False  # sgd
    b1: float = 0.9  # adamw
    b2: float = 0.999  # adamw
    weight_decay: float = 5e-4
    decay_all: bool = False  # decay norms and biases too, as the paper; else kernels only
    label_smoothing: float = 0.0
    clip_norm: float | None = None  # global norm of the gradient
    accumulate: int = 1  # parts a batch is run in, one after the other
    freeze: str | None = None  # regular expression: parameters in whose path it is found stay, with norms' statistics
    lr_multiplier: tuple[str, ...] = ()  # PATTERN=FACTOR of the rate, by path: the first that finds it; else 1
    layer_decay: float | None = None  # multiplies the rate once more for each block below the head
    gate_penalty: float = 0.0  # SkipNets: this times the share of blocks that are run is added to the loss
    ema_decay: float | None = None  # keep averaged weights and statistics, tested beside the others; None: none


@dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    epochs: float = 40.0
    seed: int = 0
    parallel: Literal["pmap", "shard_map"] = "pmap"
    log_every_steps: int = 50
    soft_gate_epochs: float = 0.0  # SkipNets: train with soft gates for so long, then with hard ones
    eval_every_epochs: float = 10.0  # evaluate and save a checkpoint; also at the end
    gradient_flow: bool = False  # record the norms of the gradients by each block's output and parameters
    nonfinite: Literal["stop", "skip"] = "stop"  # a loss or gradient that is not finite; skip: leave that update out
    deterministic: bool = False  # refuse to start where XLA may pick operations that differ from run to run


@dataclass(frozen=True)
class CheckpointConfig:
    """When the state is saved beside each evaluation, and what is kept beside the best by test top-1."""

    keep_latest: int = 2
    every_steps: int | None = None
    every_minutes: float | None = None  # asked at each multiple of train.log_every_steps


@dataclass(frozen=True)
class LogConfig:
    """Curves, beside metrics.jsonl."""

    tensorboard: bool = True  # event files in the run's folder
    wandb: Literal["off", "online", "offline"] = "off"  # Weights & Biases; wants the extra `wandb`
    wandb_project: str = "resnet_jax"


@dataclass(frozen=True)
class ResumeConfig:
    """Going on with a run."""

    allow_changes: bool = False  # even with another config or other data than it began with


@dataclass(frozen=True)
class DistributedConfig:
    """Several processes that train one net: each starts the same command, on the same file system."""

    auto: bool = False  # ask Slurm, Cloud TPU, GKE or Open MPI who is who
    method: Literal["slurm", "ompi", "mpi4py", "gcetpu", "gketpu"] | None = None  # with auto: ask this one
    coordinator: str | None = None  # instead of auto: HOST:PORT of process 0
    processes: int | None = None
    process_id: int | None = None
    heartbeat_seconds: int = 100  # a process that is silent for so long ends the job


@dataclass(frozen=True)
class Config:
    """A training run."""

    workdir: str = "runs/digits_resnet20"
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
    """The `config` a Python file defines.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file fails, or defines no `config` of type Config.
    """
    path = Path(path)
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*.py")]
        raise FileNotFoundError(f"no config file {str(path)!r}; {nearest(path.name, beside, 'see configs/')}")
    try:
        config = runpy.run_path(str(path)).get("config")
    except (Exception, SystemExit) as error:  # exit() in a file is a mistake of the file, not the end of ours
        raise ValueError(f"config file {path}: {type(error).__name__}: {error}") from error
    if not isinstance(config, Config):
        raise ValueError(f"config file {path} defines no `config = Config(...)`")
    try:
        check_types(config)
    except ValueError as error:
        raise ValueError(f"config file {path}: {error}") from None
    return config


POSITIVE = (lambda value: value > 0, "more than 0")
COUNT = (lambda value: value >= 1, "at least 1")
NOT_NEGATIVE = (lambda value: value >= 0, "at least 0")
SHARE = (lambda value: 0 <= value < 1, "a number in [0, 1)")
RANGES = {
    "data": {
        **dict.fromkeys(("batch_size", "eval_batch_size", "image_size", "resize", "threads", "per_class"), COUNT),
        "classes": (lambda value: len(value) > 0, "one class or more"),
        **dict.fromkeys(("padding", "cutout", "mixup", "cutmix"), NOT_NEGATIVE),
        "std": (lambda value: value and min(value) > 0, "more than 0"),
        "crop_area": (lambda value: 0 < value[0] <= value[1] <= 1, "two shares of the image, as 0.08 1.0"),
        "color_jitter": (
            lambda value: min(value) >= 0 and value[3] <= 0.5,
            "four strengths of at least 0, the last (hue) at most 0.5",
        ),
    },
    "optim": {
        **dict.fromkeys(("peak_lr", "clip_norm", "decay_factor"), POSITIVE),
        **dict.fromkeys(("lr_reference_batch", "accumulate"), COUNT),
        **dict.fromkeys(("weight_decay", "warmup_epochs", "final_lr", "gate_penalty"), NOT_NEGATIVE),
        **dict.fromkeys(("label_smoothing", "warmup_from", "momentum", "b1", "b2"), SHARE),
        "ema_decay": (lambda value: 0 < value < 1, "a number between 0 and 1"),
        "layer_decay": (lambda value: 0 < value <= 1, "a number above 0, at most 1"),
    },
    "train": {
        **dict.fromkeys(("epochs", "eval_every_epochs"), POSITIVE),
        "soft_gate_epochs": NOT_NEGATIVE,
        "log_every_steps": COUNT,
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


def _is_address(host: str, colon: str, port: str) -> bool:
    return bool(host and colon and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16)


def check_config(config: Config) -> None:
    """Raises ValueError for a value that cannot be, whatever the data and the net are."""
    check_types(config)
    if not config.workdir.strip():
        raise ValueError("workdir is empty; wanted: a folder for the run")
    for group in ("optim", "train", "checkpoint", "distributed"):
        _check_ranges(group, getattr(config, group))
    check_data(config.data)
    _check_init(config.init)
    _check_distributed(config.distributed)


def check_data(config: DataConfig) -> None:
    """The same for the data alone."""
    check_types(config, "data.")
    _check_ranges("data", config)
    size, resize = config.image_size, config.resize
    if size is not None and resize is not None and resize < size:
        raise ValueError(f"data.resize={resize}; wanted: at least data.image_size, {size}")


def place(config: DataConfig) -> tuple[str | None, ...]:
    """Where the images are."""
    return ("", config.path, "") if config.path else (config.name, None, config.data_dir)


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


def _check_ranges(group: str, config: Any) -> None:
    for name, (holds, wanted) in RANGES[group].items():
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


def from_dict(values: dict[str, Any], kind: type = Config) -> Any:
    """The inverse of `to_dict`. Fields that are absent have their defaults.

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
            raise ValueError(f"{kind.__name__} has no field {_short(name)}; {nearest(str(name), hints)}")

    def restore(name: str, value: Any) -> Any:
        if dataclasses.is_dataclass(hints[name]):
            return _restored(value, hints[name])
        return tuple(value) if isinstance(value, list) else value

    return kind(**{name: restore(name, value) for name, value in values.items()})


def changes(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that differ between two config dicts: {"optim.peak_lr": (old, new)}."""
    before, after = flat(old), flat(new)
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
