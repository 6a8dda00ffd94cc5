"""Images of several sizes at the top left of one canvas; the rest is padding."""

from __future__ import annotations

import jax.numpy as jnp

from resnet_jax.types import Array


def inside(size: Array, canvas: tuple[int, int]) -> Array:
    """Which pixels of a canvas lie in its upper left `size`, int [N, 2] of height and width: bool [N, H, W]."""
    rows, columns = (jnp.arange(length)[None] < size[:, axis, None] for axis, length in enumerate(canvas))
    return rows[:, :, None] & columns[:, None, :]


def zero_padding(images: Array, size: Array) -> Array:
    """Images [N, H, W, C] with 0 outside of their `size`, int [N, 2]."""
    return jnp.where(inside(size, (images.shape[1], images.shape[2]))[..., None], images, 0)
