"""FCOS: Tian et al. 2019, "FCOS: Fully Convolutional One-Stage Object Detection", as torchvision builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.detector import Detections, DetectorLosses, Loss, Targets
from resnet_jax.models.decoders.losses import focal_loss, sigmoid_cross_entropy
from resnet_jax.models.decoders.one_stage import OneStageDetector, Tower
from resnet_jax.ops.boxes import box_area, decode_distances, encode_distances, generalized_iou_loss
from resnet_jax.types import Array

LARGEST_AREA = 1e8  # of a box, square pixels


class FCOSHead(nn.Module):
    """Levels [N, h, w, C] -> by level "cls_logits" [N, A, K], "bbox_reg" [N, A, 4], "bbox_ctrness" [N, A, 1].

    Boxes are distances to the four edges, in strides.
    """

    context: BlockContext
    num_classes: int
    depth: int = 4
    groups: int | None = 32  # of group norms in the towers

    @nn.compact
    def __call__(self, levels: Sequence[Array]) -> dict[str, list[Array]]:
        def tower(name: str, outputs: dict[str, int]) -> dict[str, list[Array]]:
            return Tower(self.context, outputs, depth=self.depth, groups=self.groups, name=name)(levels)

        classes = tower("classification", {"cls_logits": self.num_classes})
        boxes = tower("regression", {"bbox_reg": 4, "bbox_ctrness": 1})
        return classes | boxes | {"bbox_reg": [ops.relu(distances) for distances in boxes["bbox_reg"]]}


class FCOS(OneStageDetector):
    """FCOS: each pixel of a level is an anchor, and gives the distances to the edges of the smallest box around it."""

    score_thresh: float = 0.2  # detections have higher scores
    nms_thresh: float = 0.6
    detections_per_img: int = 100
    head_groups: int | None = 32  # of group norms in the head; None: no norms
    center_sampling_radius: float = 1.5  # strides from a box's centre in which anchors match it

    parts: ClassVar[tuple[str, ...]] = ("fpn", "head")

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(len(sizes) != 1 for sizes in self.sizes_by_level()):
            raise ValueError(f"anchor_sizes: expected one size for each level, got {self.anchor_sizes}")
        if min(sizes[0] for sizes in self.sizes_by_level()) <= 1:  # rounded to whole pixels, half of 1 is 0
            raise ValueError(f"anchor_sizes: expected more than 1 pixel, got {self.sizes_by_level()}")

    @nn.nowrap
    def default_sizes(self, stride: int) -> tuple[float, ...]:
        return (float(stride),)

    @nn.nowrap
    def on_levels(
        self,
        levels: list[Array],
        canvas: tuple[int, int],
        sizes: Array,
        targets: Targets | None,
        example_index: Array | None,
    ) -> Detections | DetectorLosses:
        anchors = self.anchors(levels, canvas)
        context = self.context("head", targets is not None)
        outputs = FCOSHead(context, self.num_classes, self.head_depth, self.head_groups, name="head")(levels)
        if targets is None:
            sigmoid, heads = jax.nn.sigmoid, zip(outputs["cls_logits"], outputs["bbox_ctrness"], strict=True)
            scores = [jnp.sqrt(sigmoid(logits) * sigmoid(centerness)) for logits, centerness in heads]
            return self.select(scores, outputs["bbox_reg"], anchors, sizes, decode_distances)
        joined = {name: jnp.concatenate(values, axis=1) for name, values in outputs.items()}
        ranges = self._ranges(anchors)
        return self._losses(joined, jnp.concatenate(anchors), ranges, targets)

    @nn.nowrap
    def _ranges(self, anchors: Sequence[Array]) -> Array:
        """Least and greatest distance [A, 2] from each anchor to the farthest edge of a box that it matches."""
        ranges = []
        for level, boxes in enumerate(anchors):
            sides = boxes[:, 2] - boxes[:, 0]
            least = jnp.zeros_like(sides) if level == 0 else 4 * sides
            most = jnp.full_like(sides, jnp.inf) if level == len(anchors) - 1 else 8 * sides
            ranges.append(jnp.stack([least, most], axis=-1))
        return jnp.concatenate(ranges)

    @nn.nowrap
    def match(self, anchors: Array, ranges: Array, boxes: Array, valid: Array) -> Array:
        """The smallest box that an anchor is in, near the centre of, and in range of: int [A], -1 without one."""
        centers, sides = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2] - anchors[:, 0]
        centers, boxes, sides = centers[:, None], boxes[None], sides[:, None]
        offsets = jnp.abs(centers - (boxes[..., :2] + boxes[..., 2:]) / 2).max(-1)
        distances = jnp.concatenate([centers - boxes[..., :2], boxes[..., 2:] - centers], axis=-1)
        farthest = distances.max(-1)
        fits = valid[None] & (offsets < self.center_sampling_radius * sides) & (distances.min(-1) > 0)
        fits &= (farthest > ranges[:, :1]) & (farthest < ranges[:, 1:])
        preference = jnp.where(fits, LARGEST_AREA - box_area(boxes), 0)
        return jnp.where(preference.max(-1) < 1e-5, -1, preference.argmax(-1))

    @nn.nowrap
    def _losses(self, outputs: dict[str, Array], anchors: Array, ranges: Array, targets: Targets) -> DetectorLosses:
        """Losses over the anchors of the batch, whose weight is the number of those that match a box."""

        def of_image(
            outputs: dict[str, Array], boxes: Array, labels: Array, valid: Array
        ) -> tuple[dict[str, Array], Array]:
            matches = self.match(anchors, ranges, boxes, valid)
            index, is_matched = jnp.maximum(matches, 0), matches >= 0
            logits, centerness = outputs["cls_logits"], outputs["bbox_ctrness"][:, 0]
            is_class = jnp.arange(self.num_classes)[None] == jnp.where(is_matched, labels[index], -1)[:, None]
            boxes = jnp.where(is_matched[:, None], boxes[index], anchors)
            regression = generalized_iou_loss(decode_distances(outputs["bbox_reg"], anchors), boxes)
            centered = sigmoid_cross_entropy(centerness, centerness_targets(encode_distances(boxes, anchors)))
            sums = {
                "classification": focal_loss(logits, is_class.astype(logits.dtype)).sum(),
                "bbox_regression": regression.sum(where=is_matched),
                "bbox_ctrness": centered.sum(where=is_matched),
            }
            return sums, is_matched.sum()

        boxes = targets.boxes.astype(anchors.dtype)
        sums, counts = jax.vmap(of_image)(outputs, boxes, targets.labels, targets.valid)
        mask = targets.mask.astype(anchors.dtype)
        weight = jnp.sum(mask * counts.astype(mask.dtype))
        return DetectorLosses({name: Loss(jnp.sum(mask * total), weight, 1.0) for name, total in sums.items()})


def centerness_targets(distances: Array) -> Array:
    """Equation 3: 1 at the centre of a box and 0 at its edges, from distances [..., 4] to x0, y0, x1, y1."""
    x, y = distances[..., ::2], distances[..., 1::2]
    return jnp.sqrt((x.min(-1) / x.max(-1)) * (y.min(-1) / y.max(-1)))
