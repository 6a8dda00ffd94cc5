"""Pasting of masks, each in the frame of its box, into the image."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.types import Array


def paste_masks(masks: Array, boxes: Array, size: tuple[int, int]) -> Array:
    """Masks in the frames of their boxes, resized into the image: [D, M, M], [D, 4] -> [D, *size].

    Bilinear; probabilities stay probabilities, and pixels outside the box are 0. As torchvision does it: with a border
    of one zero around the mask, and the box's corners truncated to whole pixels.
    """
    side = masks.shape[-1]
    centers, halves = (boxes[..., 2:] + boxes[..., :2]) * 0.5, (boxes[..., 2:] - boxes[..., :2]) * 0.5
    halves = halves * ((side + 2) / side)
    lows, highs = (jnp.trunc(x).astype(jnp.int32) for x in (centers - halves, centers + halves))
    columns, rows = (
        _paste_weights(lows[:, axis], highs[:, axis], size[1 - axis], side, masks.dtype) for axis in (0, 1)
    )
    return jnp.einsum("dyi,dij,dxj->dyx", rows, masks, columns, precision=lax.Precision.HIGHEST)


def _paste_weights(low: Array, high: Array, length: int, side: int, dtype: np.dtype) -> Array:
    """[D, length, side]: the weights of a mask's rows or columns in each pixel of the image."""
    pixels, rows = jnp.arange(length, dtype=jnp.int32)[None], jnp.arange(1, side + 1, dtype=dtype)[None, None]
    is_inside = (pixels >= low[:, None]) & (pixels <= high[:, None])
    scale = (side + 2) / jnp.maximum(high - low + 1, 1).astype(dtype)
    position = jnp.maximum(((pixels - low[:, None]).astype(dtype) + 0.5) * scale[:, None] - 0.5, 0)
    # Triangles of width 2 around each row; the border's two rows are zero and need none.
    distance = jnp.abs(position[..., None] - rows)
    return jnp.where(is_inside[..., None], jnp.maximum(1 - distance, 0), 0)
