"""Region proposal network: Ren et al. 2015, "Faster R-CNN", section 3.1, on the levels of a feature pyramid.

A is the number of anchors of all levels; within a level they are in the order rows, columns, anchors of one location.
Every function but the head is of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.losses import sigmoid_cross_entropy, smooth_l1
from resnet_jax.models.decoders.sampling import balanced_sample
from resnet_jax.models.layers import BiasedConv
from resnet_jax.ops import boxes
from resnet_jax.types import Array, at_least_float32

WEIGHTS = (1.0, 1.0, 1.0, 1.0)  # of the coded boxes
BETA = 1 / 9  # of the smooth L1 loss
MIN_SIZE = 1e-3  # of a proposal's sides, pixels


class RPNHead(nn.Module):
    """Objectness [N, h * w * a] and coded boxes [N, h * w * a, 4] of the anchors of each level [N, h, w, C].

    Both are at least float32.
    """

    context: BlockContext
    anchors: int  # a: anchors of one location
    depth: int = 1  # number of 3x3 convolutions

    @nn.compact
    def __call__(self, levels: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        context = replace(self.context, make_conv=BiasedConv)
        wide = replace(context, dtype=at_least_float32(context.dtype))
        conv, predict = (partial(c.conv, kernel_init=nn.initializers.normal(0.01)) for c in (context, wide))
        convs = [conv(levels[0].shape[-1], 3, name=f"conv{i}") for i in range(1, self.depth + 1)]
        classify, regress = predict(self.anchors, 1, name="cls_logits"), predict(4 * self.anchors, 1, name="bbox_pred")
        objectness, deltas = [], []
        for x in levels:
            for layer in convs:
                x = context.act(layer(x))
            objectness.append(classify(x).reshape(len(x), -1))
            deltas.append(regress(x).reshape(len(x), -1, 4))
        return objectness, deltas


def propose(
    objectness: Sequence[Array],
    deltas: Sequence[Array],
    anchors: Sequence[Array],
    size: Array,
    *,
    pre_nms_top_n: int,
    post_nms_top_n: int,
    nms_thresh: float,
    score_thresh: float,
) -> tuple[Array, Array]:
    """Proposals [P, 4] of an image of `size` int [2], the best first, and which are no padding, bool [P].

    The arguments hold [A of the level], [A of the level, 4] and [A of the level, 4] for each level: its
    `pre_nms_top_n` best anchors become boxes inside the image, and those that no better one of the level covers are
    proposals, P = `post_nms_top_n` of them at most.
    """
    scores, proposals, levels = [], [], []
    for level, (logits, codes, anchor) in enumerate(zip(objectness, deltas, anchors, strict=True)):
        best, index = lax.top_k(logits, min(pre_nms_top_n, len(logits)))
        scores.append(jax.nn.sigmoid(best))
        proposals.append(boxes.decode_boxes(codes[index], anchor[index], WEIGHTS))
        levels.append(jnp.full(index.shape, level))
    score, box = jnp.concatenate(scores), boxes.clip_boxes(jnp.concatenate(proposals), size)
    valid = is_large(box, MIN_SIZE) & (score >= score_thresh)
    index, is_proposal = boxes.batched_nms(box, score, jnp.concatenate(levels), nms_thresh, valid, post_nms_top_n)
    return jnp.where(is_proposal[:, None], box[index], 0), is_proposal


def is_large(box: Array, min_size: float) -> Array:
    """Whether both sides of boxes [..., 4] are at least `min_size` pixels: bool [...]."""
    return ((box[..., 2:] - box[..., :2]) >= min_size).all(-1)


def rpn_losses(
    objectness: Array,
    deltas: Array,
    anchors: Array,
    true_boxes: Array,
    valid: Array,
    order: Array,
    *,
    fg_iou_thresh: float,
    bg_iou_thresh: float,
    batch_size: int,
    positive_fraction: float,
) -> tuple[Array, Array, Array]:
    """Sums of the objectness loss and of the box loss over the sampled anchors of an image, and their number.

    Args:
      objectness: [A]; `deltas` and `anchors` are [A, 4].
      true_boxes: [B, 4], and `valid` bool [B]: which are no padding.
      order: [A], see `balanced_sample`.
    """
    iou = boxes.box_iou(true_boxes, anchors)
    matches = boxes.match(iou, valid, fg_iou_thresh, bg_iou_thresh, allow_low_quality=True)
    labels = jnp.where(matches >= 0, 1, jnp.where(matches == boxes.BETWEEN, -1, 0))
    sampled = balanced_sample(labels, order, size=batch_size, positive_fraction=positive_fraction)
    codes = boxes.encode_boxes(true_boxes[jnp.maximum(matches, 0)], anchors, WEIGHTS)
    box_loss = box_regression_loss(deltas, codes, sampled & (labels == 1))
    losses = sigmoid_cross_entropy(objectness, (labels == 1).astype(objectness.dtype))
    return losses.sum(where=sampled), box_loss, sampled.sum()


def box_regression_loss(deltas: Array, codes: Array, is_box: Array) -> Array:
    """Sum of the smooth L1 loss (Girshick 2015, eq. 3) over the coded boxes [R, 4] where `is_box` [R]: []."""
    return smooth_l1(deltas, codes, beta=BETA).sum(where=is_box[:, None])
