"""From a Config to a checked run: everything that can be wrong is found here, before any work."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import optax

from resnet_jax import data
from resnet_jax.config import Config, ModelConfig, OptimConfig, check_types
from resnet_jax.data import Source
from resnet_jax.models import create_model, shapes
from resnet_jax.training import optim
from resnet_jax.types import Preprocess


@dataclass(frozen=True)
class Plan:
    """A checked run, before any device is touched."""

    config: Config
    model: nn.Module
    overrides: dict[str, Any]  # of create_model
    train: Source
    test: Source
    preprocess: Preprocess
    schedule: optax.Schedule
    steps: int
    steps_per_epoch: int
    eval_every_steps: int


def make_plan(config: Config) -> Plan:
    """Checks a config, reads its data and builds its net; touches no device.

    Raises:
      ValueError, TypeError, OSError: what is wrong, with the nearest valid choice.
    """
    _check_numbers(config)
    # Names and rates first: reading the data may take long.
    create_model(config.model.name, **model_overrides(config.model, num_classes=1, in_channels=1))
    train, test = (
        data.load(config.data.name, split, data_dir=config.data.data_dir)
        for split in (config.data.train_split, config.data.test_split)
    )
    batch_size = config.data.batch_size
    if batch_size > train.num_examples:
        raise ValueError(f"data.batch_size={batch_size}, but {config.data.name} has {train.num_examples} images")
    height, width, channels = train.image_shape
    overrides = model_overrides(config.model, num_classes=len(train.classes), in_channels=channels)
    model = create_model(config.model.name, **overrides)
    shapes(model, max(height, width))
    own = train.moments() if config.data.mean is None or config.data.std is None else ((), ())
    mean = own[0] if config.data.mean is None else config.data.mean
    std = own[1] if config.data.std is None else config.data.std
    if not len(mean) == len(std) == channels:
        raise ValueError(f"data.mean={mean}, data.std={std}; wanted: {channels} numbers each, one per channel")
    steps_per_epoch = train.num_examples // batch_size
    steps = round(config.train.epochs * steps_per_epoch)
    if not steps:
        raise ValueError(f"train.epochs={config.train.epochs} is no step at all; an epoch has {steps_per_epoch}")
    return Plan(
        config=config,
        model=model,
        overrides=overrides,
        train=train,
        test=test,
        preprocess=Preprocess(image_size=height, resize=height, mean=mean, std=std),
        schedule=make_schedule(config.optim, batch_size=batch_size, steps_per_epoch=steps_per_epoch, steps=steps),
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        eval_every_steps=max(1, round(config.train.eval_every_epochs * steps_per_epoch)),
    )


def _check_numbers(config: Config) -> None:
    check_types(config)
    if not config.workdir.strip():
        raise ValueError("workdir is empty; wanted: a folder for the run")
    for name in ("train.epochs", "train.eval_every_epochs", "optim.peak_lr", "optim.clip_norm", "optim.decay_factor"):
        if (value := _field(config, name)) is not None and not value > 0:
            raise ValueError(f"{name}={value}; wanted: more than 0")
    counts = ("data.batch_size", "data.eval_batch_size", "optim.lr_reference_batch", "optim.accumulate")
    for name in (*counts, "train.log_every_steps", "checkpoint.keep_latest"):
        if (value := _field(config, name)) is not None and value < 1:
            raise ValueError(f"{name}={value}; wanted: at least 1")
    if any(std <= 0 for std in config.data.std or ()):
        raise ValueError(f"data.std={config.data.std}; wanted: more than 0")
    if config.train.seed >= 2**63:
        raise ValueError(f"train.seed={config.train.seed}; wanted: less than 2**63")
    for name in ("data.padding", "optim.weight_decay", "optim.warmup_epochs", "optim.final_lr", "train.seed"):
        if (value := _field(config, name)) < 0:
            raise ValueError(f"{name}={value}; wanted: at least 0")
    for name in ("optim.label_smoothing", "optim.momentum", "optim.b1", "optim.b2"):
        if not 0 <= (value := _field(config, name)) < 1:
            raise ValueError(f"{name}={value}; wanted: a number in [0, 1)")


def _field(config: Config, name: str) -> Any:
    group, field = name.split(".")
    return getattr(getattr(config, group), field)


def check_split(config: Config, devices: int) -> None:
    """Raises ValueError for batches that so many devices cannot share."""
    parts = devices * config.optim.accumulate
    sizes = {"data.batch_size": (config.data.batch_size, parts), "data.eval_batch_size": (eval_batch(config), devices)}
    for name, (size, parts) in sizes.items():
        if size % parts:
            near = ", ".join(str(n) for n in (size // parts * parts, -(-size // parts) * parts) if n)
            raise ValueError(f"{name}={size} cannot be split evenly into {parts} (devices x accumulate); close: {near}")
    group = config.model.bn_group_size
    if group is not None and devices % group:
        raise ValueError(f"model.bn_group_size={group} does not divide {devices} devices")


def eval_batch(config: Config) -> int:
    """Images of an evaluation batch."""
    return config.data.eval_batch_size or config.data.batch_size


def model_overrides(config: ModelConfig, *, num_classes: int, in_channels: int) -> dict[str, Any]:
    """What `create_model` is called with, beside the name."""
    overrides = {name: value for name, value in asdict(config).items() if name != "name"}
    if config.stem is None:
        del overrides["stem"]
    return overrides | {"num_classes": num_classes, "in_channels": in_channels}


def make_schedule(config: OptimConfig, *, batch_size: int, steps_per_epoch: float, steps: int) -> optax.Schedule:
    """The learning rate of each step.

    Raises:
      ValueError: a warmup as long as the run, or a decay outside it.
    """
    scale = batch_size / config.lr_reference_batch if config.lr_reference_batch else 1.0
    peak, warmup = config.peak_lr * scale, round(config.warmup_epochs * steps_per_epoch)
    if not 0 <= warmup < steps:
        said = f"optim.warmup_epochs={config.warmup_epochs} is {warmup} steps of a run of {steps}"
        raise ValueError(f"{said}; wanted: less than train.epochs")
    if config.schedule == "cosine":
        return optim.warmup_cosine(peak_lr=peak, steps=steps, warmup_steps=warmup, final_lr=config.final_lr)
    boundaries = [round(epoch * steps_per_epoch) for epoch in config.decay_epochs]
    if not boundaries:
        raise ValueError("optim.schedule=step wants optim.decay_epochs, where the rate falls; got none")
    if not 0 < min(boundaries) <= max(boundaries) < steps:
        raise ValueError(f"optim.decay_epochs={config.decay_epochs} are {boundaries} steps of a run of {steps}")
    return optim.step_decay(peak_lr=peak, boundaries=boundaries, factor=config.decay_factor, warmup_steps=warmup)


def make_optimizer(config: OptimConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    shared: dict[str, Any] = {
        "weight_decay": config.weight_decay,
        "decay_all": config.decay_all,
        "clip_norm": config.clip_norm,
    }
    optimizers = {
        "sgd": partial(optim.sgd, momentum=config.momentum, nesterov=config.nesterov),
        "adamw": partial(optim.adamw, b1=config.b1, b2=config.b2),
    }
    return optimizers[config.optimizer](schedule, **shared)
