"""The training loop: Config in, metrics out. Config stops here: below, functions take ordinary arguments."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resnet_jax.config import Config, flat, to_dict
from resnet_jax.data import DataError
from resnet_jax.data.sheet import as_seen
from resnet_jax.training import metrics
from resnet_jax.training.checkpoint import Checkpoints
from resnet_jax.training.evaluate import evaluate
from resnet_jax.training.folder import open_folder, versions
from resnet_jax.training.losses import cross_entropy
from resnet_jax.training.parallel import Parallel
from resnet_jax.training.plan import Plan, check_split, eval_batch, make_augmentation, make_optimizer, make_plan
from resnet_jax.training.report import Report
from resnet_jax.training.state import TrainState
from resnet_jax.training.steps import make_eval_step, make_train_step, step_keys
from resnet_jax.training.writers import TensorBoard, WandB, Writer, check_installed
from resnet_jax.types import Batch

AHEAD = 3  # steps under way at most


class SetupError(ValueError):
    """The run cannot start as asked; nothing has been trained."""


class Diverged(RuntimeError):
    """The loss is not finite any more."""


def train(config: Config) -> dict[str, float]:
    """Trains, or goes on training, the run that `config` describes; returns the means of its last evaluation.

    Raises:
      SetupError: a value that cannot be, before any work.
      DataError: an image that cannot be read or has a wrong label; at once, or when it is reached.
      Diverged: the loss became infinite or nan.
    """
    try:
        plan = make_plan(config)
        check_installed(tensorboard=config.log.tensorboard, wandb=config.log.wandb != "off")
        parallel = Parallel(config.train.parallel)
        check_split(config, len(parallel.devices))
        folder = open_folder(config)
    except DataError:
        raise
    except (ValueError, TypeError, OSError) as error:
        raise SetupError(str(error)) from error
    cache_compilations()
    with Checkpoints(folder / "checkpoints", keep_latest=config.checkpoint.keep_latest) as checkpoints:
        return _run(plan, parallel, folder, checkpoints)


def _run(plan: Plan, parallel: Parallel, folder: Path, checkpoints: Checkpoints) -> dict[str, float]:
    config, batch_size = plan.config, plan.config.data.batch_size
    tx = make_optimizer(config.optim, plan.schedule)
    sample = np.zeros((1, *plan.train.image_shape), np.uint8)
    state = parallel.replicate(TrainState.create(plan.model, tx, jax.random.key(config.train.seed), sample))
    start = checkpoints.latest_step or 0
    if start:
        _check_same_data(plan, checkpoints.meta(start)["data"])
        state = checkpoints.restore(start, state)
    evaluation = parallel.map(make_eval_step(plan.model, prepare=plan.preprocess))

    def test(state: TrainState) -> dict[str, float]:
        return evaluate(evaluation, state, plan.test, batch_size=eval_batch(config), parallel=parallel)

    going_on = start < plan.steps
    try:
        writers = _writers(config, folder, start) if going_on else []
    except ValueError as error:
        raise SetupError(str(error)) from error
    with Report(folder / "metrics.jsonl", start_step=start, total_steps=plan.steps, writers=writers) as report:
        report.say(_headline(plan, parallel, folder, start))
        skipped = _Skipped(plan, report)
        if not going_on:
            means = test(state)
            report.say(f"this run is finished: {_shown(means)}; choose another --workdir for a new one")
            return means
        augment = make_augmentation(config.data, plan.preprocess, len(plan.train.classes))
        loss = partial(cross_entropy, label_smoothing=config.optim.label_smoothing)
        step_function = make_train_step(plan.model, tx, loss=loss, augment=augment, accumulate=config.optim.accumulate)
        train_step = parallel.map(step_function, donate_state=True)
        log = _Log(plan, report, checkpoints, start)
        host_batches = plan.train.batches(config.train.seed, start, batch_size=batch_size)
        if writers:
            first = next(host_batches)
            key = step_keys(jax.device_get(state.key), start)[0]
            report.image(start, "train/images", as_seen(first, augment, key, plan.preprocess))
            host_batches = chain([first], host_batches)
        batches = parallel.prefetch(host_batches)
        for step in range(start + 1, plan.steps + 1):
            state, sums = train_step(state, log.wait_for(batches))
            log.add(step, sums)
            if step % plan.eval_every_steps and step < plan.steps:
                continue
            log.flush()
            means = test(state)
            log.check(step, means["loss"], "test loss")
            epoch = step / plan.steps_per_epoch
            report.test(step, {"epoch": epoch, **means})
            skipped.say()
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
        self._waited = 0.0  # seconds since `_clock` in getting batches; the devices may have been at work meanwhile
        self._clock = time.perf_counter()

    def wait_for(self, batches: Iterator[Batch]) -> Batch:
        """The next batch, once few enough steps are under way: each holds a batch on the devices."""
        under_way = [sums for _, sums in (self._ended + self._open)[-AHEAD:]]
        if len(under_way) == AHEAD:
            jax.block_until_ready(under_way[0])
        began = time.perf_counter()
        batch = next(batches)
        self._waited += time.perf_counter() - began
        return batch

    def add(self, step: int, sums: Any) -> None:
        self._open.append((step, sums))
        self._report.advance(step)
        if step == self._start + 1:
            jax.block_until_ready(sums)  # compilation is no part of the rate
            self._timed = step
            self.restart_clock()
        if step % self._every == 0:
            self._read(self._pace())
            self._ended, self._open = self._open, []

    def flush(self) -> None:
        jax.block_until_ready([sums for _, sums in self._open])
        pace = self._pace()
        self._read(pace)
        self._ended, self._open = self._open, []
        self._read(pace)

    def restart_clock(self) -> None:
        self._clock, self._waited = time.perf_counter(), 0.0

    def _pace(self) -> dict[str, float | None]:
        """Images a second since it was last asked, by the steps that have ended since, and the share of the time that
        went into waiting for data; None before a step has ended.
        """
        jax.block_until_ready([sums for _, sums in self._ended])
        done = max((step for step, sums in self._ended + self._open if sums["loss"].is_ready()), default=0)
        steps, now = done - self._timed, time.perf_counter()
        if steps <= 0:
            return {"images_per_second": None, "data_wait": None}
        seconds, waited = now - self._clock, self._waited
        self._timed, self._clock, self._waited = done, now, 0.0
        return {"images_per_second": steps * self._batch_size / seconds, "data_wait": waited / seconds}

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

    def _read(self, pace: dict[str, float | None]) -> None:
        if not self._ended:
            return
        steps, sums = zip(*self._ended, strict=True)
        sums, self._ended = jax.device_get(sums), []
        if not any(one["count"] for one in sums):
            return
        for step, one in zip(steps, sums, strict=True):
            self.check(step, float(one["loss"]), "training loss")
        last = steps[-1]
        values = metrics.mean(sums) | {"learning_rate": float(self._rates[last - 1]), **pace}
        self._report.train(last, {"epoch": last / self._steps_per_epoch, **values}, batch_size=self._batch_size)


class _Skipped:
    """Says how many images could not be read, when there are more than it said last."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._sources, self._report, self._said = (plan.train, plan.test), report, 0
        self.say()

    def say(self) -> None:
        reasons = [reason for source in self._sources for reason in list(source.skipped.values())]
        if len(reasons) > self._said:
            self._report.say(f"{len(reasons)} images skipped so far, which cannot be read; the last: {reasons[-1]}")
            self._said = len(reasons)


