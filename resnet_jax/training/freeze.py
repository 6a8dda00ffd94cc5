"""Frozen parameters: no gradient, no update, and their norms keep their running statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import flax.linen as nn
import jax
from jax import lax

from resnet_jax.metrics.typed import Metric
from resnet_jax.models.layers import BatchNorm
from resnet_jax.training.core import TypedStep
from resnet_jax.training.optim import PathPredicate, by_path
from resnet_jax.training.state import TrainState
from resnet_jax.types import Array, Batch

R = TypeVar("R")


def stop_gradients(
    run: Callable[[Any, Any, Batch, dict[str, Array]], R], is_frozen: PathPredicate
) -> Callable[[Any, Any, Batch, dict[str, Array]], R]:
    """`run`, totals or a net's training pass, without a gradient by the frozen parameters.

    Norms all of whose parameters are frozen use and keep their running statistics.
    """

    def stopped(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> R:
        params = _select(is_frozen, lax.stop_gradient(params), params)
        with nn.intercept_methods(keep_statistics(is_frozen)):
            return run(params, batch_stats, batch, rngs)

    return stopped


def keep_frozen(step: TypedStep, is_frozen: PathPredicate) -> TypedStep:
    """`step`, whose state keeps the frozen parameters, and their averages, whatever the optimiser makes of them."""

    def frozen_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        new, metrics = step(state, batch)
        ema = new.ema and new.ema | {"params": _select(is_frozen, state.ema["params"], new.ema["params"])}
        return replace(new, params=_select(is_frozen, state.params, new.params), ema=ema), metrics

    return frozen_step


def keep_statistics(is_frozen: PathPredicate) -> Callable[..., Any]:
    """An interceptor of `flax.linen`: norms all of whose parameters are frozen use and keep their statistics."""

    def call(run: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        norm, is_call = context.module, context.method_name == "__call__"
        if is_call and isinstance(norm, BatchNorm):
            if all(is_frozen("/".join((*norm.path, name))) for name in ("scale", "bias")):
                kwargs = kwargs | {"use_batch_statistics": False}
        return run(*args, **kwargs)

    return call


def _select(is_frozen: PathPredicate, frozen: Any, others: Any) -> Any:
    """A tree with the frozen paths of the one, and the other paths of the other."""
    return jax.tree.map(lambda choose, x, y: x if choose else y, by_path(is_frozen, frozen), frozen, others)
