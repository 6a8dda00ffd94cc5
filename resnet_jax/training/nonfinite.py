"""Steps whose loss or gradient is not finite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from resnet_jax.metrics.typed import Last, Mean, Metric, Sum
from resnet_jax.training.core import TypedStep
from resnet_jax.training.state import TrainState
from resnet_jax.types import Array, Batch


def skip_nonfinite(step: TypedStep) -> TypedStep:
    """`step`, which changes nothing but the step counts if its loss or gradient is not finite.

    A skipped step adds nothing to means and sums, and 1 to "skipped". Values of `Last` stay as they are.
    """

    def guarded(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        new, metrics = step(state, batch)
        loss, norm = metrics["loss"], metrics["grad_norm"]
        assert isinstance(loss, Mean) and isinstance(norm, Mean)
        is_finite = jnp.isfinite(loss.total) & jnp.isfinite(norm.total)
        metrics = {name: _metric_if(is_finite, metric) for name, metric in metrics.items()}
        return _new_if(is_finite, new, state), {**metrics, "skipped": Sum((~is_finite).astype(loss.count.dtype))}

    return guarded


def _metric_if(is_finite: Array, metric: Metric) -> Metric:
    """`metric`, or a mean of no examples, or a sum of 0."""
    return metric if isinstance(metric, Last) else jax.tree.map(lambda x: jnp.where(is_finite, x, 0), metric)


def _new_if(is_finite: Array, new: TrainState, old: TrainState) -> TrainState:
    """`new`, or `old` with the counts of `new` that say where in the run it is: its step, and the schedule's."""

    def is_count(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    def choose(new: Any, old: Any) -> Any:
        return new if is_count(new) else jnp.where(is_finite, new, old)

    return replace(jax.tree.map(choose, new, old, is_leaf=is_count), step=new.step)
