"""Resizing of feature maps and logits as PyTorch's `interpolate` does, without antialiasing."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.types import Array, at_least_float32


def resize(
    x: Array,
    size: tuple[int, int],
    method: Literal["bilinear", "nearest"] = "bilinear",
    *,
    align_corners: bool = False,
) -> Array:
    """[N, H, W, C] -> [N, *size, C], in `x`'s type.

    Args:
      size: (height, width) of the result.
      method: "bilinear", between the two nearest rows and columns whatever the scale is; or "nearest", which is row
        floor(i * H / height) (`jax.image.resize` takes the centre's row, another one at odd sizes).
      align_corners: the centres of the corner pixels coincide; else the corners of the maps do. For "bilinear".

    Raises:
      ValueError: another method, or `align_corners` with "nearest".
    """
    if method not in ("bilinear", "nearest"):
        raise ValueError(f'expected method "bilinear" or "nearest", got {method!r}')
    if method == "nearest" and align_corners:
        raise ValueError('expected align_corners=False with method "nearest", got True')
    for axis, length in zip((1, 2), size, strict=True):
        if x.shape[axis] == length:
            continue
        x = _nearest(x, axis, length) if method == "nearest" else _bilinear(x, axis, length, align_corners)
    return x


def _nearest(x: Array, axis: int, length: int) -> Array:
    if length % x.shape[axis] == 0:
        return jnp.repeat(x, length // x.shape[axis], axis)
    scale = np.float32(x.shape[axis]) / np.float32(length)
    rows = np.floor(np.arange(length, dtype=np.float32) * scale).astype(np.int32)
    return jnp.take(x, np.minimum(rows, x.shape[axis] - 1), axis)


def _bilinear(x: Array, axis: int, length: int, align_corners: bool) -> Array:
    dtype = at_least_float32(x.dtype)
    weights = jnp.asarray(_weights(x.shape[axis], length, align_corners), dtype)
    y = jnp.tensordot(x.astype(dtype), weights, axes=(axis, 1), precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(y, -1, axis).astype(x.dtype)


def _weights(size: int, length: int, align_corners: bool) -> Any:
    """[length, size]: each row's weights of two neighbours, positions beyond the border moved onto it."""
    places = np.arange(length)
    if align_corners:
        positions = places * ((size - 1) / (length - 1) if length > 1 else 0.0)
    else:
        positions = np.maximum((places + 0.5) * (size / length) - 0.5, 0)
    low = np.minimum(positions.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    weights = np.zeros((length, size))
    np.add.at(weights, (places, low), 1 - (positions - low))
    np.add.at(weights, (places, high), positions - low)
    return weights
