"""The training loop: Config in, metrics out. Config stops here: below, functions take ordinary arguments."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import jax

from resnet_jax.config import Config, check_config, flat, to_dict
from resnet_jax.data import DataError
from resnet_jax.data.sheet import as_seen
from resnet_jax.training import distributed
from resnet_jax.training.checkpoint import Checkpoint, Checkpoints, newest_sound, open_checkpoint
from resnet_jax.training.distributed import PeerFailed
from resnet_jax.training.evaluate import Stopped
from resnet_jax.training.folder import check_unchanged, forget_unbegun, make_folder, record_config, versions
from resnet_jax.training.init import Start, start_from
from resnet_jax.training.integrity import SaveFailed
from resnet_jax.training.lock import locked
from resnet_jax.training.log import Diverged, Log
from resnet_jax.training.parallel import Parallel
from resnet_jax.training.plan import (
    Plan,
    as_begun,
    check_deterministic,
    check_split,
    data_changes,
    data_facts,
    make_plan,
)
from resnet_jax.training.preemption import Preempted, Signals
from resnet_jax.training.report import Report
from resnet_jax.training.session import Session
from resnet_jax.training.state import TrainState
from resnet_jax.training.steps import step_keys
from resnet_jax.training.writers import TensorBoard, WandB, Writer, check_installed
from resnet_jax.types import Batch

__all__ = ["Diverged", "PeerFailed", "Preempted", "SaveFailed", "SetupError", "train"]


class SetupError(ValueError):
    """The run cannot start as asked; nothing has been trained."""


def train(config: Config) -> dict[str, float]:
    """Trains, or goes on training, the run that `config` describes; returns the means of its last evaluation.

    Several processes call it with the same config, each with its own `distributed`. In the main thread it handles
    SIGTERM and Ctrl-C while it runs.

    Raises:
      SetupError: a value that cannot be, before any work.
      DataError: an image that cannot be read or has a wrong label; at once, or when it is reached.
      Diverged: the loss or a gradient became infinite or nan, and such steps are not to be skipped.
      Preempted: SIGTERM or Ctrl-C; what was done is saved.
      SaveFailed: a checkpoint or a record could not be written.
      PeerFailed: another process could not start, or is lost.
    """
    try:
        check_config(config)
        distributed.start(**asdict(config.distributed))
    except ValueError as error:
        raise SetupError(str(error)) from error
    with Signals() as signals, ExitStack() as held:
        try:
            return _train(config, signals, held)
        except jax.errors.JaxRuntimeError as error:
            if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
                raise
            raise PeerFailed(
                "an operation of all processes has failed, as it does when one of them is lost "
                f"({str(error).partition(chr(10))[0]}); start all again to go on from the last save"
            ) from error


def _train(config: Config, signals: Signals, held: ExitStack) -> dict[str, float]:
    failure: Exception | None = None
    try:
        ready = _get_ready(config, held)
    except DataError as error:
        failure = error
    except (ValueError, TypeError, OSError) as error:
        failure = SetupError(str(error))
        failure.__cause__ = error
    distributed.together(failure)
    plan, parallel, folder, notes, found = ready
    start = distributed.first_says(found.step if found else 0)
    if start and found is None:
        try:
            found = open_checkpoint(folder, start)
        except (ValueError, OSError) as error:
            raise SetupError(str(error)) from error
    begun: Start | None = None
    if start and found is not None:
        plan = as_begun(plan, found.preprocess)
    elif config.init.from_ is not None:
        try:
            plan, begun = _begin(config.init.from_, plan)
        except SetupError:
            if distributed.is_first():
                forget_unbegun(folder)
            raise
        notes.append(begun.said)
    cache_compilations()
    checkpoints = Checkpoints(
        folder / "checkpoints", keep_latest=config.checkpoint.keep_latest, first=distributed.is_first()
    )
    with checkpoints:
        return _Run(Session(plan, parallel), folder, checkpoints, signals, start).go(found, begun, notes)


def _begin(source: str, plan: Plan) -> tuple[Plan, Start]:
    """The weights of `source`, of the step that the first process finds; and the plan that normalises as they do."""
    init, begun, failure = plan.config.init, None, None
    for of_first in (True, False):
        if of_first == distributed.is_first():
            try:
                begun = start_from(source, plan.model, plan.train.classes, head=init.head, step=init.step, ema=init.ema)
                plan = as_begun(plan, begun.preprocess)
                if len(plan.preprocess.mean) != plan.train.image_shape[-1]:
                    said = f"{source} normalises {len(plan.preprocess.mean)} channels; these images have"
                    raise ValueError(f"{said} {plan.train.image_shape[-1]}; set data.mean and data.std")
            except (ValueError, OSError) as error:
                failure = SetupError(f"init.from: {error}")
                failure.__cause__ = error
        distributed.together(failure)
        step = distributed.first_says(-1 if begun is None or begun.step is None else begun.step)
        init = init if step < 0 else replace(init, step=str(step))
    assert begun is not None
    return plan, begun


def _get_ready(config: Config, held: ExitStack) -> tuple[Plan, Parallel, Path, list[str], Checkpoint | None]:
    """All that can be wrong; the folder, which stays locked while `held` is; what there is to tell of it; and, in the
    first process, the checkpoint to go on from.
    """
    plan = make_plan(config)
    check_installed(tensorboard=config.log.tensorboard, wandb=config.log.wandb != "off")
    parallel = Parallel(config.train.parallel)
    check_split(config, len(parallel.devices), parallel.share[1])
    if config.train.deterministic:
        check_deterministic(parallel.devices[0].platform, os.environ.get("XLA_FLAGS", ""))
    folder, notes, found = Path(config.workdir).resolve(), [], None
    if distributed.is_first():
        make_folder(folder)
        left = held.enter_context(locked(folder))
        if left is not None:
            notes.append(f"an earlier start has not ended in order: {left}")
        notes += check_unchanged(folder, config)
        make_folder(folder / "checkpoints")
        found, told = newest_sound(folder / "checkpoints")
        notes += told
        if found and not (folder / "config.json").exists():
            notes += check_unchanged(folder, config, found.meta.get("config"))
    return plan, parallel, folder, notes, found


class _Run:
    """A run that has its folder."""

    def __init__(self, session: Session, folder: Path, checkpoints: Checkpoints, signals: Signals, start: int) -> None:
        self._session, self._plan, self._parallel = session, session.plan, session.parallel
        self._folder, self._checkpoints, self._signals = folder, checkpoints, signals
        self._begun: dict[str, Any] | None = None  # what the run's first weights were
        self._config = session.plan.config
        self._start = self._saved = start
        self._saved_at = time.monotonic()

    def go(self, found: Checkpoint | None, begun: Start | None, notes: list[str]) -> dict[str, float]:
        state, meta = self._session.fresh(None if begun is None else begun.variables), {}
        self._begun = None if begun is None else {"from": self._config.init.from_, "step": begun.step}
        if found is not None:
            state, meta = self._restored(found, state), found.meta
            self._begun = meta.get("begun")
            notes = notes + self._changes(meta)
        if self._start > self._plan.steps:
            said = f"train.epochs={self._config.train.epochs} is {self._plan.steps} steps"
            raise SetupError(f"{said}, and the run in {self._folder} has made {self._start}; wanted: no fewer")
        if distributed.is_first():  # now that it is known to be one that can be gone on with
            record_config(self._folder, self._config, self._start)
        state = self._parallel.replicate(state)
        due = meta.get("evaluation_due", False)
        going_on = self._start < self._plan.steps or due
        with self._report(going_on, due) as report:
            for line in [_headline(self._plan, self._parallel, self._folder, self._start), *notes]:
                report.say(line)
            skipped = _Skipped(self._plan, report)
            if not going_on:
                means = self._session.test(state)
                report.say(f"this run is finished: {_shown(means)}; choose another --workdir for a new one")
                return means
            log = Log(self._session, report, self._checkpoints, self._start, meta.get("log", {}))
            if due:
                self._signals.at_stake = True
                means = self._test(self._start, state, log, report)
            for step, batch in enumerate(self._batches(state, report, log), self._start + 1):
                state, sums = self._session.train_step(step, state, batch)
                log.add(step, sums)
                self._signals.at_stake = True
                if step % self._plan.eval_every_steps == 0 or step == self._plan.steps:
                    means = self._test(step, state, log, report)
                    skipped.say()
                elif self._due(step):
                    self._save(step, state, log)
                if step < self._plan.steps and self._signals.reached():
                    if self._saved < step:
                        self._save(step, state, log)
                    self._checkpoints.wait()
                    raise self._signals.preempted(step)
            self._checkpoints.wait()
            left_out = f"; {log.skipped} updates skipped" if log.skipped else ""
            report.say(f"done: {_shown(means)}{left_out}; {self._folder}")
            return means

    def _restored(self, found: Checkpoint, like: TrainState) -> TrainState:
        if self._config.resume.allow_changes and bool(found.arrays["ema"]) != bool(like.ema):
            # Averages may be left, or begin here.
            begun = {name: found.arrays[name] for name in like.ema}
            found = replace(found, arrays=found.arrays | {"ema": begun})
        try:
            return found.state(like)
        except ValueError as error:
            raise SetupError(str(error)) from error

    def _changes(self, meta: dict[str, Any]) -> list[str]:
        """What is not as it was when the checkpoint was made."""
        told = data_changes(self._plan, meta)
        if told and not self._config.resume.allow_changes:
            raise SetupError(f"{told[0]}; choose another --workdir, or --resume.allow-changes")
        before, now = meta.get("devices", len(self._parallel.devices)), len(self._parallel.devices)
        if before != now:
            local = self._config.model.bn_axis is None
            effect = "batch statistics are those of a device, so numbers change" if local else "with the same numbers"
            told.append(f"the run had {before} device{'s' * (before > 1)} and goes on with {now}: {effect}")
        return told

    def _report(self, going_on: bool, test_due: bool) -> Report:
        first = distributed.is_first()
        try:
            writers = _writers(self._config, self._folder, self._start) if first and going_on else []
            return Report(
                self._folder if first else None,
                start_step=self._start,
                total_steps=self._plan.steps,
                test_due=test_due,
                writers=writers,
            )
        except (ValueError, OSError) as error:
            raise SetupError(str(error)) from error

    def _batches(self, state: TrainState, report: Report, log: Log) -> Iterator[Batch]:
        """On the devices, for every step that is left."""
        host = self._session.batches(self._start)
        if report.draws and self._start < self._plan.steps:
            first = next(host)
            key = step_keys(jax.device_get(state.key), self._start)[0]
            report.image(self._start, "train/images", as_seen(first, self._session.augment, key, self._plan.preprocess))
            host = chain([first], host)
        batches = self._parallel.prefetch(host)
        for _ in range(self._start, self._plan.steps):
            yield log.wait_for(batches)

    def _test(self, step: int, state: TrainState, log: Log, report: Report) -> dict[str, float]:
        """Tests, then saves. A signal on the way saves at once; the test is done when the run goes on."""
        log.flush()
        try:
            means = self._session.test(state, self._signals.reached)
        except Stopped:
            if self._saved < step:
                self._save(step, state, log, evaluation_due=True)
            self._checkpoints.wait()
            raise self._signals.preempted(step) from None
        log.check_test(step, means)
        report.test(step, {"epoch": step / self._plan.steps_per_epoch, **means})
        self._save(step, state, log, top1=means["top1"])
        log.restart_clock()
        return means

    def _due(self, step: int) -> bool:
        every = self._config.checkpoint
        if every.every_steps and step % every.every_steps == 0:
            return True
        if not every.every_minutes or step % self._config.train.log_every_steps:
            return False
        return bool(distributed.first_says(time.monotonic() - self._saved_at >= 60 * every.every_minutes))

    def _save(
        self, step: int, state: TrainState, log: Log, *, top1: float | None = None, evaluation_due: bool = False
    ) -> None:
        partial = log.hold()  # nothing that is not finite is saved
        meta = _meta(self._plan, step) | {
            "devices": len(self._parallel.devices),
            "log": partial,
            "evaluation_due": evaluation_due,
            "begun": self._begun,
        }
        self._checkpoints.save(step, state, meta, top1=top1, replace=self._saved == step)
        self._saved, self._saved_at = step, time.monotonic()


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
    processes = f" in {parallel.share[1]} processes" if parallel.share[1] > 1 else ""
    return f"{data}\n{plan.config.model.name}, {where}{processes}: {plan.steps} steps in {folder}{going_on}"


def _shown(means: dict[str, float]) -> str:
    averaged = f" (averaged weights: {means['ema_top1']:.4f}, {means['ema_loss']:.4f})" if "ema_top1" in means else ""
    return f"test top-1 {means['top1']:.4f}, loss {means['loss']:.4f}{averaged}"


def _meta(plan: Plan, step: int) -> dict[str, Any]:
    return {
        "model": {"name": plan.config.model.name, "overrides": plan.overrides},
        "classes": list(plan.train.classes),
        "preprocess": asdict(plan.preprocess),
        "versions": versions(),
        "config": to_dict(plan.config),
        "data": {"next_step": step} | data_facts(plan),
    }


def cache_compilations() -> None:
    """Keeps compiled programs in the user's cache directory, unless a place is set already."""
    if not jax.config.values["jax_compilation_cache_dir"]:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(root / "resnet_jax" / "jax"))