def _data_facts(plan: Plan) -> dict[str, Any]:
    """What must not change between the starts of a run: it would change which images are trained on."""
    images = {"train": plan.train.num_examples, "test": plan.test.num_examples}
    return {"images": images, "classes": list(plan.train.classes)}


def _check_same_data(plan: Plan, before: dict[str, Any]) -> None:
    for name, now in _data_facts(plan).items():
        if before.get(name, now) != now:
            raise SetupError(
                f"the data has changed since this run began: {name} {before[name]}, now {now}; choose another --workdir"
            )


def _writers(config: Config, folder: Path, start: int) -> list[Writer]:
    fields = flat(to_dict(config))
    with ExitStack() as opened:  # those before one that fails are closed
        writers: list[Writer] = []
        if config.log.tensorboard:
            writers.append(TensorBoard(folder / "tensorboard", start_step=start, hyperparameters=fields))
            opened.callback(writers[-1].close)
        if config.log.wandb != "off":
            mode, project = config.log.wandb, config.log.wandb_project
            writers.append(WandB(folder, name=folder.name, project=project, mode=mode, hyperparameters=fields))
        opened.pop_all()
        return writers


def _headline(plan: Plan, parallel: Parallel, folder: Path, start: int) -> str:
    count, device = len(parallel.devices), parallel.devices[0]
    where = f"{count} {device.device_kind} device{'s' if count > 1 else ''} ({parallel.mode})"
    going_on = f", going on from step {start}" if start else ""
    images = f"{plan.train.num_examples:,} images to train on, {plan.test.num_examples:,} to test"
    data = f"{plan.data_name}: {images} of {len(plan.train.classes)} classes"
    return f"{data}\n{plan.config.model.name}, {where}: {plan.steps} steps in {folder}{going_on}"


def _shown(means: dict[str, float]) -> str:
    return f"test top-1 {means['top1']:.4f}, loss {means['loss']:.4f}"


def _meta(plan: Plan, step: int) -> dict[str, Any]:
    return {
        "model": {"name": plan.config.model.name, "overrides": plan.overrides},
        "classes": list(plan.train.classes),
        "preprocess": asdict(plan.preprocess),
        "versions": versions(),
        "config": to_dict(plan.config),
        "data": {"next_step": step} | _data_facts(plan),
    }


def cache_compilations() -> None:
    """Keeps compiled programs in the user's cache directory, unless a place is set already."""
    if not jax.config.values["jax_compilation_cache_dir"]:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(root / "resnet_jax" / "jax"))
