"""A learning rate that falls when the training loss no longer does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from resnet_jax.metrics.typed import Last, Mean, Metric
from resnet_jax.training.core import TypedStep
from resnet_jax.training.epochs import EpochLoss, loss_dtype
from resnet_jax.training.state import TrainState
from resnet_jax.types import Array, Batch


@dataclass(frozen=True)
class PlateauRule:
    """When the rate falls, and by how much, as Keras's ReduceLROnPlateau without a cooldown.

    After `patience` epochs in a row whose mean training loss is not below the lowest one less `min_delta`, the rate of
    the following steps is multiplied by `factor`, to `min_scale` times the schedule's rate at least.
    """

    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    min_scale: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"expected a factor between 0 and 1, got {self.factor}")
        if self.patience < 1:
            raise ValueError(f"expected patience of at least 1 epoch, got {self.patience}")
        if not (self.min_delta >= 0 and 0 <= self.min_scale <= 1):
            raise ValueError(f"expected min_delta >= 0 and min_scale in [0, 1], got {self.min_delta}, {self.min_scale}")


class PlateauState(NamedTuple):
    """State of `scale_by_plateau`, which `reduced_on_plateau` updates."""

    scale: Array  # float []: factor of the schedule's rate
    lowest: Array  # float []: lowest mean loss of an epoch, among those that fell by min_delta
    epochs: Array  # int32 []: epochs since then, or since the last reduction
    loss: EpochLoss


def scale_by_plateau() -> optax.GradientTransformation:
    """Multiplies updates by the scale in its state, 1 at first. It comes last in a chain."""

    def init(params: Any) -> PlateauState:
        dtype = loss_dtype(params)
        first = jnp.ones((), dtype), jnp.full((), jnp.inf, dtype), jnp.zeros((), jnp.int32)
        return PlateauState(*first, EpochLoss.zero(params))

    def update(updates: Any, state: PlateauState, params: Any = None) -> tuple[Any, PlateauState]:
        return jax.tree.map(lambda x: x * state.scale.astype(x.dtype), updates), state

    return optax.GradientTransformation(init, update)


def reduced_on_plateau(
    step: TypedStep, rule: PlateauRule, schedule: Callable[[Array], Any], steps_per_epoch: int
) -> TypedStep:
    """`step`, whose optimiser has `scale_by_plateau`, with the scale updated after each epoch.

    The metrics also have the "learning_rate" of the step: that of `schedule`, scaled.
    """

    def with_plateau(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        new, metrics = step(state, batch)
        loss = metrics["loss"]
        assert isinstance(loss, Mean)
        (scale,) = [node.scale for node in jax.tree.leaves(state.opt_state, is_leaf=_is_plateau) if _is_plateau(node)]
        is_last = new.step % steps_per_epoch == 0

        def updated(node: Any) -> Any:
            return _after(node, loss, is_last, rule) if _is_plateau(node) else node

        opt_state = jax.tree.map(updated, new.opt_state, is_leaf=_is_plateau)
        rate = Last(jnp.asarray(schedule(state.step), scale.dtype) * scale)
        return replace(new, opt_state=opt_state), {**metrics, "learning_rate": rate}

    return with_plateau


def _is_plateau(node: Any) -> bool:
    return isinstance(node, PlateauState)


def _after(state: PlateauState, loss: Mean, is_last: Array, rule: PlateauRule) -> PlateauState:
    """The state after one more step, the last of an epoch or not."""
    sums, mean = state.loss.add(loss, is_last)
    is_lower = mean < state.lowest - rule.min_delta
    epochs = jnp.where(is_lower, 0, state.epochs + 1)
    is_due = epochs >= rule.patience
    reduced = jnp.minimum(state.scale, jnp.maximum(state.scale * rule.factor, rule.min_scale))
    ended = PlateauState(
        jnp.where(is_due, reduced, state.scale),
        jnp.where(is_lower, mean, state.lowest),
        jnp.where(is_due, 0, epochs),
        sums,
    )
    return jax.tree.map(lambda new, old: jnp.where(is_last, new, old), ended, state._replace(loss=sums))
