"""One step of a run again."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import jax

from resnet_jax.checkpoints.manager import kept_steps, open_checkpoint
from resnet_jax.distributed.devices import Parallel
from resnet_jax.files import expanded
from resnet_jax.runs.build import Session
from resnet_jax.runs.directory import config_of_steps, read_config
from resnet_jax.runs.image_record import read_record
from resnet_jax.runs.plan import adopt_preprocess, check_split, data_changes, make_plan, with_recorded_classes
from resnet_jax.training import metrics


def replay(folder: str | Path, step: int) -> dict[str, Any]:
    """The metrics of `step` (1, 2, ...) alone, computed again from the newest kept checkpoint before it.

    On devices of the same kind and number they are the run's own, to the bit; "devices" tells both numbers. The batch's
    training examples are there too, by their index and "names"; and the number of the checkpoint.

    Raises:
      ValueError, OSError: no such run; no checkpoint before the step, or a damaged one; other data or another config.
    """
    folder = expanded(folder)
    record = read_record(folder)
    steps = make_plan(read_config(folder), record).steps
    kept = kept_steps(folder / "checkpoints")
    before = [saved for saved in kept if saved < step]
    if not before or step > steps:
        if not 1 <= step <= steps:
            raise ValueError(f"step {step} of {folder} cannot be replayed: its steps are 1 to {steps}")
        if not kept or kept[0] >= steps:
            hint = "--checkpoint.every-steps and --checkpoint.keep-latest keep more"
            raise ValueError(f"no step of {folder} can be replayed: no checkpoint to begin from; {hint}")
        raise ValueError(
            f"step {step} of {folder} cannot be replayed: its checkpoints are those of steps "
            f"{', '.join(map(str, kept))}; wanted: a step from {kept[0] + 1} to {steps}"
        )
    saved = open_checkpoint(folder, before[-1])
    plan = make_plan(config_of_steps(folder, saved.step + 1, step), record)
    plan = with_recorded_classes(adopt_preprocess(plan, saved.preprocess), saved.meta)
    changes, notes = data_changes(plan, saved.meta, record, exact=True)
    if changes:
        raise ValueError(changes[0])
    for note in notes:
        warnings.warn(note, stacklevel=2)
    parallel = Parallel(plan.config.train.parallel)
    check_split(plan.config, len(parallel.devices))
    session = Session(plan, parallel)
    state = parallel.replicate(saved.state(session.fresh()))
    batches = parallel.prefetch(session.batches(saved.step))
    for made in range(saved.step + 1, step + 1):
        state, sums = session.train_step(made, state, next(batches))
    sums = jax.device_get(sums)
    means = metrics.mean([sums]) if sums["count"] else dict.fromkeys(sums.keys() - {"count"})
    return {
        "step": step,
        "checkpoint": saved.step,
        "devices": {"run": saved.meta.get("devices"), "here": len(parallel.devices)},
        **means,
        "learning_rate": session.rate(step),
        "examples": session.examples(step),
        "names": session.names(step),
    }
