"""Images of several sizes at the top left of one canvas, series of several lengths: the rest is padding."""

from __future__ import annotations

import jax.numpy as jnp

from resnet_jax.types import Array


def before(ends: Array, length: int) -> Array:
    """Positions below `length` that lie before `ends` int [N]: bool [N, length]."""
    return jnp.arange(length)[None] < ends[:, None]


def within(length: int, start: Array, size: Array | int) -> Array:
    """Positions below `length` that lie in [start, start + size): bool [N, length]."""
    return before(start + size, length) & ~before(start, length)


def inside(size: Array, canvas: tuple[int, int]) -> Array:
    """Which pixels of a canvas lie in its upper left `size`, int [N, 2] of height and width: bool [N, H, W]."""
    rows, columns = (before(size[:, axis], length) for axis, length in enumerate(canvas))
    return rows[:, :, None] & columns[:, None, :]


def zero_padding(images: Array, size: Array) -> Array:
    """Images [N, H, W, C] with 0 outside of their `size`, int [N, 2]."""
    return jnp.where(inside(size, (images.shape[1], images.shape[2]))[..., None], images, 0)
