"""RetinaNet: Lin et al. 2017, "Focal Loss for Dense Object Detection", as torchvision builds it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models.context import BlockContext
from resnet_jax.models.decoders.detector import Detections, DetectorLosses, Loss, Targets
from resnet_jax.models.decoders.fpn import P6_FROM
from resnet_jax.models.decoders.losses import focal_loss, smooth_l1
from resnet_jax.models.decoders.one_stage import OneStageDetector, Tower
from resnet_jax.models.options import check_choice, check_positive, check_thresholds
from resnet_jax.ops.boxes import BETWEEN, box_iou, decode_boxes, encode_boxes, generalized_iou_loss, match
from resnet_jax.types import Array

BOX_LOSSES = ("l1", "smooth_l1", "giou")


class RetinaNetHead(nn.Module):
    """Levels [N, h, w, C] -> by level "cls_logits" [N, A, K] and "bbox_reg" [N, A, 4]; one tower for each."""

    context: BlockContext
    num_classes: int
    anchors: int  # of one place
    depth: int = 4
    groups: int | None = None  # of group norms in the towers; None: no norms

    @nn.compact
    def __call__(self, levels: Sequence[Array]) -> dict[str, list[Array]]:
        def tower(name: str, outputs: dict[str, int]) -> dict[str, list[Array]]:
            make = partial(Tower, self.context, outputs, self.anchors, self.depth, self.groups)
            return make(has_biases=False, name=name)(levels)

        return tower("classification", {"cls_logits": self.num_classes}) | tower("regression", {"bbox_reg": 4})


class RetinaNet(OneStageDetector):
    """RetinaNet: focal loss on every anchor, and box regression from the anchors that match a box."""

    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # of anchors: height / width
    p6_from: str = "p5"  # or "c5": level p6 is a convolution of the last level, or of the backbone's last stage
    box_loss: str = "l1"  # or "smooth_l1", "giou"
    fg_iou_thresh: float = 0.5  # anchors with at least this IoU are of the box
    bg_iou_thresh: float = 0.4  # anchors with a lower IoU are background; those between count nothing

    parts: ClassVar[tuple[str, ...]] = ("fpn", "head")

    def __post_init__(self) -> None:
        self.aspect_ratios = check_positive("aspect_ratios", self.aspect_ratios)
        check_choice("box_loss", self.box_loss, BOX_LOSSES)
        check_choice("p6_from", self.p6_from, P6_FROM)
        super().__post_init__()
        check_thresholds(self, "")
        if len(set(map(len, self.sizes_by_level()))) > 1:
            raise ValueError(f"anchor_sizes: expected as many sizes for each level, got {self.anchor_sizes}")

    @nn.nowrap
    def pyramid_options(self) -> dict[str, Any]:
        return {"p6_from": self.p6_from}

    @nn.nowrap
    def default_sizes(self, stride: int) -> tuple[float, ...]:
        """Three sizes an octave, from four strides (section 4, "Anchors"); whole pixels as in torchvision."""
        return tuple(float(int(4 * stride * 2 ** (third / 3))) for third in range(3))

    @nn.nowrap
    def on_levels(
        self,
        levels: list[Array],
        canvas: tuple[int, int],
        sizes: Array,
        targets: Targets | None,
        example_index: Array | None,
    ) -> Detections | DetectorLosses:
        anchors = self.anchors(levels, canvas, self.aspect_ratios)
        context = self.context("head", targets is not None)
        places = len(self.sizes_by_level()[0]) * len(self.aspect_ratios)
        head = RetinaNetHead(context, self.num_classes, places, self.head_depth, self.head_groups, name="head")
        outputs = head(levels)
        if targets is None:
            scores = [jax.nn.sigmoid(logits) for logits in outputs["cls_logits"]]
            return self.select(scores, outputs["bbox_reg"], anchors, sizes, decode_boxes)
        logits, codes = (jnp.concatenate(outputs[name], axis=1) for name in ("cls_logits", "bbox_reg"))
        return self._losses(logits, codes, jnp.concatenate(anchors), targets)

    @nn.nowrap
    def _losses(self, logits: Array, codes: Array, anchors: Array, targets: Targets) -> DetectorLosses:
        """Each image's losses are divided by the number of its anchors that match a box."""

        def of_image(logits: Array, codes: Array, boxes: Array, labels: Array, valid: Array) -> tuple[Array, Array]:
            iou = box_iou(boxes, anchors)
            matches = match(iou, valid, self.fg_iou_thresh, self.bg_iou_thresh, allow_low_quality=True)
            index, is_matched = jnp.maximum(matches, 0), matches >= 0
            is_class = jnp.arange(self.num_classes)[None] == jnp.where(is_matched, labels[index], -1)[:, None]
            classes = focal_loss(logits, is_class.astype(logits.dtype)).sum(-1)
            regression = self._box_loss(codes, jnp.where(is_matched[:, None], boxes[index], anchors), anchors)
            count = jnp.maximum(is_matched.sum(), 1).astype(logits.dtype)
            return classes.sum(where=matches != BETWEEN) / count, regression.sum(where=is_matched) / count

        boxes = targets.boxes.astype(anchors.dtype)
        classes, regression = jax.vmap(of_image)(logits, codes, boxes, targets.labels, targets.valid)
        mask = targets.mask.astype(classes.dtype)
        return DetectorLosses(
            {"classification": Loss(jnp.sum(mask * classes)), "bbox_regression": Loss(jnp.sum(mask * regression))}
        )

    @nn.nowrap
    def _box_loss(self, codes: Array, boxes: Array, anchors: Array) -> Array:
        """The loss of each anchor: [A, 4], [A, 4], [A, 4] -> [A]."""
        if self.box_loss == "giou":
            return generalized_iou_loss(decode_boxes(codes, anchors), boxes)
        beta = 1.0 if self.box_loss == "smooth_l1" else 0.0
        return smooth_l1(codes, encode_boxes(boxes, anchors), beta=beta).sum(-1)
