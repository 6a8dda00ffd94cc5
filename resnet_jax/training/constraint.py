"""Parameters that stay in a range, such as the logit scale of a contrastive net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from resnet_jax.metrics.typed import Metric
from resnet_jax.training.core import TypedStep
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch

Constraint = Callable[[Any], Any]  # parameters -> the nearest parameters that are allowed


def constrained(step: TypedStep, constraint: Constraint) -> TypedStep:
    """`step`, which applies `constraint` to the updated parameters."""

    def with_constraint(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        new, metrics = step(state, batch)
        return replace(new, params=constraint(new.params)), metrics

    return with_constraint
