"""Opens a saved run: its checkpoint, config and record of images, and its plan as the checkpoint continues it.

`open_run` is the one way into a saved run: `eval` and `predict` take its net and its images, `replay` and `recalibrate`
restore it on devices. `train` recovers the checkpoint of its own run, and continues its plan as they do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from resnet_jax.checkpoints.reader import Checkpoint, open_checkpoint
from resnet_jax.config import Config
from resnet_jax.data.loading.samplers import epoch_steps
from resnet_jax.distributed.devices import Parallel
from resnet_jax.runs.files.config_file import config_of_steps, other_config, read_config
from resnet_jax.runs.files.directory import find_run_directory
from resnet_jax.runs.files.image_record import NO_RECORD, ImageRecord, read_record
from resnet_jax.runs.planning.checks import check_split, count_steps
from resnet_jax.runs.planning.data_changes import data_changes, record_of, with_recorded_classes
from resnet_jax.runs.planning.numerics import numerics_note
from resnet_jax.runs.planning.plan import RunPlan, adopt_preprocess, make_plan, with_tokens
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.tasks import Task, check_task, get_task, task_of_checkpoint
from resnet_jax.training.lowest import LowestState
from resnet_jax.training.state import TrainState


@dataclass(frozen=True)
class SavedRun:
    """A run directory and one of its checkpoints, verified. What else it has is read when it is asked for."""

    directory: Path
    checkpoint: Checkpoint
    own_task: Task | None = None  # that of a run of a task of your own

    @cached_property
    def task(self) -> Task:
        """Restored from the checkpoint. Raises ValueError for another task than `own_task`, or one not in `TASKS`."""
        return task_of_checkpoint(self.checkpoint.metadata, self.own_task)

    @cached_property
    def config(self) -> Config:
        """Raises FileNotFoundError or ValueError if config.json is missing or invalid."""
        return read_config(self.directory)

    @cached_property
    def record(self) -> ImageRecord | None:
        """The run's images; None if they are not known. Raises ValueError if the record is corrupted."""
        return record_of(self.directory, self.checkpoint.metadata, self.own_task)

    @property
    def step(self) -> int:
        """The number of the checkpoint."""
        return self.checkpoint.step

    @property
    def steps(self) -> int:
        """The length of the run, from its config and the recorded number of its training images; opens no data."""
        images = self.checkpoint.metadata.get("data", {}).get("images")
        if images is None:
            raise ValueError(f"expected a checkpoint of a run, got {self.checkpoint.path} without a number of images")
        data = self.config.data
        return count_steps(
            self.config, epoch_steps(images["train"], data.batch_size, keeps_last=data.last_batch == "keep")
        )


def open_run(path: str | Path, step: str | int = "latest", *, task: Task | None = None) -> SavedRun:
    """Opens a run with its latest, best or numbered checkpoint; takes and raises what `open_checkpoint` does.

    `task` is that of a run of a task of your own.
    """
    return SavedRun(find_run_directory(path), open_checkpoint(path, step), task)


def continue_plan(
    plan: RunPlan, checkpoint: Checkpoint, *, exact: bool = False
) -> tuple[RunPlan, list[str], list[str]]:
    """The plan with the normalisation, classes and task of `checkpoint`; changes of the data; and notes on it.

    Args:
      exact: completed steps are to be repeated; see `data_changes`.

    Raises:
      ValueError: the checkpoint is of another task.
    """
    check_task(plan.task, checkpoint.metadata)
    plan = with_tokens(plan, checkpoint.metadata["classes"])
    plan = with_recorded_classes(adopt_preprocess(plan, checkpoint.preprocess), checkpoint.metadata)
    if len(plan.train.classes) == len(checkpoint.metadata["classes"]):  # else the record is of other classes
        plan = replace(plan, task=plan.task.restored(checkpoint.metadata.get("task_record", {})))
    return plan, *data_changes(plan, checkpoint.metadata, plan.record, exact=exact)


@dataclass(frozen=True)
class RestoredRun:
    """A saved run on its devices, as before its next step."""

    trainer: Trainer
    state: TrainState  # NumPy arrays


def restore_run(saved: SavedRun, last_step: int | None = None) -> RestoredRun:
    """Restores a run at its checkpoint, with the config of its steps up to `last_step`, if that is not None.

    Raises:
      ValueError, OSError: changed data, another config since, another task, or unfit devices.
    """
    directory, checkpoint = saved.directory, saved.checkpoint
    steps = (checkpoint.step, checkpoint.step) if last_step is None else (checkpoint.step + 1, last_step)
    config = config_of_steps(directory, *steps)
    # Before the data is opened.
    check_task(get_task(config.task) if saved.own_task is None else saved.own_task, checkpoint.metadata)
    plan = make_plan(config, read_record(directory), saved.own_task)
    plan, changes, notes = continue_plan(plan, checkpoint, exact=last_step is not None)
    if changes:
        raise ValueError(changes[0])
    for note in notes:
        warnings.warn(note, stacklevel=3)
    parallel = Parallel(plan.config.train.parallel)
    check_split(plan.config, len(parallel.devices))
    trainer = Trainer(plan, parallel)
    return RestoredRun(trainer, checkpoint.state(trainer.fresh()))


def restore_state(checkpoint: Checkpoint, like: TrainState, config: Config) -> TrainState:
    """The checkpoint's state in the structure of `like`, a state of the run with `config`.

    With `resume.allow_changes` averaged weights and those of the lowest training loss may end or start here.

    Raises:
      ValueError: the arrays differ from those of `like`; it names the fields in which the configs differ.
    """
    if config.resume.allow_changes and bool(checkpoint.arrays["ema"]) != bool(like.ema):
        averages = {name: checkpoint.arrays[name] for name in like.ema}
        checkpoint = replace(checkpoint, arrays=checkpoint.arrays | {"ema": averages})
    if config.resume.allow_changes:
        checkpoint = replace(checkpoint, arrays=_with_or_without_lowest(checkpoint.arrays, like))
    try:
        return checkpoint.state(like)
    except ValueError as error:
        directory = find_run_directory(checkpoint.path)
        if (other := other_config(directory, config, checkpoint.metadata.get("config"))) is None:
            raise
        raise ValueError(f"{other}; {error}") from None


def _with_or_without_lowest(arrays: dict[str, Any], like: TrainState) -> dict[str, Any]:
    """Arrays of a checkpoint for `like`: it may keep the weights of the lowest loss from here on, or no longer."""
    if ("lowest" in arrays) == isinstance(like, LowestState):
        return arrays
    if not isinstance(like, LowestState):
        return {name: x for name, x in arrays.items() if name != "lowest"}
    latest = {name: arrays[name] for name in ("params", "batch_stats")}
    return arrays | {"lowest": {**jax.device_get(like.lowest), **latest}}


def resume_notes(metadata: Mapping[str, Any], devices: int, *, is_local: bool) -> list[str]:
    """Notes on what differs from when the checkpoint was saved, apart from the data.

    Args:
      is_local: whether each device computes batch statistics of its own.
    """
    notes = [NO_RECORD] if "digests" not in metadata.get("data", {}) else []
    notes += numerics_note(metadata)
    before = metadata.get("devices", devices)
    if before != devices:
        effect = "batch statistics are per device, so numbers change" if is_local else "numbers stay the same"
        notes.append(f"the run had {before} device{'s' * (before > 1)} and resumes with {devices}: {effect}")
    return notes
