"""Non-maximum suppression, blocked: static in shape, with the choices of the sequential algorithm."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from resnet_jax.ops.iou import box_iou
from resnet_jax.types import Array

# start of the block, number of boxes that stay so far; their indices, boxes and labels, [count]
_State = tuple[Array, Array, Array, Array, Array]

BLOCK = 128  # candidates that are decided together
COORDINATE_TRICK_BOXES = 1000  # at most that many: torchvision shifts the classes apart


def nms(boxes: Array, scores: Array, threshold: float, valid: Array, count: int) -> tuple[Array, Array]:
    """The best boxes of which no two overlap by more than `threshold`: indices int32 [count], valid bool [count].

    In descending order of scores; among equal scores the lower index counts as higher. A box is dropped if its IoU with
    a better box that stays is more than `threshold`, exactly as torchvision's `nms` does. Indices beyond the number of
    boxes that stay are 0, and not valid.

    Args:
      boxes: float [n, 4].
      scores: float [n].
      threshold: of the IoU, 0 to 1; a box with exactly this IoU stays.
      valid: bool [n]; others are no candidates.
      count: the number of results, static.
    """
    return _suppress(boxes, scores, jnp.zeros(scores.shape, jnp.int32), threshold, valid, count)


def batched_nms(
    boxes: Array, scores: Array, labels: Array, threshold: float, valid: Array, count: int
) -> tuple[Array, Array]:
    """`nms` in which boxes of different labels (int [n]) never suppress one another.

    Equal to torchvision's `batched_nms` on a CPU. With at most 1000 valid boxes that one shifts the boxes of each label
    by a multiple of the largest coordinate, and so rounds them; with more it goes through the labels one by one.
    Either way is followed, because the rounding decides overlaps near the threshold. Coordinates are at least 0.
    """
    largest = jnp.max(jnp.where(valid[:, None], boxes, -jnp.inf))
    is_shifted = jnp.sum(valid) <= COORDINATE_TRICK_BOXES
    shift = labels.astype(boxes.dtype) * jnp.where(is_shifted & jnp.any(valid), largest + 1, 0)
    shift = jnp.where(shift == shift, shift, 0)  # rounded: see `rounded_product`
    return _suppress(boxes + shift[:, None], scores, jnp.where(is_shifted, 0, labels), threshold, valid, count)


def _suppress(
    boxes: Array, scores: Array, labels: Array, threshold: float, valid: Array, count: int
) -> tuple[Array, Array]:
    """Decides block after block of the sorted candidates, until `count` boxes stay or no candidate is left over.

    A block is compared with the boxes that stay so far, then with itself.
    """
    size = scores.shape[0]
    if size == 0 or count == 0:
        return jnp.zeros(count, jnp.int32), jnp.zeros(count, bool)
    limit = _largest_not_above(threshold, boxes.dtype)
    keys = (~valid, -scores, jnp.arange(size, dtype=jnp.int32))
    is_invalid, _, order = lax.sort(keys, num_keys=2, is_stable=True)
    total = jnp.sum(~is_invalid)
    block = min(BLOCK, size)
    padding = -size % block
    order = jnp.pad(order, (0, padding))
    sorted_boxes, sorted_labels = boxes[order], labels[order].astype(jnp.int32)
    places = jnp.arange(block, dtype=jnp.int32)

    def overlaps(a: Array, b: Array, a_labels: Array, b_labels: Array) -> Array:
        return (box_iou(a, b) > limit) & (a_labels[:, None] == b_labels[None])

    def is_undecided(state: _State) -> Array:
        start, number, *_ = state
        return (start < total) & (number < count)

    def decide_block(state: _State) -> _State:
        start, number, best, best_boxes, best_labels = state
        part = lax.dynamic_slice_in_dim(sorted_boxes, start, block)
        part_labels = lax.dynamic_slice_in_dim(sorted_labels, start, block)
        is_before = jnp.arange(count) < number
        is_suppressed = jnp.any(overlaps(part, best_boxes, part_labels, best_labels) & is_before[None], axis=1)
        candidates = (start + places < total) & ~is_suppressed
        suppresses = overlaps(part, part, part_labels, part_labels) & (places[:, None] < places[None])
        stays = _resolve(candidates, suppresses)
        targets = jnp.where(stays, number + jnp.cumsum(stays, dtype=jnp.int32) - 1, count)
        indices = lax.dynamic_slice_in_dim(order, start, block)
        return (
            start + block,
            number + jnp.sum(stays, dtype=jnp.int32),
            best.at[targets].set(indices, mode="drop"),
            best_boxes.at[targets].set(part, mode="drop"),
            best_labels.at[targets].set(part_labels, mode="drop"),
        )

    zero = jnp.int32(0)
    none = jnp.zeros(count, jnp.int32)
    start: _State = (zero, zero, none, jnp.zeros((count, 4), boxes.dtype), none)
    _, number, best, *_ = lax.while_loop(is_undecided, decide_block, start)
    return best, jnp.arange(count) < number


def _resolve(candidates: Array, suppresses: Array) -> Array:
    """Greedy choice among `candidates` [b], where `suppresses` [b, b] is above the diagonal.

    Each round decides at least one more candidate finally, mostly all of them after a few.
    """

    def is_changing(state: tuple[Array, Array]) -> Array:
        return jnp.any(state[0] != state[1])

    def decide(state: tuple[Array, Array]) -> tuple[Array, Array]:
        _, stays = state
        return stays, candidates & ~jnp.any(suppresses & stays[:, None], axis=0)

    return lax.while_loop(is_changing, decide, (jnp.zeros_like(candidates), candidates))[1]


def _largest_not_above(threshold: float, dtype: np.dtype) -> np.ndarray:
    """The largest number of `dtype` that is at most `threshold`: an IoU is more than either or than neither."""
    limit = np.asarray(threshold, dtype)
    return limit if float(limit) <= threshold else np.nextafter(limit, np.asarray(-np.inf, dtype))
