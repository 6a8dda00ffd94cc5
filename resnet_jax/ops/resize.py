"""Resizing of feature maps and logits as PyTorch's `interpolate` does, without antialiasing."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.types import Array, at_least_float32

Method = Literal["bilinear", "nearest"]


def resize(x: Array, size: tuple[int, int], method: Method = "bilinear", *, align_corners: bool = False) -> Array:
    """[N, H, W, C] -> [N, *size, C], in `x`'s type.

    Args:
      size: (height, width) of the result.
      method: "bilinear" mixes the two nearest rows and columns, whatever the scale is; "nearest" takes row
        floor(i * H / height). (`jax.image.resize` takes the centre's row, another one at odd sizes.)
      align_corners: the centres of the corner pixels coincide; else the corners of the maps do. For "bilinear".

    Raises:
      ValueError: another method, or `align_corners` with "nearest".
    """
    if method not in ("bilinear", "nearest"):
        raise ValueError(f'expected method "bilinear" or "nearest", got {method!r}')
    if method == "nearest" and align_corners:
        raise ValueError('expected align_corners=False with method "nearest", got True')
    for axis, length in zip((1, 2), size, strict=True):
        x = _resize_axis(x, axis, length, method, align_corners)
    return x


def _resize_axis(x: Array, axis: int, length: int, method: Method, align_corners: bool) -> Array:
    size = x.shape[axis]
    if size == length:
        return x
    if size == 1 or (method == "nearest" and length % size == 0):
        return jnp.repeat(x, length // size, axis)
    return _mix(x, axis, _Scale(size, length, method, align_corners))


class _Scale(NamedTuple):
    """What the rows of the result depend on: static, and hashable."""

    size: int
    length: int
    method: Method
    align_corners: bool


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _mix(x: Array, axis: int, scale: _Scale) -> Array:
    low, high, fraction = _neighbours(scale)
    if scale.method == "nearest":
        return jnp.take(x, low, axis)
    dtype = at_least_float32(x.dtype)
    part = fraction.astype(dtype).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    first, second = (jnp.take(x, rows, axis).astype(dtype) for rows in (low, high))
    return (first * (1 - part) + second * part).astype(x.dtype)


def _mix_forward(x: Array, axis: int, scale: _Scale) -> tuple[Array, None]:
    return _mix(x, axis, scale), None


def _mix_backward(axis: int, scale: _Scale, _: None, gradient: Array) -> tuple[Array]:
    """A product of matrices. The derivative of reading rows is a scatter: in no fixed order on a GPU, slow on a CPU."""
    low, high, fraction = _neighbours(scale)
    rows, weights = np.arange(scale.length), np.zeros((scale.length, scale.size))
    np.add.at(weights, (rows, low), 1 - fraction)
    np.add.at(weights, (rows, high), fraction)
    dtype = at_least_float32(gradient.dtype)
    total = jnp.tensordot(
        gradient.astype(dtype), weights.astype(dtype), axes=(axis, 0), precision=lax.Precision.HIGHEST
    )
    return (jnp.moveaxis(total, -1, axis).astype(gradient.dtype),)


_mix.defvjp(_mix_forward, _mix_backward)


def _neighbours(scale: _Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of the result: the two rows it lies between, and the part of the second."""
    size, length, method, align_corners = scale
    rows = np.arange(length)
    if method == "nearest":  # in float32, as PyTorch: the products are rounded before they are truncated
        scaled = rows.astype(np.float32) * (np.float32(size) / np.float32(length))
        low = np.minimum(scaled.astype(np.int32), size - 1)
        return low, low, np.zeros(length)
    if align_corners:
        positions = rows * ((size - 1) / max(length - 1, 1))
    else:
        positions = np.maximum((rows + 0.5) * (size / length) - 0.5, 0)
    low = np.minimum(positions.astype(np.int32), size - 1)
    return low, np.minimum(low + 1, size - 1), positions - low
