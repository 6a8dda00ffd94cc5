"""Repeats one step of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from resnet_jax.checkpoints.reader import kept_steps
from resnet_jax.files import expanded
from resnet_jax.runs.directory import read_config
from resnet_jax.runs.image_record import read_record
from resnet_jax.runs.opening import restore_run
from resnet_jax.runs.plan import make_plan
from resnet_jax.training import metrics


def replay(run: str | Path, step: int) -> dict[str, Any]:
    """Computes the metrics of `step` (1, 2, ...) again, from the newest checkpoint before it.

    On equally many devices of the same kind they equal the run's bit for bit; "devices" has both numbers. The result
    also has the batch's training examples, by index and by name, and the step of the checkpoint.

    Raises:
      ValueError, OSError: no such run; no valid checkpoint before the step; changed data or config.
    """
    directory = expanded(run)
    restored = restore_run(directory, _checkpoint_before(directory, step), last_step=step)
    checkpoint, trainer = restored.checkpoint, restored.trainer
    parallel = trainer.parallel
    state = parallel.replicate(restored.state)
    batches = parallel.prefetch(trainer.batches(checkpoint.step))
    for number in range(checkpoint.step + 1, step + 1):
        state, sums = trainer.train_step(number, state, next(batches))
    sums = jax.device_get(sums)
    means = metrics.mean([sums]) if sums["count"] else dict.fromkeys(sums.keys() - {"count"})
    return {
        "step": step,
        "checkpoint": checkpoint.step,
        "devices": {"run": checkpoint.metadata.get("devices"), "here": len(parallel.devices)},
        **means,
        "learning_rate": trainer.rate(step),
        "examples": trainer.examples(step),
        "names": trainer.names(step),
    }


def _checkpoint_before(directory: Path, step: int) -> int:
    """The newest kept step before `step`. Raises ValueError with the steps that can be replayed."""
    last = make_plan(read_config(directory), read_record(directory)).steps
    saved = kept_steps(directory / "checkpoints")
    if (before := [one for one in saved if one < step]) and step <= last:
        return before[-1]
    if not 1 <= step <= last:
        raise ValueError(f"step {step} of {directory} cannot be replayed; expected a step from 1 to {last}")
    if not saved or saved[0] >= last:
        hint = "--checkpoint.every-steps and --checkpoint.keep-latest keep more"
        raise ValueError(f"no step of {directory} can be replayed: there is no checkpoint before the last step; {hint}")
    raise ValueError(
        f"step {step} of {directory} cannot be replayed: its checkpoints are those of steps "
        f"{', '.join(map(str, saved))}; expected a step from {saved[0] + 1} to {last}"
    )
