"""Repeats one step of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_jax.checkpoints.reader import saved_steps
from resnet_jax.files import expanded
from resnet_jax.runs.files.config_file import read_config
from resnet_jax.runs.starting.opening import open_run, restore_run
from resnet_jax.tasks import Task
from resnet_jax.training.metrics import reported


def replay(run: str | Path, step: int, *, task: Task | None = None) -> dict[str, Any]:
    """Computes the metrics of `step` (1, 2, ...) again, from the newest checkpoint before it.

    On equally many devices of the same kind they equal the run's bit for bit; "devices" has both numbers. The result
    also has the batch's training examples, by index and by name, and the step of the checkpoint. `task` is that of a
    run of a task of your own.

    Raises:
      ValueError, OSError: no such run; no valid checkpoint before the step; changed data or config; another task.
    """
    directory = expanded(run)
    read_config(directory)  # raises an error that names the nearest run
    checkpoints = saved_steps(directory / "checkpoints")
    if not checkpoints:
        raise ValueError(f"no step of {directory} can be replayed: it has no checkpoint")
    saved = open_run(directory, max((one for one in checkpoints if one < step), default=checkpoints[0]), task=task)
    if not checkpoints[0] < step <= saved.steps:
        raise _not_replayable(directory, step, checkpoints, saved.steps)
    restored, checkpoint = restore_run(saved, last_step=step), saved.checkpoint
    trainer = restored.trainer
    parallel = trainer.parallel
    state = parallel.replicate(restored.state)
    batches = parallel.prefetch(trainer.batches(checkpoint.step))
    for number in range(checkpoint.step + 1, step + 1):
        state, metrics = trainer.train_step(number, state, next(batches))
    values = reported(metrics)
    rate = values.pop("learning_rate", None)
    return {
        "step": step,
        "checkpoint": checkpoint.step,
        "devices": {"run": checkpoint.metadata.get("devices"), "here": len(parallel.devices)},
        **values,
        "learning_rate": trainer.rate(step) if rate is None else rate,
        "examples": trainer.examples(step),
        "names": trainer.names(step),
    }


def _not_replayable(directory: Path, step: int, checkpoints: Sequence[int], last: int) -> ValueError:
    """The error for a step without a checkpoint before it, or after the last step; with steps that can be replayed."""
    if not 1 <= step <= last:
        return ValueError(f"step {step} of {directory} cannot be replayed; expected a step from 1 to {last}")
    if checkpoints[0] >= last:
        hint = "--checkpoint.every-steps and --checkpoint.keep-latest keep more"
        return ValueError(
            f"no step of {directory} can be replayed: there is no checkpoint before the last step; {hint}"
        )
    return ValueError(
        f"step {step} of {directory} cannot be replayed: its checkpoints are those of steps "
        f"{', '.join(map(str, checkpoints))}; expected a step from {checkpoints[0] + 1} to {last}"
    )
