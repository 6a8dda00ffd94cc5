"""The training step of any objective, composed of the functions that `training.core` lists; its metrics are typed."""

from __future__ import annotations

from types import NoneType
from typing import Any

import flax.linen as nn
import numpy as np
import optax

from resnet_jax.errors import check_type, described
from resnet_jax.models.options import check_integer
from resnet_jax.training.constraint import Constraint, constrained
from resnet_jax.training.core import (
    Augment,
    Gradient,
    TypedStep,
    core_step,
    differentiate,
    forward_totals,
    mean_gradient,
    mean_gradient_in_one_pass,
    step_keys,
)
from resnet_jax.training.ema import averaged
from resnet_jax.training.freeze import keep_frozen, stop_gradients
from resnet_jax.training.gradient_cache import cached
from resnet_jax.training.gradient_flow import with_activations, with_norms
from resnet_jax.training.microbatch import accumulated
from resnet_jax.training.nonfinite import skip_nonfinite as skipping_nonfinite
from resnet_jax.training.objective import Objective
from resnet_jax.training.optim import PathPredicate
from resnet_jax.training.state import check_model, check_optimizer

__all__ = ["check_callable", "make_step", "not_none", "step_keys"]


def make_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    objective: Objective,
    *,
    axis_name: str | None = "data",
    augment: Augment | None = None,
    accumulate: int = 1,
    ema_decay: float | None = None,
    skip_nonfinite: bool = False,
    frozen: PathPredicate | None = None,
    gradient_flow: bool = False,
    compares_examples: bool = False,
    constraint: Constraint | None = None,
) -> TypedStep:
    """step(state, batch) -> (state, typed metrics): "loss", "count", "grad_norm", "param_norm", the objective's, and
    those that modules sow into the collection "metrics".

    `objective` is a task's: (outputs, batch, axis_name) -> (terms, metrics); see `tasks.Task.objective`. The step
    minimises the sum of the terms' weighted means and of the mean of the losses that modules sow into "losses"; the
    metric "loss" is without the latter. With `accumulate` each weight of terms costs a backward pass. Other arguments
    and errors are as for `resnet_jax.make_train_step`. When the step is traced, ValueError: no terms and no sown loss,
    a metric with a reserved name (`training.objective.check_names`), or `gradient_flow` with terms of several weights.

    Args:
      compares_examples: the objective compares the examples of a batch, so that microbatches must not be separate
        (`training.gradient_cache`).
      constraint: applied to the updated parameters.
    """
    check_model(model)
    check_optimizer(tx)
    check_callable(objective=objective, **not_none(augment=augment, frozen=frozen, constraint=constraint))
    accumulate = check_integer("accumulate", accumulate, 1)
    check_type(ema_decay, (int, float, np.number, NoneType), "ema_decay (a number in [0, 1], or None)")
    if ema_decay is not None and not 0 <= ema_decay <= 1:
        raise ValueError(f"expected ema_decay in [0, 1], got {ema_decay}")
    _check_axis(model, axis_name)
    totals = forward_totals(model, objective, axis_name)
    if frozen is not None:
        totals = stop_gradients(totals, frozen)
    if compares_examples and accumulate > 1:
        if gradient_flow:
            raise ValueError("gradient_flow: expected accumulate=1 for an objective that compares examples")
        mean = mean_gradient(cached(model, objective, accumulate, axis_name, frozen), axis_name)
    elif gradient_flow or accumulate > 1:
        gradient: Gradient = with_activations(totals) if gradient_flow else differentiate(totals)
        mean = mean_gradient(accumulated(gradient, accumulate), axis_name)
    else:
        mean = mean_gradient_in_one_pass(totals, axis_name)
    step = core_step(with_norms(mean) if gradient_flow else mean, tx, axis_name=axis_name, augment=augment)
    if constraint is not None:
        step = constrained(step, constraint)
    if ema_decay is not None:
        step = averaged(step, ema_decay)
    if frozen is not None:
        step = keep_frozen(step, frozen)
    return skipping_nonfinite(step) if skip_nonfinite else step


def not_none(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def check_callable(**functions: Any) -> None:
    """Raises TypeError for values that are not callable, with their names."""
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"expected {name} (a function), got {described(function)}")


def _check_axis(model: nn.Module, axis_name: str | None) -> None:
    bn_axis = getattr(model, "bn_axis", None)
    if bn_axis is not None and bn_axis != axis_name:
        raise ValueError(f"expected a net with bn_axis {axis_name!r} (the step's axis_name), got {bn_axis!r}")
