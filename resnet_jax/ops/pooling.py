"""Pooling over windows and over whole maps, of any spatial rank."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops.lowering import uses_plain_lowering
from resnet_jax.ops.tally import add_macs
from resnet_jax.ops.windows import check_layout, output_size, over_space, spatial_axes
from resnet_jax.types import Array, at_least_float32


def max_pool(x: Array, *, window: int = 3, strides: int = 2, padding: int = 1) -> Array:
    """[N, *spatial, C] -> [N, *spatial', C], padded symmetrically with -inf (as PyTorch, not SAME)."""
    check_layout(x)
    pool = _reduced_max if uses_plain_lowering() else _max_pool
    return pool(x, window, strides, padding)


def _reduced_max(x: Array, window: int, strides: int, padding: int) -> Array:
    return _reduce_window(x, -np.inf, lax.max, window, strides, (padding, padding))


def _reduce_window(
    x: Array,
    fill: float,
    reduce: Callable[[Array, Array], Array],
    window: int,
    strides: int,
    pads: tuple[int, int],
    dilation: int = 1,
) -> Array:
    def window_along(size: Any) -> tuple[int, int, tuple[int, int], int]:
        span = (window - 1) * dilation + 1
        # A window over one element and padding. XLA on a CPU computes wrong sums of those (jaxlib 0.10.2 to 0.12:
        # [2, 1, 10, 256], windows and strides of 2, padding (0, 1)).
        is_identity = isinstance(size, int) and size == 1 and pads[0] < span and (1 + sum(pads) - span) // strides == 0
        return (1, 1, (0, 0), 1) if is_identity else (window, strides, pads, dilation)

    axes = [(1, 1, (0, 0), 1), *map(window_along, x.shape[1:-1]), (1, 1, (0, 0), 1)]
    sizes, steps, padding, dilations = zip(*axes, strict=True)
    return lax.reduce_window(x, np.asarray(fill, x.dtype), reduce, sizes, steps, padding, window_dilation=dilations)


# XLA's derivative is a select-and-scatter, which adds in no fixed order on a GPU. This one consists of slices and
# selections: it is deterministic everywhere and takes about half the time on a CPU (benchmarks/max_pool_gradient.py).
_max_pool = jax.custom_jvp(_reduced_max, nondiff_argnums=(1, 2, 3))


@_max_pool.defjvp
def _max_pool_jvp(
    window: int, strides: int, padding: int, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    # The backward pass keeps x, and no masks.
    choose = jax.checkpoint(partial(_at_largest, window=window, strides=strides, padding=padding))
    return _max_pool(x, window, strides, padding), choose(x, dx)


def _at_largest(x: Array, dx: Array, *, window: int, strides: int, padding: int) -> Array:
    """The element of `dx` where `x` is largest in each window: along the last axis first, then among those largest.

    Among equals the first counts along every axis, hence the first in row-major order: as with XLA's derivative.
    Values are compared with the largest so far, not with the maximum of the forward pass: if only one of those two were
    rounded to bfloat16, no element might equal it. A NaN counts as largest.
    """
    for axis in reversed(spatial_axes(x)):
        values = _window_elements(x, axis, -np.inf, window, strides, padding)
        choices = _window_elements(dx, axis, 0, window, strides, padding)
        x, dx = values[0], choices[0]
        for value, tangent in zip(values[1:], choices[1:], strict=True):
            is_larger = (value > x) | jnp.isnan(value)
            x, dx = jnp.where(is_larger, value, x), jnp.where(is_larger, tangent, dx)
    return dx


def _window_elements(x: Array, axis: int, fill: float, window: int, strides: int, padding: int) -> list[Array]:
    """The first elements of all windows along `axis`, the second ones, ..., the last ones."""
    pads = [(0, 0)] * x.ndim
    pads[axis] = (padding, padding)
    padded = jnp.pad(x, pads, constant_values=fill)
    span = (padded.shape[axis] - window) // strides * strides + 1
    return [lax.slice_in_dim(padded, i, i + span, strides, axis) for i in range(window)]


def avg_pool(
    x: Array,
    *,
    window: int,
    strides: int,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
    count_padding: bool = False,
) -> Array:
    """[N, *spatial, C] -> [N, *spatial', C]: means over windows of every `dilation`-th position.

    `padding` counts such positions before and after, along each spatial axis. A window that reaches into it is divided
    by the number of its positions inside the map, or with `count_padding` by the number of all.
    """
    check_layout(x)
    pads = (padding[0] * dilation, padding[1] * dilation)
    sums = partial(_reduce_window, fill=0, reduce=lax.add, window=window, strides=strides, pads=pads, dilation=dilation)
    if count_padding or padding == (0, 0):
        return sums(x) / window ** (x.ndim - 2)
    counts = sums(jnp.ones((1, *x.shape[1:-1], 1), x.dtype))
    return sums(x) / jnp.broadcast_to(counts, (x.shape[0], *counts.shape[1:-1], x.shape[-1]))


def blur_pool(x: Array, *, strides: int, dilation: int = 1) -> Array:
    """[N, *spatial, C] -> [N, *ceil(spatial / s), C]: [1, 2, 1] / 4 along each spatial axis, then every s-th position.

    Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", section 3; reflected at the border. The three
    positions of the blur are `dilation` apart.
    """
    check_layout(x)
    add_macs(3 ** (x.ndim - 2) * x.shape[0] * math.prod(output_size(x, strides)) * x.shape[-1], other=True)
    for axis in spatial_axes(x):
        span = (x.shape[axis] - 1) // strides * strides + 1
        padded = _reflect(x, dilation, axis)
        before, center, after = (
            lax.slice_in_dim(padded, i * dilation, i * dilation + span, strides, axis) for i in range(3)
        )
        x = (before + 2 * center + after) / 4
    return x


def _reflect(x: Array, padding: int, axis: int) -> Array:
    """`x` padded along an axis by reflection. A symbolic size (`jax.export`) is taken to be above `padding`."""
    size = x.shape[axis]
    if isinstance(size, int):
        pads = [(0, 0)] * x.ndim
        pads[axis] = (padding, padding)
        return jnp.pad(x, pads, mode="reflect")
    ends = ((1, padding + 1), (size - 1 - padding, size - 1))
    before, after = (jnp.flip(lax.slice_in_dim(x, *end, axis=axis), axis) for end in ends)
    return jnp.concatenate([before, x, after], axis)


def adaptive_avg_pool(x: Array, grid: int) -> Array:
    """[N, *spatial, C] -> [N, *grid, C]: means over `grid` parts along each spatial axis, which overlap by a pixel.

    Part i of L pixels is from floor(i L / grid) to ceil((i + 1) L / grid), as PyTorch's AdaptiveAvgPool.
    """
    check_layout(x)
    wide = x.astype(at_least_float32(x.dtype))
    for axis in spatial_axes(x):
        length = x.shape[axis]
        ends = [(i * length // grid, -(-(i + 1) * length // grid)) for i in range(grid)]
        wide = jnp.concatenate(
            [lax.slice_in_dim(wide, *end, axis=axis).mean(axis, keepdims=True) for end in ends], axis
        )
    return wide.astype(x.dtype)


def _average(x: Array) -> Array:
    return jnp.mean(x, spatial_axes(x))


@jax.custom_jvp
def _maximum(x: Array) -> Array:
    # XLA on CPU drops NaN in a maximum over an axis.
    return jnp.where(jnp.isnan(x).any(spatial_axes(x)), jnp.nan, jnp.max(x, spatial_axes(x)))


@_maximum.defjvp
def _maximum_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The largest share the gradient equally, as in `jnp.max`; a NaN counts as largest."""
    (x,), (dx,) = primals, tangents
    y = _maximum(x)
    is_largest = ((x == over_space(y, x)) | jnp.isnan(x)).astype(x.dtype)
    return y, (dx * is_largest).sum(spatial_axes(x)) / is_largest.sum(spatial_axes(x))


def _largest(x: Array) -> Array:
    return jnp.max(x, spatial_axes(x)) if uses_plain_lowering() else _maximum(x)


POOLS: dict[str, Callable[[Array], Array]] = {"avg": _average, "max": _largest}


def global_pool(x: Array, kind: str = "avg") -> Array:
    """[N, *spatial, C] -> [N, C], in at least float32. `kind` is "avg" or "max"."""
    check_layout(x)
    return POOLS[kind](x.astype(at_least_float32(x.dtype)))
