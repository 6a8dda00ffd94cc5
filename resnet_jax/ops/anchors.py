"""Anchors: the boxes at each place of a feature map that a detector's outputs refer to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from resnet_jax.types import Array


def anchors_of_level(
    size: tuple[int, int],
    feature_shape: tuple[int, int],
    sizes: Sequence[float],
    ratios: Sequence[float],
    dtype: Any = jnp.float32,
) -> Array:
    """Anchors of one feature map: [h * w * len(ratios) * len(sizes), 4] in pixels of the canvas.

    In the order of rows, columns, ratios, sizes. Sides are rounded to even whole pixels (half to even), and neighbours
    are `size // feature_shape` pixels apart, as in torchvision's `AnchorGenerator`.

    Args:
      size: (height, width) of the canvas, in pixels.
      feature_shape: (height, width) of the feature map.
      sizes: square roots of the anchors' areas, in pixels.
      ratios: height / width.
    """
    (height, width), (rows, columns) = size, feature_shape
    y = jnp.arange(rows, dtype=dtype) * (height // rows)
    x = jnp.arange(columns, dtype=dtype) * (width // columns)
    shifts = jnp.stack([*jnp.meshgrid(x, y)] * 2, axis=-1)
    return (shifts[:, :, None] + jnp.asarray(_base_anchors(sizes, ratios), dtype)[None, None]).reshape(-1, 4)


def make_anchors(
    size: tuple[int, int],
    feature_shapes: Sequence[tuple[int, int]],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[Sequence[float]],
    dtype: Any = jnp.float32,
) -> list[Array]:
    """Anchors of every level, see `anchors_of_level`; `sizes` and `ratios` have one sequence per level."""
    levels = zip(feature_shapes, sizes, ratios, strict=True)
    return [anchors_of_level(size, shape, scales, tall, dtype) for shape, scales, tall in levels]


def _base_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """[len(ratios) * len(sizes), 4] around (0, 0), in float32 whatever the net's type is, as torchvision does."""
    tall = np.sqrt(np.asarray(ratios, np.float32))[:, None]
    scales = np.asarray(sizes, np.float32)
    height, width = (tall * scales).ravel(), (1 / tall * scales).ravel()
    return np.round(np.stack([-width, -height, width, height], axis=1) / 2)
