"""Several training steps in one call of the compiled program, for nets whose steps are short beside a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.metrics.typed import Metric
from resnet_jax.training.core import TypedStep
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch

SeveralSteps = Callable[[TrainState, Sequence[Batch]], tuple[TrainState, list[dict[str, Metric]]]]


def several_steps(step: TypedStep) -> SeveralSteps:
    """steps(state, batches) -> (state, metrics of each step): `step` for each batch, in order.

    Batches have equal shapes. On a CPU the program has a copy of the step for each batch, because a convolution's
    gradient in a loop is some forty times slower there. Elsewhere it is a loop, and no larger than that of one step.
    """

    def steps(state: TrainState, batches: Sequence[Batch]) -> tuple[TrainState, list[dict[str, Metric]]]:
        if jax.default_backend() == "cpu":
            return _unrolled(step, state, batches)
        stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *batches)
        state, metrics = lax.scan(step, state, stacked)
        return state, [jax.tree.map(lambda x, i=i: x[i], metrics) for i in range(len(batches))]

    return steps


def _unrolled(
    step: TypedStep, state: TrainState, batches: Sequence[Batch]
) -> tuple[TrainState, list[dict[str, Metric]]]:
    metrics = []
    for batch in batches:
        # Operations of two steps must not be fused: they would round differently than in a program of one step.
        state, batch = lax.optimization_barrier((state, batch))
        state, of_step = step(state, batch)
        metrics.append(of_step)
    return state, metrics
