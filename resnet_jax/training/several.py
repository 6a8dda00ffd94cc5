"""Several training steps in one call of the compiled program, for nets whose steps are short beside a call."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.metrics.typed import Metric
from resnet_jax.ops.lowering import traced_platform
from resnet_jax.training.core import TypedStep
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch


def several_steps(step: TypedStep) -> TypedStep:
    """steps(state, batches) -> (state, metrics): `step` for each of K batches, in order.

    The arrays of the batches are [N, K, ...], those of the metrics [K]. On a CPU the program has a copy of the step for
    each batch, because a convolution's gradient in a loop is some forty times slower there. Elsewhere it is a loop, and
    no larger than that of one step.
    """

    def steps(state: TrainState, batches: Batch) -> tuple[TrainState, dict[str, Metric]]:
        batches = {name: jnp.moveaxis(x, 1, 0) for name, x in batches.items()}
        if traced_platform() == "cpu":
            return _unrolled(step, state, batches)
        return lax.scan(step, state, batches)

    return steps


def _unrolled(step: TypedStep, state: TrainState, batches: Batch) -> tuple[TrainState, dict[str, Metric]]:
    each = []
    for i in range(len(batches["label"])):
        batch = {name: x[i] for name, x in batches.items()}
        # Operations of two steps must not be fused: they would round differently than in a program of one step.
        state, batch = lax.optimization_barrier((state, batch))
        state, metrics = step(state, batch)
        each.append(metrics)
    return state, jax.tree.map(lambda *values: jnp.stack(values), *each)
