"""Heads on regions of interest: classes and boxes of proposals. Girshick 2015, "Fast R-CNN"; Lin et al. 2017, "FPN".

R regions of an image, of which some are padding; K classes, of which 0 is the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.rpn import box_regression_loss, is_large
from resnet_jax.models.decoders.sampling import balanced_sample, choose
from resnet_jax.models.layers import BiasedConv, Dense
from resnet_jax.ops import boxes
from resnet_jax.types import Array, at_least_float32

MIN_SIZE = 1e-2  # of a detection's sides, pixels


class BoxHead(nn.Module):
    """Representation of each region: [R, 7, 7, C] -> [R, features of the last dense layer].

    Args of the call:
      weights: [R]; 0: padding, which changes no batch statistics.
    """

    context: BlockContext
    convs: tuple[int, ...] = ()  # features of 3x3 convolutions, each with a norm
    dense: tuple[int, ...] = (1024, 1024)

    @nn.compact
    def __call__(self, x: Array, weights: Array) -> Array:
        x = conv_layers(self.context, self.convs, x, weights, has_norms=True)
        # Channels first, the order of published weights.
        x = jnp.moveaxis(x, -1, 1).reshape(len(x), -1)
        for number, features in enumerate(self.dense, 6):
            x = self.context.act(self.context.dense(features, name=f"fc{number}")(x))
        return x


def conv_layers(context: BlockContext, features: Sequence[int], x: Array, weights: Array, *, has_norms: bool) -> Array:
    """3x3 convolutions "conv1", "conv2", ... of the calling module, each with a bias or a norm "norm1", ..."""
    if not has_norms:
        context = replace(context, make_conv=BiasedConv)
    for number, count in enumerate(features, 1):
        x = context.conv(count, 3, name=f"conv{number}")(x)
        x = context.act(context.norm(name=f"norm{number}", weights=weights)(x) if has_norms else x)
    return x


class BoxPredictor(nn.Module):
    """Representations [R, C] -> logits [R, K] and coded boxes of each class [R, K, 4], at least float32."""

    context: BlockContext
    num_classes: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        wide = at_least_float32(self.context.dtype)
        logits, deltas = (
            Dense(count, wide, self.context.param_dtype, name=name)(x)
            for name, count in (("cls_score", self.num_classes), ("bbox_pred", 4 * self.num_classes))
        )
        return logits, deltas.reshape(len(x), self.num_classes, 4)


class Samples(NamedTuple):
    """Regions of an image on which the losses are computed, S at most."""

    boxes: Array  # [S, 4]
    labels: Array  # int [S], 0: background
    matches: Array  # int [S], index of the true box
    codes: Array  # [S, 4], the true box as coded from the region
    valid: Array  # bool [S]


def sample_regions(
    proposals: Array,
    is_proposal: Array,
    true_boxes: Array,
    true_labels: Array,
    valid: Array,
    order: Array,
    *,
    fg_iou_thresh: float,
    bg_iou_thresh: float,
    batch_size: int,
    positive_fraction: float,
    weights: tuple[float, ...],
) -> Samples:
    """Samples of an image's proposals [P, 4] and of its true boxes [B, 4], which are proposals, too.

    Args:
      is_proposal: bool [P], which are no padding; `valid` bool [B] likewise.
      true_labels: int [B].
      order: [P + B], see `balanced_sample`.
    """
    candidates = jnp.concatenate([proposals, true_boxes])
    is_candidate = jnp.concatenate([is_proposal, valid])
    iou = boxes.box_iou(true_boxes, candidates)
    matches = boxes.match(iou, valid, fg_iou_thresh, bg_iou_thresh, allow_low_quality=False)
    index = jnp.maximum(matches, 0)
    labels = jnp.where(matches >= 0, true_labels[index], jnp.where(matches == boxes.BETWEEN, -1, 0))
    labels = jnp.where(is_candidate, labels, -1)
    sampled = balanced_sample(labels, order, size=batch_size, positive_fraction=positive_fraction)
    places, is_sampled = choose(sampled, batch_size)
    region, match = candidates[places], index[places]
    codes = boxes.encode_boxes(true_boxes[match], region, weights)
    return Samples(region, jnp.where(is_sampled, labels[places], 0), match, codes, is_sampled)


def box_losses(logits: Array, deltas: Array, samples: Samples) -> tuple[Array, Array, Array]:
    """Sums of the classes' cross-entropy and of the box loss over an image's samples, and their number.

    `logits` are [S, K], `deltas` [S, K, 4].
    """
    log_probabilities = jax.nn.log_softmax(logits)
    losses = -jnp.take_along_axis(log_probabilities, samples.labels[:, None], 1)[:, 0]
    of_class = jnp.take_along_axis(deltas, samples.labels[:, None, None], 1)[:, 0]
    box_loss = box_regression_loss(of_class, samples.codes, samples.valid & (samples.labels > 0))
    return losses.sum(where=samples.valid), box_loss, samples.valid.sum()


def best_detections(
    logits: Array,
    deltas: Array,
    proposals: Array,
    is_proposal: Array,
    size: Array,
    *,
    score_thresh: float,
    nms_thresh: float,
    count: int,
    weights: tuple[float, ...],
) -> tuple[Array, Array, Array, Array]:
    """Boxes [D, 4], scores [D], labels int32 [D] and validity bool [D] of an image's detections, the best first.

    Every class but the background makes a detection of each of the proposals [R, 4], with `logits` [R, K] and
    `deltas` [R, K, 4]. Those of a class that a better one covers are dropped; D = `count` remain at most.
    """
    regions, classes = logits.shape
    scores = jax.nn.softmax(logits)[:, 1:].reshape(-1)
    box = boxes.decode_boxes(deltas, proposals[:, None], weights)
    box = boxes.clip_boxes(box[:, 1:].reshape(-1, 4), size)
    labels = jnp.tile(jnp.arange(1, classes, dtype=jnp.int32), regions)
    valid = jnp.repeat(is_proposal, classes - 1) & (scores > score_thresh) & is_large(box, MIN_SIZE)
    index, is_detection = boxes.batched_nms(box, scores, labels, nms_thresh, valid, count)
    box, scores, labels = (jnp.take(x, index, 0) for x in (box, scores, labels))
    box = jnp.where(is_detection[:, None], box, 0)
    return box, jnp.where(is_detection, scores, 0), jnp.where(is_detection, labels, 0), is_detection
