"""Exponential moving averages of parameters and statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from resnet_jax.metrics.typed import Metric
from resnet_jax.training.core import TypedStep
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch


def averaged(step: TypedStep, decay: float) -> TypedStep:
    """`step`, which also averages parameters and statistics into `state.ema`."""

    def with_averages(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        new, metrics = step(state, batch)
        return replace(new, ema=_average(state, new, decay)), metrics

    return with_averages


def _average(old: TrainState, new: TrainState, decay: float) -> Any:
    """ema += (1 - d) * (new - ema), d = min(decay, (1 + step) / (10 + step)), as TensorFlow's
    ExponentialMovingAverage with num_updates.
    """
    step = jnp.asarray(old.step, float)
    d = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(
        lambda ema, x: ema + (1 - d).astype(ema.dtype) * (x - ema), old.averaged.variables, new.variables
    )
