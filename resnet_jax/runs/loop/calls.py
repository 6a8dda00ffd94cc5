"""Batches of one call of the compiled training steps: `train.steps_per_call`, or one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from resnet_jax.runs.planning.plan import RunPlan
from resnet_jax.types import Batch


def call_length(completed: int, plan: RunPlan) -> int:
    """Number of steps in the call after `completed` steps.

    It is 1 where a test, a save of `checkpoint.every_steps`, another phase or the end of the run is closer than
    `train.steps_per_call`, so that there are two programs and not one for each remainder.
    """
    steps = plan.config.train.steps_per_call
    ends = [plan.steps, *(phase.first_step - 1 for phase in plan.phases)]
    intervals = [plan.eval_every_steps, plan.config.checkpoint.every_steps]
    distances = [end - completed for end in ends if end > completed]
    distances += [interval - completed % interval for interval in intervals if interval]
    return steps if steps <= min(distances) else 1


def calls(batches: Iterator[Batch], completed: int, plan: RunPlan) -> Iterator[tuple[int, Batch]]:
    """The number of steps in each remaining call of a run, and its batch, on the host.

    The arrays of a call of K > 1 steps are [N, K, ...]. Batches of unequal shapes have calls of their own.
    """
    while completed < plan.steps:
        group = list(islice(batches, call_length(completed, plan)))
        if not group:  # the batches have ended
            return
        completed += len(group)
        if len(group) > 1 and len({_shapes(batch) for batch in group}) == 1:
            yield len(group), {name: np.stack([batch[name] for batch in group], axis=1) for name in group[0]}
        else:
            yield from ((1, batch) for batch in group)


def _shapes(batch: Batch) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape) for name, array in batch.items())
