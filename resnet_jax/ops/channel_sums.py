"""Sums per channel, fast on a CPU as well.

XLA on a CPU may fuse a sum over positions with what computes its terms, into a loop that reads one channel at a time:
it takes up to fifteen times as long. Here slices of the positions are added first, in a loop over all channels
(benchmarks/batch_norm.py).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.ops.lowering import lower
from resnet_jax.ops.sharding import is_sharded
from resnet_jax.types import Array

SLICES = 8  # with 16 XLA no longer vectorises the loop


def channel_sum(x: Array) -> Array:
    """[..., C] -> [C]: the sum over all other axes."""
    return channel_mean(x) * math.prod(x.shape[:-1])


@jax.custom_jvp
def channel_mean(x: Array) -> Array:
    """[..., C] -> [C]: the mean over all other axes."""
    return lower(_mean, _mean_of_slices if _slice_count(x) > 1 else None, x)


@channel_mean.defjvp
def _channel_mean_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return channel_mean(*primals), _mean(*tangents)


def spread(values: Array, x: Array) -> Array:
    """[C], [..., C] -> the values at all positions of `x`. The transpose is a sum of slices, as `channel_mean`."""
    count = _slice_count(x)

    def whole(values: Array) -> Array:
        return jnp.broadcast_to(values, x.shape)

    def sliced(values: Array) -> Array:
        part = jnp.broadcast_to(values, (math.prod(x.shape[:-1]) // count, x.shape[-1]))
        return jnp.stack([lax.optimization_barrier(part)] * count, 1).reshape(x.shape)

    return lower(whole, sliced if count > 1 else None, values)


def _mean(x: Array) -> Array:
    return x.mean(tuple(range(x.ndim - 1)))


def _mean_of_slices(x: Array) -> Array:
    count, features = _slice_count(x), x.shape[-1]
    rows = x.reshape(-1, count, features)
    slices = [rows[:, i] for i in range(count)]
    # The barrier keeps the second sum from being fused with the terms of the first.
    sums = lax.optimization_barrier(sum(slices[1:], start=slices[0]))
    return sums.sum(0) / math.prod(x.shape[:-1])


def _slice_count(x: Array) -> int:
    """The largest number up to SLICES that divides the number of positions; 1 where that is unknown or sharded."""
    sizes = x.shape[:-1]
    if is_sharded(x) or not all(isinstance(size, int) for size in sizes):
        return 1
    positions = math.prod(sizes)
    return max(count for count in range(1, SLICES + 1) if positions % count == 0) if positions else 1
