"""Boxes as arrays: overlaps, anchors, coding, matching, suppression, pooling of regions, pasting of masks.

Boxes are float [..., 4] as x0, y0, x1, y1 in pixels, y down. All functions are static in shape: padding is marked by a
bool array `valid`. They may be compiled, mapped and, but for those that return indices, differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from resnet_jax.ops.anchors import anchors_of_level, make_anchors
from resnet_jax.ops.iou import box_area, box_iou, generalized_iou_loss, paired_iou
from resnet_jax.ops.nms import batched_nms, nms
from resnet_jax.ops.paste import paste_masks
from resnet_jax.ops.roi_align import assign_levels, multiscale_roi_align, roi_align
from resnet_jax.types import Array

__all__ = [
    "BELOW",
    "BETWEEN",
    "anchors_of_level",
    "assign_levels",
    "batched_nms",
    "box_area",
    "box_iou",
    "clip_boxes",
    "decode_boxes",
    "decode_distances",
    "encode_boxes",
    "encode_distances",
    "generalized_iou_loss",
    "make_anchors",
    "match",
    "multiscale_roi_align",
    "nms",
    "paired_iou",
    "paste_masks",
    "roi_align",
]

BELOW = -1  # in `match`: background
BETWEEN = -2  # in `match`: neither background nor object
LARGEST_LOG_SCALE = math.log(1000 / 16)  # decoded boxes are at most 62.5 times their anchor


def clip_boxes(boxes: Array, size: Any) -> Array:
    """[..., 4] -> [..., 4] inside an image of `size` (height, width): two numbers, or int [2]."""
    height, width = (jnp.asarray(side, boxes.dtype) for side in (size[0], size[1]))
    limits = jnp.stack([width, height, width, height])
    return jnp.clip(boxes, 0, limits.reshape((1,) * (boxes.ndim - 1) + (4,)))


def encode_boxes(boxes: Array, anchors: Array, weights: Sequence[float] = (1, 1, 1, 1)) -> Array:
    """[..., 4], [..., 4] -> [..., 4]: shifts relative to the anchors' sides, and logarithms of the scales.

    Girshick et al. 2014, "Rich feature hierarchies", appendix C; each is multiplied by its weight. Boxes without area
    (padding) have finite codes, of no meaning.
    """
    (centers, sides), (anchor_centers, anchor_sides) = _centers(boxes), _centers(anchors)
    anchor_sides = jnp.where(anchor_sides > 0, anchor_sides, 1)
    shift_weights, scale_weights = jnp.split(_for_coordinates(weights, boxes), 2, axis=-1)
    shifts = shift_weights * (centers - anchor_centers) / anchor_sides
    scales = scale_weights * jnp.log(jnp.where(sides > 0, sides, anchor_sides) / anchor_sides)
    return jnp.concatenate([shifts, scales], axis=-1)


def decode_boxes(deltas: Array, anchors: Array, weights: Sequence[float] = (1, 1, 1, 1)) -> Array:
    """The inverse of `encode_boxes`: [..., 4], [..., 4] -> [..., 4]. Scales are clipped at 62.5."""
    centers, sides = _centers(anchors.astype(deltas.dtype))
    deltas = deltas / _for_coordinates(weights, deltas)
    centers = deltas[..., :2] * sides + centers
    halves = 0.5 * jnp.exp(jnp.minimum(deltas[..., 2:], LARGEST_LOG_SCALE)) * sides
    return jnp.concatenate([centers - halves, centers + halves], axis=-1)


def encode_distances(boxes: Array, anchors: Array) -> Array:
    """[..., 4], [..., 4] -> [..., 4]: the distances of the anchors' centres to the boxes' four edges, in anchor sides.

    Tian et al. 2019, "FCOS", equation 1: to x0, y0, x1, y1; positive for centres inside the box.
    """
    centers, sides = _middles(anchors)
    return jnp.concatenate([centers - boxes[..., :2], boxes[..., 2:] - centers], axis=-1) / sides


def decode_distances(distances: Array, anchors: Array) -> Array:
    """The inverse of `encode_distances`: [..., 4], [..., 4] -> [..., 4]."""
    centers, sides = _middles(anchors.astype(distances.dtype))
    distances = distances * sides
    return jnp.concatenate([centers - distances[..., :2], centers + distances[..., 2:]], axis=-1)


def _for_coordinates(weights: Sequence[float], boxes: Array) -> Array:
    """The weights of the four coordinates, with as many axes as boxes [..., 4]."""
    return jnp.asarray(weights, boxes.dtype).reshape((1,) * (boxes.ndim - 1) + (4,))


def _middles(anchors: Array) -> tuple[Array, Array]:
    sides = anchors[..., 2:] - anchors[..., :2]
    return 0.5 * (anchors[..., :2] + anchors[..., 2:]), jnp.concatenate([sides, sides], axis=-1)


def _centers(boxes: Array) -> tuple[Array, Array]:
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * sides, sides


def match(iou: Array, valid: Array, high: float, low: float, allow_low_quality: bool = False) -> Array:
    """Assigns a box to each anchor: int32 [A], the box's index, or `BELOW` (-1) or `BETWEEN` (-2).

    The box is that of the highest overlap, the first of equal ones. An anchor whose highest overlap is below `low` is
    background, one below `high` counts as neither. With `allow_low_quality` each box also gets the anchors of its own
    highest overlap, all of equal ones: those are assigned to the box that they overlap most, as in torchvision.

    Args:
      iou: float [B, A], at least 0, of boxes and anchors.
      valid: bool [B]; others get no anchor. Without any, all anchors are background.
    """
    iou = jnp.where(valid[:, None], iou, -1)
    highest, indices = jnp.max(iou, axis=0), jnp.argmax(iou, axis=0).astype(jnp.int32)
    matches = jnp.where(highest < high, jnp.where(highest < low, BELOW, BETWEEN), indices)
    if allow_low_quality:
        is_best = (iou == jnp.max(iou, axis=1, keepdims=True)) & valid[:, None]
        matches = jnp.where(jnp.any(is_best, axis=0), indices, matches)
    return matches
