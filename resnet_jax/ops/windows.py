"""Geometry of arrays [N, *spatial, C] and of the windows that slide over them, for any number of spatial axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import jax.numpy as jnp

from resnet_jax.types import Array

Pads = Sequence[tuple[int, int]]  # before and after, a pair per spatial axis; symbolic where the sizes are

LAYOUTS = ("[N, L, C]", "[N, H, W, C]", "[N, D, H, W, C]")  # by spatial rank


def spatial_axes(x: Array) -> tuple[int, ...]:
    """Axes between batch and channels: (1,) of [N, L, C], (1, 2) of [N, H, W, C]."""
    return tuple(range(1, x.ndim - 1))


def check_layout(x: Array) -> None:
    """Raises ValueError unless `x` has one to three spatial axes."""
    if not 1 <= x.ndim - 2 <= len(LAYOUTS):
        raise ValueError(f"expected {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, got {list(x.shape)}")


def over_space(values: Array, x: Array) -> Array:
    """[N, C], [N, *spatial, C] -> [N, 1, ..., 1, C], which broadcasts against `x`."""
    return jnp.expand_dims(values, spatial_axes(x))


def subsample(x: Array, strides: int) -> Array:
    """[N, *spatial, C] -> [N, *ceil(spatial / s), C]: every s-th position along each spatial axis.

    The ends of the slices give a symbolic size (`jax.export`) the very expression that a convolution gives it.
    """
    return x[(slice(None), *(slice(None, span, strides) for span in spans(x, strides)))]


def has_known_size(x: Array) -> bool:
    """Whether the spatial sizes of [N, *spatial, C] are integers rather than symbols of `jax.export`."""
    return all(isinstance(size, int) for size in x.shape[1:-1])


def output_size(x: Array, strides: int) -> list[int]:
    """ceil(size / strides) of each spatial axis."""
    return [-(-size // strides) for size in x.shape[1:-1]]


def spans(x: Array, strides: int) -> list[Any]:
    """Length, along each spatial axis, of the shortest slice that has every `strides`-th position from the first on."""
    return [(size - 1) // strides * strides + 1 for size in x.shape[1:-1]]


def padding(x: Array, sides: Sequence[int], *, strides: int, dilation: int, same: bool) -> Pads:
    """Padding with which windows of `sides` give `output_size`: symmetric as PyTorch's, or (`same`) TensorFlow's."""
    if not same or all(k == 1 for k in sides):
        return [centred(k, dilation) for k in sides]
    pads = []
    for size, span, k in zip(x.shape[1:-1], spans(x, strides), sides, strict=True):
        reach = dilation * (k - 1)
        total = span + reach - size
        if reach + 1 < strides:  # else it is never below 0; symbolic sizes (`jax.export`) cannot be compared with 0
            total = max(0, total)
        pads.append((total // 2, total - total // 2))
    return pads


def before(sides: Sequence[int], dilation: int) -> Pads:
    """Padding of causal windows, which keeps the size at stride 1."""
    return [(dilation * (k - 1), 0) for k in sides]


def centred(k: int, dilation: int) -> tuple[int, int]:
    """Padding before and after that keeps the size at stride 1; an even kernel has one more after."""
    return dilation * ((k - 1) // 2), dilation * (k // 2)


def shifts(x: Array, sides: Sequence[int], strides: int, dilation: int, pads: Pads) -> Iterator[Array]:
    """The inputs under each element of the kernel in turn, [N, *spatial', Ci] each."""
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    starts = product(*(range(0, k * dilation, dilation) for k in sides))
    lengths = spans(x, strides)
    for start in starts:
        window = [slice(i, i + length, strides) for i, length in zip(start, lengths, strict=True)]
        yield padded[(slice(None), *window)]
