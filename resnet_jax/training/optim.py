"""Schedules and optimisers, as Optax compositions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.models.sorting import sort_components

PathPredicate = Callable[[str], bool]  # of a parameter's path: "stage1_block0/branch/conv1/kernel"


def warmup_cosine(
    *, peak_lr: float, steps: int, warmup_steps: int = 0, final_lr: float = 0.0, initial_lr: float = 0.0
) -> optax.Schedule:
    """Linear from `initial_lr` to `peak_lr` over `warmup_steps`, then half a cosine to `final_lr` at `steps`.

    Goyal et al. 2017, section 2.2; Loshchilov and Hutter 2017, eq. 5, without restarts.
    """
    schedule = optax.warmup_cosine_decay_schedule(initial_lr, peak_lr, warmup_steps, steps, final_lr)
    # An int32 step would be divided in float32, in float64 runs too.
    return lambda step: schedule(jnp.asarray(step, float))


def warmup_polynomial(
    *, peak_lr: float, steps: int, power: float = 0.9, warmup_steps: int = 0, initial_lr: float = 0.0
) -> optax.Schedule:
    """Linear from `initial_lr` to `peak_lr` over `warmup_steps`, then peak_lr * (1 - s)^power; s is 1 at `steps`.

    "Poly" of Chen et al. 2017, "Rethinking Atrous Convolution", section 4.1.
    """

    def schedule(step: Any) -> Any:
        place = jnp.asarray(step, float)
        rest = jnp.clip((steps - place) / (steps - warmup_steps), 0, 1)
        grown = place / max(warmup_steps, 1)
        return jnp.where(place < warmup_steps, initial_lr + (peak_lr - initial_lr) * grown, peak_lr * rest**power)

    return schedule


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


def by_path(function: Callable[[str], Any], params: Any) -> Any:
    """A tree like `params` of function(path)."""
    return unflatten_dict({path: function(path) for path in flatten_dict(params, sep="/")}, sep="/")


def kernels(params: Any) -> Any:
    """True for the weights of convolutions and dense layers, False for biases and norms."""
    return by_path(lambda path: path.rpartition("/")[2] == "kernel", params)


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
    """v = momentum * v + g + weight_decay * w; w -= learning_rate * v, as in PyTorch and Caffe.

    Decay applies to kernels only, or with `decay_all` to every parameter (as in the paper). Only g is clipped.
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
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay_all: bool = False,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); options are as for `sgd`."""
    mask = None if decay_all else kernels
    return optax.chain(_clip(clip_norm), optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask))


def match_path(pattern: str) -> PathPredicate:
    """Whether a regular expression matches somewhere in a parameter's path.

    Raises:
      ValueError: an invalid expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"expected a regular expression, got {pattern!r}: {error}") from None
    return lambda path: compiled.search(path) is not None


def rate_factors(params: Any, multipliers: Sequence[tuple[str, float]] = (), layer_decay: float | None = None) -> Any:
    """Factor of each parameter's learning rate: a tree of numbers.

    Args:
      multipliers: (pattern, factor) pairs: the first pattern that matches the path counts; 1 if none does.
      layer_decay: d: the last block's rate is multiplied by d, the one before by d ** 2, ..., the stem comes last. The
        head and what blocks share have factor 1 (Clark et al. 2020, ELECTRA, appendix A).
    """
    rules = [(match_path(pattern), factor) for pattern, factor in multipliers]
    layers = [part for part in sort_components(params) if part == "stem" or "_block" in part]
    depth = {part: len(layers) - number for number, part in enumerate(layers)}

    def factor(path: str) -> float:
        multiplier = next((factor for matches, factor in rules if matches(path)), 1.0)
        return multiplier * (1.0 if layer_decay is None else layer_decay ** depth.get(path.partition("/")[0], 0))

    return by_path(factor, params)


def with_rates(tx: optax.GradientTransformation, factors: Callable[[Any], Any]) -> optax.GradientTransformation:
    """`tx` with each parameter's update multiplied by its number in the tree factors(params)."""

    def scale(updates: Any, params: Any) -> Any:
        return jax.tree.map(lambda update, factor: update * factor, updates, factors(params))

    return optax.chain(tx, optax.stateless(scale))


def without(tx: optax.GradientTransformation, frozen: PathPredicate) -> optax.GradientTransformation:
    """`tx` without state for the frozen parameters, whose updates are zero."""
    return optax.chain(
        optax.masked(tx, lambda params: by_path(lambda path: not frozen(path), params)),
        optax.masked(optax.set_to_zero(), lambda params: by_path(frozen, params)),
    )
