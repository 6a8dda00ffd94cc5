"""Areas and overlaps of boxes: float [..., 4] as x0, y0, x1, y1, with x1 >= x0 and y1 >= y0."""

from __future__ import annotations

import jax.numpy as jnp

from resnet_jax.types import Array


def box_area(boxes: Array) -> Array:
    """[..., 4] -> [...]: width times height, in the square of the boxes' unit."""
    return rounded_product(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])


def box_iou(a: Array, b: Array) -> Array:
    """[A, 4], [B, 4] -> [A, B]: intersection over union of every pair; 0 where both boxes are empty."""
    intersection, union = _intersection_and_union(a[:, None], b[None])
    return _divide(intersection, union)


def paired_iou(a: Array, b: Array) -> Array:
    """[..., 4], [..., 4] -> [...]: intersection over union of boxes at the same place; 0 where both are empty."""
    return _divide(*_intersection_and_union(a, b))


def generalized_iou_loss(a: Array, b: Array, *, eps: float = 1e-7) -> Array:
    """[..., 4], [..., 4] -> [...]: 1 - GIoU of boxes at the same place, 0 to 2; finite for empty boxes.

    Rezatofighi et al. 2019, "Generalized Intersection over Union", section 3; `eps` is added to both denominators.
    """
    intersection, union = _intersection_and_union(a, b)
    lows, highs = jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])
    hull = rounded_product(*_sides(highs - lows))
    return 1 - (intersection / (union + eps) - (hull - union) / (hull + eps))


def _intersection_and_union(a: Array, b: Array) -> tuple[Array, Array]:
    lows, highs = jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
    intersection = rounded_product(*_sides(jnp.maximum(highs - lows, 0)))
    return intersection, box_area(a) + box_area(b) - intersection


def _sides(spans: Array) -> tuple[Array, Array]:
    return spans[..., 0], spans[..., 1]


def _divide(numerator: Array, denominator: Array) -> Array:
    # The inner choice keeps the derivative finite, the outer one the value.
    is_positive = denominator > 0
    return jnp.where(is_positive, numerator / jnp.where(is_positive, denominator, 1), 0)


def rounded_product(a: Array, b: Array) -> Array:
    """a * b, rounded before anything is added to it.

    LLVM contracts a * b + c to one operation of one rounding, in some fusions and not in others, so that one overlap
    has two values: equal overlaps no longer compare equal, and thresholds are met otherwise than in PyTorch. A choice
    between the two keeps it from that (jaxlib 0.10 drops optimisation barriers on a CPU).
    """
    return jnp.where(a == a, a * b, a)
