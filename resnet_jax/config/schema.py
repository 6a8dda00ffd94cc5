"""Config: a run as plain data. It needs the standard library alone; callables live in Python, their names here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from resnet_jax.config.fields import (
    ADDRESS,
    AREA,
    BATCH,
    BEAMS,
    BETA,
    BORDER,
    CLASS_WEIGHTS,
    CLASSES,
    COUNT,
    DECAY,
    DEVIATIONS,
    EPOCHS,
    FACTOR,
    FACTORS,
    JITTER,
    NOT_NEGATIVE,
    PIXELS,
    POSITIVE,
    RATE,
    SCALES,
    SECONDS,
    SEED,
    SHARE,
    THREADS,
    Place,
    between,
    option,
)
from resnet_jax.config.sequences import AudioConfig, CaptionConfig, SeriesConfig, TextConfig

Jitter = Annotated[tuple[float, float, float, float], "BRIGHTNESS CONTRAST SATURATION HUE"]
ClassWeight = Annotated[float | str, "WEIGHT|CLASS=WEIGHT"]
DEFAULT_WARMUP = 5.0  # epochs


@dataclass(frozen=True)
class ModelConfig:
    """The net. Its classes and channels are the data's."""

    name: str = option("cifar_resnet20", "the net; `resnet-jax models` lists them")
    stem: Literal["imagenet", "cifar", "deep", "halving"] | None = option(None, "first layers", none="the net's own")
    drop_rate: float = option(0.0, "dropout before the head")
    drop_path: float = option(0.0, "stochastic depth: rate of the last block")
    global_pool: Literal["avg", "max"] = option("avg", "mean or maximum over the last map")
    bn_axis: Literal["data"] | None = option(None, "batch statistics over all devices", none="each device's own")
    bn_group_size: int | None = option(
        None, "with bn_axis: number of neighbouring devices that share batch statistics", none="all"
    )
    frozen_norms: tuple[Annotated[str, "NORM"], ...] = option(
        (), "components whose norms keep their statistics: stem, stage1, ... or all"
    )
    remat: Literal["none", "block", "stage"] = option("none", "recompute activations in the backward pass")
    dtype: Literal["float32", "bfloat16"] = option("float32", "dtype of the arithmetic (mixed precision: bfloat16)")
    options: tuple[Annotated[str, "NAME=VALUE"], ...] = option(
        (), "other options of `create_model`, as fpn_features=64 or levels=stage2,stage3"
    )


@dataclass(frozen=True)
class InitConfig:
    """The first weights: initialised, or those of another run or from elsewhere."""

    from_: Place | None = option(
        None,
        "a run or weights to start from: a file, timm/NAME.TAG, ...",
        none="initialised",
    )
    step: str = option("latest", "checkpoint of that run: latest, best (by checkpoint.best) or a number")
    ema: bool = option(False, "take the averaged weights of that run or file")
    head: Literal["new", "keep"] | None = option(
        None, "the classifier", none="kept from a run with the same classes, else new"
    )
    kernels: Literal["fan_out", "fan_in", "lecun", "small", "large"] | None = option(
        None, "scale of initialised kernels", none="the net's own"
    )


