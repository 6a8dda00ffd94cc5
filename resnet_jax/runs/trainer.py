"""Trains the run of a Config, or resumes it. Only `runs`, `experiments` and `cli` see Config."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import Checkpoint, open_checkpoint
from resnet_jax.checkpoints.recovery import recover
from resnet_jax.config import Config, check_config
from resnet_jax.distributed import processes
from resnet_jax.distributed.devices import Parallel
from resnet_jax.distributed.signals import Signals
from resnet_jax.errors import (
    DataError,
    Diverged,
    OutOfMemory,
    PeerFailed,
    Preempted,
    SaveFailed,
    SetupError,
    public_address,
)
from resnet_jax.extras import check_installed
from resnet_jax.files import expanded
from resnet_jax.formats import is_image_folder
from resnet_jax.runs.files.config_file import adopt_holdout, check_unchanged
from resnet_jax.runs.files.directory import has_results, make_directory, remove_empty_run
from resnet_jax.runs.files.image_record import read_record
from resnet_jax.runs.files.lock import clear_lock, locked
from resnet_jax.runs.loop.compilation import cache_compilations
from resnet_jax.runs.loop.loop import TrainingLoop
from resnet_jax.runs.loop.memory import is_out_of_memory, out_of_memory
from resnet_jax.runs.planning.checks import check_deterministic, check_split, check_values_per_channel
from resnet_jax.runs.planning.messages import less_memory
from resnet_jax.runs.planning.plan import RunPlan, adopt_preprocess, make_plan, with_task, with_tokens
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.starting.opening import continue_plan
from resnet_jax.runs.starting.pair_weights import tokens_of
from resnet_jax.runs.starting.warm_start import (
    WarmStart,
    check_source,
    note_default_rate,
    note_trained_images,
    warm_start,
)
from resnet_jax.tasks import Task
from resnet_jax.types import Preprocess

__all__ = ["Diverged", "OutOfMemory", "PeerFailed", "Preempted", "SaveFailed", "SetupError", "train"]


def train(config: Config, task: Task | None = None) -> dict[str, float]:
    """Trains or resumes the run that `config` describes; returns the results of its last test.

    `task` replaces the task that the config names. The run's config has the name and options of a task of this package.

    Several processes call it with the same config but for `distributed`. In the main thread SIGTERM, SIGHUP and Ctrl-C
    save and stop the run, and SIGUSR1 and SIGUSR2 save it.

    A state is saved before it is tested. If there is one process, an error of the data or the device saves the last
    step before it is raised.

    Raises:
      SetupError: a mistake in the config; nothing was trained.
      DataError: an image that cannot be read, or a label out of range; at the start or when the image is reached.
      Diverged: the loss or a gradient became infinite or NaN, and `train.nonfinite` is "stop".
      Preempted: SIGTERM, SIGHUP or Ctrl-C; completed steps are saved.
      SaveFailed: a checkpoint or a record could not be written.
      OutOfMemory: a device has too little memory for a batch.
      PeerFailed: another process could not start, or is lost.
    """
    config = with_task(config, task)
    try:
        check_config(config)
        processes.start(**asdict(config.distributed))
    except ValueError as error:
        raise SetupError(str(error)) from error
    with Signals() as signals, ExitStack() as stack:
        try:
            return _train(config, task, signals, stack)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise out_of_memory(error, "before the first step", less_memory(config)) from error
            if jax.process_count() == 1:
                raise
            raise PeerFailed(
                "a collective operation failed, as it does when a process is lost "
                f"({str(error).partition(chr(10))[0]}); start all processes again to resume from the last save"
            ) from error


class _Opened(NamedTuple):
    """A run whose config is checked and whose directory is locked."""

    plan: RunPlan
    parallel: Parallel
    directory: Path
    notes: list[str]
    checkpoint: Checkpoint | None  # to resume from; None in all processes but the first


def _train(config: Config, task: Task | None, signals: Signals, stack: ExitStack) -> dict[str, float]:
    with _all_or_none():
        plan, parallel, directory, notes, checkpoint = _open(config, task, signals, stack)
    start = processes.broadcast_int(checkpoint.step if checkpoint else 0)
    begin: WarmStart | None = None
    changes: list[str] = []
    try:
        if not start and config.init.from_ is not None:
            plan, begin = _warm_start(config.init.from_, plan)
        with _all_or_none():
            if start:
                checkpoint = checkpoint or open_checkpoint(directory, start)
                plan, changes, data_notes = continue_plan(plan, checkpoint)
                if changes and not config.resume.allow_changes:
                    raise SetupError(f"{changes[0]}; choose another --workdir, or --resume.allow-changes")
                notes += [*changes, *data_notes]
            elif begin is not None:
                notes += [
                    begin.message,
                    *begin.notes,
                    *note_trained_images(begin, plan),
                    *note_default_rate(config.optim),
                ]
            notes += [note for note in plan.notes if note not in notes]  # another vocabulary may have others
            trainer = Trainer(plan, parallel)
    except (DataError, SetupError, PeerFailed):
        if processes.is_first():
            remove_empty_run(directory)
        raise
    cache_compilations()
    checkpoints = Checkpoints(
        directory / "checkpoints",
        keep_latest=config.checkpoint.keep_latest,
        best=plan.best,
        first=processes.is_first(),
    )
    with checkpoints:
        loop = TrainingLoop(trainer, directory, checkpoints, signals, start)
        with _all_or_none():
            loop.start(checkpoint, begin, notes, is_data_changed=bool(changes))
        return loop.run()


@contextmanager
def _all_or_none() -> Iterator[None]:
    """Collective: an error that one process raises inside ends this context with an error in every process.

    Raises:
      DataError, SetupError: the work of this process failed.
      PeerFailed: that of another process failed.
    """
    failure: Exception | None = None
    try:
        yield
    except (DataError, SetupError) as error:
        failure = error
    except (ValueError, TypeError, OSError) as error:
        failure = SetupError(str(error))
        failure.__cause__ = error
    processes.fail_together(failure)


def _warm_start(source: str, plan: RunPlan) -> tuple[RunPlan, WarmStart]:
    """The plan with the normalisation and words of `source`, and its weights, of the step that the first process finds.

    A head that is kept brings the normalisation of its targets, too.
    """
    init, begin, failure = plan.config.init, None, None
    for is_turn_of_first in (True, False):
        if is_turn_of_first == processes.is_first():
            try:
                if plan.task.label_kind == "caption":
                    plan = with_tokens(plan, tokens_of(source, init.step))
                begin = warm_start(
                    source,
                    plan.model,
                    plan.train.classes,
                    head=init.head,
                    step=init.step,
                    ema=init.ema,
                    task=plan.task,
                    preprocess=plan.preprocess,
                )
                plan = adopt_preprocess(replace(plan, task=begin.task or plan.task), begin.preprocess)
                how = plan.preprocess
                if isinstance(how, Preprocess) and (channels := len(how.mean)) != plan.train.image_shape[-1]:
                    problem = f"{public_address(source)} normalises {channels} channels, and these images have"
                    raise ValueError(f"{problem} {plan.train.image_shape[-1]}; set --data.mean and --data.std")
            except (ValueError, OSError) as error:
                failure = SetupError(f"--init.from: {error}")
                failure.__cause__ = error
        processes.fail_together(failure)
        step = processes.broadcast_int(-1 if begin is None or begin.step is None else begin.step)
        init = init if step < 0 else replace(init, step=str(step))
    assert begin is not None
    return plan, begin


def _open(config: Config, task: Task | None, signals: Signals, stack: ExitStack) -> _Opened:
    """Checks everything that can be checked, then locks the directory while `stack` is open and recovers the run."""
    directory, checkpoint = expanded(config.workdir).resolve(), None
    _check_outside_images(directory, config.data.path)
    if config.init.from_ is not None and not has_results(directory):
        try:
            check_source(config.init.from_)
        except FileNotFoundError as error:
            raise ValueError(f"--init.from: {error}") from None
    holdout = config.data.holdout
    config = adopt_holdout(directory, config)
    plan = make_plan(config, read_record(directory) if has_results(directory) else None, task)
    notes = list(plan.notes)
    if config.data.holdout != holdout:
        notes.append(f"--data.holdout {config.data.holdout}: images are read and held out as when this run began")
    if config.log.tensorboard:
        check_installed("tensorboardX")
    if config.log.wandb != "off":
        check_installed("wandb")
    if config.data.image_size is not None:  # the streaming loader
        check_installed("grain")
    parallel = Parallel(config.train.parallel)
    check_split(config, len(parallel.devices), parallel.share[1])
    check_values_per_channel(config, plan.model, plan.train.image_shape, len(parallel.devices), plan.nouns[0])
    if config.train.deterministic:
        check_deterministic(parallel.devices[0].platform, os.environ.get("XLA_FLAGS", ""))
    if processes.is_first():
        make_directory(directory)
        previous = stack.enter_context(locked(directory))
        signals.before_exit = partial(clear_lock, directory)
        if previous is not None:
            notes.append(f"an earlier start ended unexpectedly: {previous}")
        notes += check_unchanged(directory, config)
        make_directory(directory / "checkpoints")
        checkpoint, messages = recover(directory / "checkpoints")
        notes += messages
        if checkpoint and not (directory / "config.json").exists():
            notes += check_unchanged(directory, config, checkpoint.metadata.get("config"))
    return _Opened(plan, parallel, directory, notes, checkpoint)


def _check_outside_images(directory: Path, data_path: str | None) -> None:
    """Raises ValueError for a new run in a directory of images: its files would be taken for data."""
    if not data_path or has_results(directory):  # the files of an existing run have done no harm
        return
    images = expanded(data_path).resolve()
    if (directory == images or images in directory.parents) and is_image_folder(images):
        expected = f"a directory outside, as --workdir {shlex.quote(str(images.parent / 'runs' / images.name))}"
        raise ValueError(f"--workdir {directory} is inside --data.path {images}; expected {expected}")
