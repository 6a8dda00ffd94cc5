"""Normalisation: over a batch (Ioffe and Szegedy 2015), or over groups of channels (Wu and He 2018)."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from resnet_jax.types import Array


def normalize(x: Array, mean: Array, var: Array, scale: Array, bias: Array, *, epsilon: float) -> Array:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, in the dtype of `scale`: [N, H, W, C], four [C]."""
    mean, a, bias = (v.reshape((1,) * (x.ndim - 1) + (-1,)) for v in (mean, scale * lax.rsqrt(var + epsilon), bias))
    return (x.astype(scale.dtype) - mean) * a + bias


def group_norm(x: Array, scale: Array, bias: Array, *, groups: int, epsilon: float) -> Array:
    """[N, H, W, C] -> the same, in the dtype of `scale`: an example normalised over the pixels and channels of a group.

    Wu and He 2018, "Group Normalization", eq. 1, 2, 6 and 7.

    Raises:
      ValueError: channels that cannot be shared out evenly.
    """
    n, height, width, channels = x.shape
    if channels % groups:
        near = max(size for size in range(1, groups) if channels % size == 0)
        raise ValueError(f"{channels} channels in {groups} groups; wanted: a number that divides them; close: {near}")
    grouped = x.astype(scale.dtype).reshape(n, height, width, groups, channels // groups)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    var = jnp.square(grouped - mean).mean((1, 2, 4), keepdims=True)
    y = ((grouped - mean) * lax.rsqrt(var + epsilon)).reshape(x.shape)
    return y * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)


def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    *,
    epsilon: float,
    axis_name: str | None = None,
    axis_index_groups: list[list[int]] | None = None,
) -> tuple[Array, Array, Array]:
    """[N, H, W, C] -> normalised [N, H, W, C], its mean [C] and biased variance [C], in the dtype of `scale`.

    With `axis_name` the statistics are those of all devices of that axis (or of each group of them).
    One pass over x: E[x^2] - E[x]^2 is exact enough in float32 while |mean| / std stays below about 1e3.
    """
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(scale.dtype)
    mean, square = jnp.mean(wide, axes), jnp.mean(wide * wide, axes)
    if axis_name is not None:
        mean, square = lax.pmean((mean, square), axis_name, axis_index_groups=axis_index_groups)
    var = jnp.maximum(square - mean * mean, 0)
    return normalize(x, mean, var, scale, bias, epsilon=epsilon), mean, var
