"""Schedules and optimisers, as Optax compositions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax
from flax.traverse_util import path_aware_map


def warmup_cosine(
    *, peak_lr: float, steps: int, warmup_steps: int = 0, final_lr: float = 0.0, initial_lr: float = 0.0
) -> optax.Schedule:
    """Linear from `initial_lr` to `peak_lr` over `warmup_steps`, then half a cosine to `final_lr` at `steps`.

    Goyal et al. 2017, section 2.2; Loshchilov and Hutter 2017, eq. 5, without restarts.
    """
    schedule = optax.warmup_cosine_decay_schedule(initial_lr, peak_lr, warmup_steps, steps, final_lr)
    # An int32 step would be divided in float32, in float64 runs too.
    return lambda step: schedule(jnp.asarray(step, float))


def step_decay(
    *,
    peak_lr: float,
    boundaries: Sequence[int],
    factor: float = 0.1,
    warmup_steps: int = 0,
    initial_lr: float = 0.0,
    flat: bool = False,
) -> optax.Schedule:
    """Linear warmup from `initial_lr` to `peak_lr`, which is multiplied by `factor` at each of `boundaries` (steps).

    He et al. 2015, section 3.4. With `flat` the warmup stays at `initial_lr`, as for ResNet-110 in section 4.2.
    """
    decay = optax.piecewise_constant_schedule(peak_lr, {boundary: factor for boundary in boundaries})
    if not warmup_steps:
        return decay

    def schedule(step: Any) -> Any:
        grown = 0 if flat else jnp.asarray(step, float) / warmup_steps
        return jnp.where(step < warmup_steps, initial_lr + (peak_lr - initial_lr) * grown, decay(step))

    return schedule


def kernels(params: Any) -> Any:
    """True for the weights of convolutions and dense layers, False for biases and norms."""
    return path_aware_map(lambda path, _: path[-1] == "kernel", params)


def _clip(norm: float | None) -> optax.GradientTransformation:
    return optax.identity() if norm is None else optax.clip_by_global_norm(norm)


def sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decay_all: bool = False,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """v = momentum * v + g + weight_decay * w; w -= learning_rate * v, as PyTorch and Caffe have it.

    Decay is on kernels only, or on every parameter with `decay_all` (as the paper). The clipped norm is of g alone.
    """
    return optax.chain(
        _clip(clip_norm),
        optax.add_decayed_weights(weight_decay, None if decay_all else kernels),
        optax.sgd(learning_rate, momentum, nesterov),
    )


def adamw(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    weight_decay: float = 0.0,
    decay_all: bool = False,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); decay and clipping as in `sgd`."""
    mask = None if decay_all else kernels
    return optax.chain(_clip(clip_norm), optax.adamw(learning_rate, b1, b2, weight_decay=weight_decay, mask=mask))
