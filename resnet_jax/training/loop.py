"""The training loop: Config in, metrics out. Below this file nobody knows of Config."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import subprocess
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax

from resnet_jax import data
from resnet_jax.config import Config, ModelConfig, OptimConfig, changes, check_types, from_dict, to_dict
from resnet_jax.data import Source, make_augment
from resnet_jax.models import create_model, shapes
from resnet_jax.training import metrics, optim
from resnet_jax.training.checkpoint import Checkpoints
from resnet_jax.training.evaluate import evaluate
from resnet_jax.training.losses import cross_entropy
from resnet_jax.training.parallel import Parallel
from resnet_jax.training.report import Report
from resnet_jax.training.state import TrainState
from resnet_jax.training.steps import make_eval_step, make_train_step
from resnet_jax.types import Preprocess

# Fields that may change between the starts of one run: they change no number in it.
FREE = ("workdir", "data.data_dir", "train.parallel", "train.log_every_steps", "checkpoint.keep_latest")


class SetupError(ValueError):
    """The run cannot start as asked; nothing has been done."""


class Diverged(RuntimeError):
    """The loss is not finite any more."""


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


def train(config: Config) -> dict[str, float]:
    """Trains, or goes on training, the run that `config` describes; returns the means of its last evaluation.

    Raises:
      SetupError: a value that cannot be, before any work.
      Diverged: the loss became infinite or nan.
    """
    try:
        plan = _plan(config)
        parallel = Parallel(config.train.parallel)
        _check_split(config, len(parallel.devices))
        folder = _open_folder(config)
    except (ValueError, TypeError, OSError) as error:
        raise SetupError(str(error)) from error
    _cache_compilations()
    with Checkpoints(folder / "checkpoints", keep_latest=config.checkpoint.keep_latest) as checkpoints:
        return _run(plan, parallel, folder, checkpoints)


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
        raise ValueError(f"optim.warmup_epochs={config.warmup_epochs} is {warmup} steps of a run of {steps}")
    if config.schedule == "cosine":
        return optim.warmup_cosine(peak_lr=peak, steps=steps, warmup_steps=warmup, final_lr=config.final_lr)
    boundaries = [round(epoch * steps_per_epoch) for epoch in config.decay_epochs]
    if not boundaries or not 0 < min(boundaries) <= max(boundaries) < steps:
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


def _plan(config: Config) -> Plan:
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


def _check_split(config: Config, devices: int) -> None:
    parts = devices * config.optim.accumulate
    sizes = {"data.batch_size": (config.data.batch_size, parts), "data.eval_batch_size": (_eval_batch(config), devices)}
    for name, (size, parts) in sizes.items():
        if size % parts:
            near = ", ".join(str(n) for n in (size // parts * parts, -(-size // parts) * parts) if n)
            raise ValueError(f"{name}={size} cannot be split evenly into {parts} (devices x accumulate); close: {near}")
    group = config.model.bn_group_size
    if group is not None and devices % group:
        raise ValueError(f"model.bn_group_size={group} does not divide {devices} devices")


def _eval_batch(config: Config) -> int:
    return config.data.eval_batch_size or config.data.batch_size


def _open_folder(config: Config) -> Path:
    """The run's folder, with its config.json; refuses to go on with a run of another config."""
    folder = Path(config.workdir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.json"
    if file.exists():
        try:
            before = to_dict(from_dict(json.loads(file.read_text())["config"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is not the config of a run: {error!r}; choose another --workdir") from None
        differ = {name: pair for name, pair in changes(before, to_dict(config)).items() if name not in FREE}
        if differ:
            named = ", ".join(f"{name} was {old!r}, now {new!r}" for name, (old, new) in differ.items())
            raise ValueError(f"{folder} holds a run of another config: {named}; choose another --workdir")
        return folder
    record = {"config": to_dict(config), "versions": _versions(), "commit": _commit()}
    new = folder / "config.json.new"
    new.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(new, file)
    return folder


def _run(plan: Plan, parallel: Parallel, folder: Path, checkpoints: Checkpoints) -> dict[str, float]:
    config, batch_size = plan.config, plan.config.data.batch_size
    tx = make_optimizer(config.optim, plan.schedule)
    sample = np.zeros((1, *plan.train.image_shape), np.uint8)
    state = parallel.replicate(TrainState.create(plan.model, tx, jax.random.key(config.train.seed), sample))
    start = checkpoints.latest_step or 0
    if start:
        state = checkpoints.restore(start, state)
    evaluation = parallel.map(make_eval_step(plan.model, prepare=plan.preprocess))

    def test(state: TrainState) -> dict[str, float]:
        return evaluate(evaluation, state, plan.test, batch_size=_eval_batch(config), parallel=parallel)

    with Report(folder / "metrics.jsonl", start_step=start, total_steps=plan.steps) as report:
        report.say(_headline(plan, parallel, folder, start))
        if start >= plan.steps:
            means = test(state)
            report.say(f"this run is finished: {_shown(means)}; choose another --workdir for a new one")
            return means
        augment = make_augment(
            plan.preprocess, padding=config.data.padding, horizontal_flip=config.data.horizontal_flip
        )
        loss = partial(cross_entropy, label_smoothing=config.optim.label_smoothing)
        step_function = make_train_step(plan.model, tx, loss=loss, augment=augment, accumulate=config.optim.accumulate)
        train_step = parallel.map(step_function, donate_state=True)
        log = _Log(plan, report, checkpoints, start)
        batches = parallel.prefetch(plan.train.batches(config.train.seed, start, batch_size=batch_size))
        for step in range(start + 1, plan.steps + 1):
            state, sums = train_step(state, next(batches))
            log.add(step, sums)
            if step % plan.eval_every_steps and step < plan.steps:
                continue
            log.flush()
            means = test(state)
            log.check(step, means["loss"], "test loss")
            epoch = step / plan.steps_per_epoch
            report.test(step, {"epoch": epoch, **means}, examples=plan.test.num_examples)
            checkpoints.save(step, state, _meta(plan, step), top1=means["top1"])
            log.restart_clock()
        checkpoints.wait()
        report.say(f"done: {_shown(means)}; {folder}")
        return means


class _Log:
    """Holds the metrics of steps that may still be running, and reads each interval when the next one has ended.

    So the host never waits for the device it feeds, except for the first step and before an evaluation.
    """

    def __init__(self, plan: Plan, report: Report, checkpoints: Checkpoints, start: int) -> None:
        self._every, self._batch_size = plan.config.train.log_every_steps, plan.config.data.batch_size
        self._steps_per_epoch = plan.steps_per_epoch
        self._rates = np.asarray(jax.vmap(plan.schedule)(np.arange(plan.steps)))
        self._report, self._checkpoints = report, checkpoints
        self._ended: list[tuple[int, Any]] = []
        self._open: list[tuple[int, Any]] = []
        self._start = self._timed = start  # `_timed`: steps that had been done at `_clock`
        self._clock = time.perf_counter()

    def add(self, step: int, sums: Any) -> None:
        self._open.append((step, sums))
        self._report.advance(step)
        if step == self._start + 1:
            jax.block_until_ready(sums)  # compilation is no part of the rate
            self._timed = step
            self.restart_clock()
        if step % self._every == 0:
            self._read(self._rate())
            self._ended, self._open = self._open, []

    def flush(self) -> None:
        jax.block_until_ready([sums for _, sums in self._open])
        rate = self._rate()
        self._read(rate)
        self._ended, self._open = self._open, []
        self._read(rate)

    def restart_clock(self) -> None:
        self._clock = time.perf_counter()

    def _rate(self) -> float | None:
        """Images a second since it was last asked, by the steps that have ended since; None before one has."""
        jax.block_until_ready([sums for _, sums in self._ended])
        done = max((step for step, sums in self._ended + self._open if sums["loss"].is_ready()), default=0)
        steps, now = done - self._timed, time.perf_counter()
        if steps <= 0:
            return None
        seconds, self._timed, self._clock = now - self._clock, done, now
        return steps * self._batch_size / seconds

    def check(self, step: int, value: float, what: str) -> None:
        if math.isfinite(value):
            return
        latest = self._checkpoints.latest_step
        good = (
            "there is no checkpoint yet"
            if latest is None
            else f"last good checkpoint: {self._checkpoints.folder / str(latest)}"
        )
        raise Diverged(f"{what} is {value} at step {step}, learning rate {self._rates[step - 1]:.4g}; {good}")

    def _read(self, rate: float | None) -> None:
        if not self._ended:
            return
        steps, sums = zip(*self._ended, strict=True)
        sums, self._ended = jax.device_get(sums), []
        for step, one in zip(steps, sums, strict=True):
            self.check(step, float(one["loss"]), "training loss")
        last = steps[-1]
        values = metrics.mean(sums) | {"learning_rate": float(self._rates[last - 1]), "images_per_second": rate}
        self._report.train(last, {"epoch": last / self._steps_per_epoch, **values}, batch_size=self._batch_size)


def _headline(plan: Plan, parallel: Parallel, folder: Path, start: int) -> str:
    count, device = len(parallel.devices), parallel.devices[0]
    where = f"{count} {device.device_kind} device{'s' if count > 1 else ''} ({parallel.mode})"
    going_on = f", going on from step {start}" if start else ""
    return f"{plan.config.model.name} on {plan.config.data.name}, {where}: {plan.steps} steps in {folder}{going_on}"


def _shown(means: dict[str, float]) -> str:
    return f"test top-1 {means['top1']:.4f}, loss {means['loss']:.4f}"


def _meta(plan: Plan, step: int) -> dict[str, Any]:
    return {
        "model": {"name": plan.config.model.name, "overrides": plan.overrides},
        "classes": list(plan.train.classes),
        "preprocess": asdict(plan.preprocess),
        "versions": _versions(),
        "config": to_dict(plan.config),
        "data": {"next_step": step},
    }


def _versions() -> dict[str, str | None]:
    """Of each package: None where it runs from its source and is not installed."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    names = ("flax-resnets", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {name: version(name) for name in names}


def _commit() -> str | None:
    """The commit of the source tree this runs from ("-dirty" if it was changed), or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cache_compilations() -> None:
    """Keeps compiled programs in the user's cache directory, unless a place is set already."""
    if not jax.config.values["jax_compilation_cache_dir"]:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(root / "resnet_jax" / "jax"))
