"""Pooling over windows and over whole maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops.tally import add_macs
from resnet_jax.types import Array, at_least_float32


def max_pool(x: Array, *, window: int = 3, strides: int = 2, padding: int = 1) -> Array:
    """[N, H, W, C] -> [N, H', W', C], padded symmetrically with -inf (PyTorch's, not SAME)."""
    return _max_pool(x, window, strides, padding)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: Array, window: int, strides: int, padding: int) -> Array:
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    lowest = np.asarray(-np.inf, x.dtype)
    return lax.reduce_window(x, lowest, lax.max, (1, window, window, 1), (1, strides, strides, 1), pads)


# XLA's own derivative is a select-and-scatter, which on a GPU adds in no fixed order. This one, of slices and choices
# alone, is deterministic anywhere, and on a CPU takes about half the time (benchmarks/max_pool_gradient.py).
@_max_pool.defjvp
def _max_pool_jvp(
    window: int, strides: int, padding: int, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    # Kept for the backward pass is x, no masks.
    choose = jax.checkpoint(partial(_chosen, window=window, strides=strides, padding=padding))
    return _max_pool(x, window, strides, padding), choose(x, dx)


def _chosen(x: Array, dx: Array, *, window: int, strides: int, padding: int) -> Array:
    """Of each window the element of `dx` where `x` is largest: first along the rows, then among the rows' largest.

    Among equals the first counts in either direction, hence the first in the order of rows: as with XLA's derivative.
    A value is compared with the best so far and not with the maximum of the forward pass: were only one of those two
    rounded to bfloat16, no element might equal it. A NaN counts as largest.
    """
    for axis in (2, 1):
        values = _taps(x, axis, -np.inf, window, strides, padding)
        own = _taps(dx, axis, 0, window, strides, padding)
        x, dx = values[0], own[0]
        for value, tangent in zip(values[1:], own[1:], strict=True):
            ahead = (value > x) | jnp.isnan(value)
            x, dx = jnp.where(ahead, value, x), jnp.where(ahead, tangent, dx)
    return dx


def _taps(x: Array, axis: int, fill: float, window: int, strides: int, padding: int) -> list[Array]:
    """For every place in a window, what lies there in each of the windows along `axis`."""
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
    """[N, H, W, C] -> [N, H', W', C]: means over windows of every `dilation`-th pixel.

    `padding` is so many of these pixels before and behind, in rows and in columns. A window that reaches into it is
    divided by its pixels of the map, or (`count_padding`) by all of them.
    """
    pads = (padding[0] * dilation, padding[1] * dilation)

    def sums(x: Array) -> Array:
        dims, steps, gaps = ((1, size, size, 1) for size in (window, strides, dilation))
        return lax.reduce_window(
            x, np.zeros((), x.dtype), lax.add, dims, steps, ((0, 0), pads, pads, (0, 0)), window_dilation=gaps
        )

    if count_padding or padding == (0, 0):
        return sums(x) / window**2
    counts = sums(jnp.ones((1, *x.shape[1:3], 1), x.dtype))
    return sums(x) / jnp.broadcast_to(counts, (x.shape[0], *counts.shape[1:3], x.shape[3]))


def blur_pool(x: Array, *, strides: int, dilation: int = 1) -> Array:
    """[N, H, W, C] -> [N, ceil(H/s), ceil(W/s), C]: blurred by [1, 2, 1] / 4 along both axes, then every s-th pixel.

    Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", section 3; reflected at the border. The three
    pixels of the blur are `dilation` apart.
    """
    add_macs(9 * x.shape[0] * -(-x.shape[1] // strides) * -(-x.shape[2] // strides) * x.shape[3], other=True)
    for axis in (1, 2):
        size = x.shape[axis]
        span = (size - 1) // strides * strides + 1
        padded = _reflected(x, dilation, axis)
        before, at, after = (
            lax.slice_in_dim(padded, i * dilation, i * dilation + span, strides, axis) for i in range(3)
        )
        x = (before + 2 * at + after) / 4
    return x


def _reflected(x: Array, padding: int, axis: int) -> Array:
    """Padded along an axis, whose size may be a symbol (`jax.export`): it is then taken to be above `padding`."""
    size = x.shape[axis]
    if isinstance(size, int):
        pads = [(0, 0)] * x.ndim
        pads[axis] = (padding, padding)
        return jnp.pad(x, pads, mode="reflect")
    ends = ((1, padding + 1), (size - 1 - padding, size - 1))
    before, behind = (jnp.flip(lax.slice_in_dim(x, *end, axis=axis), axis) for end in ends)
    return jnp.concatenate([before, x, behind], axis)


def _average(x: Array) -> Array:
    return jnp.mean(x, (1, 2))


@jax.custom_jvp
def _maximum(x: Array) -> Array:
    # XLA on CPU drops NaN in a maximum over an axis.
    return jnp.where(jnp.isnan(x).any((1, 2)), jnp.nan, jnp.max(x, (1, 2)))


@_maximum.defjvp
def _maximum_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """The largest share the gradient equally, as in `jnp.max`; a NaN counts as largest."""
    (x,), (dx,) = primals, tangents
    y = _maximum(x)
    largest = ((x == y[:, None, None]) | jnp.isnan(x)).astype(x.dtype)
    return y, (dx * largest).sum((1, 2)) / largest.sum((1, 2))


POOLS: dict[str, Callable[[Array], Array]] = {"avg": _average, "max": _maximum}


def global_pool(x: Array, kind: str = "avg") -> Array:
    """[N, H, W, C] -> [N, C], in at least float32. `kind` is "avg" or "max"."""
    return POOLS[kind](x.astype(at_least_float32(x.dtype)))