@dataclass(frozen=True)
class DataConfig:
    """Images: a TFDS classification set by name, or your own at a path."""

    name: str = option("digits", "a TFDS dataset, or digits, scenes or japanese_vowels of this package")
    kind: Literal["images", "series", "audio", "text"] | None = option(
        None, "what the data holds; a net of images takes audio as spectrograms", none="what the net takes"
    )
    path: Place | None = option(
        None, "your files instead: a folder of images, sounds or texts; .csv, .ts, .npz, .parquet"
    )
    labels: Place | None = option(
        None,
        "with path: a .csv, .tsv or .jsonl file of images and labels; of captions also COCO's .json",
        none="metadata.csv there",
    )
    label_column: str | tuple[Annotated[str, "NAME"], ...] | None = option(
        None, "column of labels in Parquet or that file; several: one per target or class", none="label, ..."
    )
    image_column: Annotated[str, "NAME"] | None = option(None, "column of images", none="image, file_name, ...")
    annotations: str | tuple[Place, ...] | None = option(
        None,
        "boxes and masks: a COCO JSON (or one per split), a folder of Pascal VOC's XML files, or YOLO's data.yaml",
        none="as the folder at path has them",
    )
    masks: Place | None = option(
        None, "with path: a folder of masks, images whose pixels are classes", none="as the folder at path has them"
    )
    invalid: Literal["error", "skip"] = option(
        "error", "invalid boxes and masks; skip: ignore and count them, clip boxes at the border"
    )
    max_boxes: int | None = option(
        None, "greatest number of boxes of an image in training; the largest are taken", COUNT, none="all"
    )
    data_dir: Place | None = option(None, "folder of prepared TFDS sets", none="TFDS's own choice")
    train_split: str = option("train", "split to train on, or a part of it: train[:10%]")
    test_split: str | None = option(
        None, "split to test on", none="validation or test, else a fifth of train_split, held out"
    )
    holdout: Literal["digest", "position"] = option(
        "digest", "hold out by contents of images; position: data as in 0.1.0"
    )
    class_names: tuple[str, ...] | None = option(
        None, "names in the order of the labels, or CLASS=NAME", none="the data's"
    )
    classes: tuple[str, ...] | None = option(None, "only these classes, in this order", CLASSES, none="all")
    per_class: int | None = option(
        None, "greatest number of training images of each class; the first are taken", COUNT, none="all"
    )
    buckets: int = option(4, "sequences: greatest number of lengths to which batches are padded", between(1, 64))
    last_batch: Literal["drop", "keep"] = option(
        "drop", "sequences: the rest of an epoch that does not fill a batch; keep: train on it too"
    )
    balance: bool = option(False, "serve each class equally often: images of rare ones are repeated")
    channels: Literal[1, 3] | None = option(
        None, "1: images become grey; 3: grey becomes three", none="as the images are"
    )
    unreadable: Literal["stop", "skip"] = option("stop", "images that cannot be read; skip: ignore and count them")
    batch_size: int = option(128, "images a step, all devices together", BATCH)
    eval_batch_size: int | None = option(None, "images at a time in evaluation", BATCH, none="batch_size")
    image_size: int | None = option(
        None,
        "photographs: side of the random resized crops",
        PIXELS,
        none="images of one size, in memory",
    )
    crop_area: tuple[float, float] = option(
        (0.08, 1.0), "with image_size: least and greatest share of the image in a crop", AREA
    )
    resize: int | None = option(
        None, "with image_size: shorter side before evaluation's centre crop", PIXELS, none="image_size * 8/7"
    )
    interpolation: Literal["bilinear", "bicubic"] = option("bilinear", "with image_size; antialiased")
    decode: Literal["full", "scaled"] = option(
        "full",
        "with image_size; scaled: training decodes JPEGs that are much larger than a crop needs at 1/2, 1/4 or 1/8",
    )
    threads: int | None = option(
        None, "with image_size: threads that decode", THREADS, none="one per processor of this process"
    )
    scale_jitter: tuple[float, float] | None = option(
        None,
        "with boxes or label maps: least and greatest size of training images, 1 fits the canvas; random windows",
        SCALES,
        none="off",
    )
    padding: int = option(1, "pixels of zeros on each side before a random crop of the same size; 0: no crop", BORDER)
    horizontal_flip: bool = option(False, "mirror half of the training images")
    color_jitter: Jitter = option((0.0, 0.0, 0.0, 0.0), "strengths of random changes of colour", JITTER)
    cutout: int = option(0, "side of the square that is blanked, pixels", BORDER)
    mixup: float = option(0.0, "mixup with shares from Beta(alpha, alpha), this alpha; 0: off", BETA)
    cutmix: float = option(0.0, "CutMix, likewise; with both, each pair takes one of them", BETA)
    mean: tuple[float, ...] | None = option(
        None, "per channel, of values in [0, 1]", none="as init.from, or the images' own"
    )
    std: tuple[float, ...] | None = option(
        None, "standard deviation per channel, of values in [0, 1]", DEVIATIONS, none="as init.from, or the images' own"
    )
    series: SeriesConfig = field(default_factory=SeriesConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    text: TextConfig = field(default_factory=TextConfig)
    captions: CaptionConfig = field(default_factory=CaptionConfig)


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and loss."""

    optimizer: Literal["sgd", "adamw"] = option("sgd", "SGD with momentum, or AdamW (Adam with weight_decay 0)")
    peak_lr: float = option(0.1, "highest learning rate; at lr_reference_batch images a step where that is set", RATE)
    lr_reference_batch: int | None = option(
        None, "scale peak_lr by batch_size / this", COUNT, none="peak_lr is absolute"
    )
    schedule: Literal["cosine", "step", "poly", "plateau"] = option(
        "cosine", "decay of the rate after the warmup; plateau: when the training loss no longer falls"
    )
    warmup_epochs: float | None = option(
        None,
        "epochs in which the rate grows linearly to peak_lr",
        NOT_NEGATIVE,
        none="5, or a fifth of a run not longer than that",
    )
    warmup_shrinks: bool = option(
        False, "shorten a warmup that is not shorter than the run to a fifth of it; otherwise it is an error"
    )
    warmup_from: float = option(0.0, "share of peak_lr that the warmup starts from", SHARE)
    warmup_flat: bool = option(False, "stay at warmup_from until the warmup ends, as the paper's CIFAR ResNet-110")
    final_lr: float = option(0.0, "rate at the cosine's end; with schedule plateau: the lowest rate", NOT_NEGATIVE)
    decay_epochs: tuple[float, ...] = option(
        (), "with schedule step: epochs at which the rate is multiplied by decay_factor", EPOCHS
    )
    decay_factor: float = option(0.1, "with schedule step or plateau: factor of each decay", RATE)
    plateau_epochs: int = option(
        10, "with schedule plateau: epochs in a row without a lower training loss before the rate decays", COUNT
    )
    plateau_delta: float = option(
        1e-4, "with schedule plateau: a loss is lower if it is below the lowest one less this", NOT_NEGATIVE
    )
    poly_power: float = option(0.9, "with schedule poly: power of the share of the run that is not done", POSITIVE)
    momentum: float = option(0.9, "with sgd: momentum", SHARE)
    nesterov: bool = option(False, "with sgd: Nesterov's momentum")
    b1: float = option(0.9, "with adamw: decay of the mean gradient", SHARE)
    b2: float = option(0.999, "with adamw: decay of the mean squared gradient", SHARE)
    eps: float = option(1e-8, "with adamw: added to the root of the mean squared gradient; Keras has 1e-7", RATE)
    weight_decay: float = option(5e-4, "decay of the kernels", NOT_NEGATIVE)
    decay_all: bool = option(False, "decay norms and biases too, as the paper")
    class_weights: Literal["balanced"] | tuple[ClassWeight, ...] | None = option(
        None,
        "of the training loss: in the order of the classes, or by name, the others 1",
        CLASS_WEIGHTS,
        none="1 each",
    )
    regression_loss: Literal["l1", "l2", "huber"] = option(
        "l2", "loss of tasks that predict numbers, normalised; huber is quadratic up to one standard deviation"
    )
    beam_width: int = option(1, "transcripts that tests search for at a time; 1: the likeliest path", BEAMS)
    contrastive_loss: Literal["softmax", "sigmoid"] = option(
        "softmax", "loss of pairs of images and texts: CLIP's cross-entropy of both directions, or SigLIP's"
    )
    local_loss: bool = option(
        True, "pairs: each device computes the rows of its own pairs; False: all rows, with the same gradient"
    )
    max_logit_scale: float = option(
        100.0, "pairs: greatest factor of the cosines, to which it is limited after each update", FACTORS
    )
    label_smoothing: float = option(0.0, "share of each label that is spread over all classes", SHARE)
    clip_norm: float | None = option(None, "greatest global norm of the gradient", RATE, none="not clipped")
    accumulate: int = option(1, "microbatches of a batch, one after the other", COUNT)
    freeze: Annotated[str, "REGEX"] | None = option(
        None, "parameters whose path matches keep their values, norms their statistics", none="none"
    )
    lr_multiplier: tuple[Annotated[str, "REGEX=FACTOR"], ...] = option(
        (), "the rate times FACTOR for parameters whose path matches; the first match counts"
    )
    layer_decay: float | None = option(
        None, "multiply the rate by this once more for each block below the head", FACTOR, none="1"
    )
    gate_penalty: float = option(0.0, "SkipNets: weight of the share of executed blocks in the loss", NOT_NEGATIVE)
    ema_decay: float | None = option(
        None, "keep averaged weights and statistics, tested beside the others", DECAY, none="none"
    )
    keep_lowest: bool = option(
        False, "test and read the weights after the epoch with the lowest training loss, not the latest ones"
    )


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    epochs: float = option(40.0, "times that every training image is seen", POSITIVE)
    steps: int | None = option(None, "length of the run in steps", COUNT, none="in epochs")
    patience: int | None = option(
        None, "stop after this number of tests without a better checkpoint.best", COUNT, none="train to the end"
    )
    seed: int = option(0, "seed of the initialisation, the order of the images and the augmentation", SEED)
    parallel: Literal["pmap", "shard_map"] = option("pmap", "how several devices are used; the numbers are the same")
    steps_per_call: int = option(1, "steps in one call of the compiled program; several make small nets faster", COUNT)
    log_every_steps: int = option(50, "steps between two records in metrics.jsonl", COUNT)
    soft_gate_epochs: float = option(0.0, "SkipNets: epochs with soft gates before the hard ones", NOT_NEGATIVE)
    eval_every_epochs: float = option(10.0, "evaluate and save a checkpoint; also at the end", POSITIVE)
    gradient_flow: bool = option(False, "record the norms of the gradients by each block's output and parameters")
    nonfinite: Literal["stop", "skip"] = option("stop", "a loss or gradient that is not finite; skip: drop that update")
    deterministic: bool = option(False, "refuse to start where XLA may pick operations that differ from run to run")


@dataclass(frozen=True)
class CheckpointConfig:
    """When the state is saved beside each evaluation, and which checkpoints are kept."""

    keep_latest: int = option(2, "number of the latest checkpoints to keep", COUNT)
    best: Annotated[str, "RESULT"] | None = option(
        None,
        "test result by which the best is chosen and kept: a measure of the task, or ema_ and its name",
        none="the task's first measure",
    )
    every_steps: int | None = option(None, "steps between two saves", COUNT, none="with each evaluation alone")
    every_minutes: float | None = option(
        None, "minutes between two saves, at a record of metrics.jsonl", POSITIVE, none="no limit"
    )


@dataclass(frozen=True)
class LogConfig:
    """Curves, beside metrics.jsonl."""

    tensorboard: bool = option(True, "event files in the run's folder")
    wandb: Literal["off", "online", "offline"] = option("off", "Weights & Biases (extra `wandb`)")
    wandb_project: str = option("resnet_jax", "project of Weights & Biases")


@dataclass(frozen=True)
class ResumeConfig:
    """Starting the same command again on the same workdir resumes the run."""

    allow_changes: bool = option(False, "resume even with another config or other data")


@dataclass(frozen=True)
class DistributedConfig:
    """Several processes that train one net: each starts the same command, on the same file system."""

    auto: bool = option(False, "ask Slurm, Cloud TPU, GKE or Open MPI who is who")
    method: Literal["slurm", "ompi", "mpi4py", "gcetpu", "gketpu"] | None = option(None, "with auto: ask this one")
    coordinator: Annotated[str, "HOST:PORT"] | None = option(None, "instead of auto: the address of process 0", ADDRESS)
    processes: int | None = option(None, "instead of auto: number of processes", COUNT)
    process_id: int | None = option(None, "instead of auto: number of this process, from 0", NOT_NEGATIVE)
    heartbeat_seconds: int = option(100, "seconds of silence after which a process ends the job", SECONDS)


@dataclass(frozen=True)
class Config:
    """A training run."""

    workdir: Place = option("runs/digits_resnet20", "folder of the run; one that has a run is resumed")
    task: Annotated[str, "NAME"] = option("classification", "kind of problem")
    model: ModelConfig = field(default_factory=ModelConfig)
    init: InitConfig = field(default_factory=InitConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    resume: ResumeConfig = field(default_factory=ResumeConfig)
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
