"""Faster R-CNN (Ren et al. 2015) and Mask R-CNN (He et al. 2017) on a feature pyramid, as torchvision builds them.

P proposals per image, B true boxes, S samples, D detections, R regions of any of these kinds; K classes, of which 0 is
the background; M x M pixels of a predicted mask.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.models.decoders import roi_heads, rpn
from resnet_jax.models.decoders.detector import Detections, Detector, DetectorLosses, Loss, Targets
from resnet_jax.models.decoders.fpn import split_levels
from resnet_jax.models.decoders.mask_head import MaskHead, MaskPredictor, mask_loss, of_class, project_masks
from resnet_jax.models.decoders.sampling import choose, random_orders, takes_all
from resnet_jax.models.options import check_anchor_sizes, check_positive, check_thresholds, stage_names
from resnet_jax.ops import boxes
from resnet_jax.types import Array

Size = tuple[int, int]


class Pyramid(NamedTuple):
    """Maps of the backbone's pyramid, and the images that they are of."""

    levels: list[Array]  # [N, h, w, C] of each level, the finest first
    stages: int  # the first levels, which regions are pooled from; the others only make proposals
    canvas: Size
    sizes: Array  # int [N, 2]


class FasterRCNN(Detector):
    """Proposals of the pyramid's levels, and a head that classifies and moves the boxes of the best of them.

    The random collection "sampling" chooses the anchors and proposals of the losses, keyed by `example_index`: with
    sizes of samples that take all of them nothing is random.
    """

    has_norms: bool = False  # norms in the pyramid, and in the convolutions of the heads on regions
    # Square roots of the anchors' areas, pixels, for each level; None: eight times the level's stride.
    anchor_sizes: tuple[tuple[float, ...], ...] | None = None
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width of the anchors
    rpn_depth: int = 1  # convolutions before the proposals
    rpn_pre_nms_top_n_train: int = 2000  # anchors of a level that compete
    rpn_pre_nms_top_n_test: int = 1000
    rpn_post_nms_top_n_train: int = 2000  # P
    rpn_post_nms_top_n_test: int = 1000
    rpn_nms_thresh: float = 0.7
    rpn_score_thresh: float = 0.0
    rpn_fg_iou_thresh: float = 0.7  # of an anchor with a true box, at least
    rpn_bg_iou_thresh: float = 0.3  # less
    rpn_batch_size_per_image: int = 256  # sampled anchors
    rpn_positive_fraction: float = 0.5
    box_convs: tuple[int, ...] = ()  # features of the box head's convolutions
    box_dense: tuple[int, ...] = (1024, 1024)  # features of its dense layers
    box_fg_iou_thresh: float = 0.5
    box_bg_iou_thresh: float = 0.5
    box_batch_size_per_image: int = 512  # S
    box_positive_fraction: float = 0.25
    bbox_reg_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)  # of the coded boxes
    box_score_thresh: float = 0.05  # detections have higher scores
    box_nms_thresh: float = 0.5  # of two boxes of a class with a higher IoU, the lower score is dropped
    box_detections_per_img: int = 100  # D

    parts: ClassVar[tuple[str, ...]] = ("fpn", "rpn", "box_head", "box_predictor")

    def __post_init__(self) -> None:
        for name in ("aspect_ratios", "bbox_reg_weights"):
            setattr(self, name, check_positive(name, getattr(self, name)))
        if len(self.bbox_reg_weights) != 4:
            raise ValueError(f"bbox_reg_weights: expected four positive numbers, got {self.bbox_reg_weights}")
        if self.anchor_sizes is not None:
            self.anchor_sizes = check_anchor_sizes(self.anchor_sizes)
        super().__post_init__()
        check_thresholds(self, "rpn_", "box_")
        sizes = self.sizes_by_level()
        if len(sizes) != len(self.levels) or len(set(map(len, sizes))) != 1:
            raise ValueError(
                f"anchor_sizes: expected as many sizes for each of the {len(self.levels)} levels "
                f"{', '.join(self.levels)}, got {sizes}"
            )

    @nn.nowrap
    def sizes_by_level(self) -> tuple[tuple[float, ...], ...]:
        """Square roots of the anchors' areas on each level, pixels."""
        return self.anchor_sizes or tuple((8 * stride,) for stride in self.level_strides().values())

    @nn.nowrap
    def pyramid_options(self) -> dict[str, Any]:
        return {"has_norms": self.has_norms}

    @nn.nowrap
    def on_levels(
        self, levels: list[Array], canvas: Size, sizes: Array, targets: Targets | None, example_index: Array | None
    ) -> Detections | DetectorLosses:
        stages, _ = split_levels(self.levels, stage_names(self.stages)[1:])
        pyramid = Pyramid(levels, len(stages), canvas, sizes)
        if targets is None:
            return self.detect(pyramid)
        index = jnp.arange(len(sizes)) if example_index is None else example_index
        return DetectorLosses(self.compute_losses(pyramid, targets, index))

    @nn.nowrap
    def compute_losses(self, pyramid: Pyramid, targets: Targets, index: Array) -> dict[str, Loss]:
        return self._sampled(pyramid, targets, index)[0]

    @nn.nowrap
    def detect(self, pyramid: Pyramid) -> Detections:
        proposals, is_proposal, _ = self._propose(pyramid, train=False)
        logits, deltas = self._classify(pyramid, proposals, is_proposal, train=False)
        best = partial(
            roi_heads.best_detections,
            score_thresh=self.box_score_thresh,
            nms_thresh=self.box_nms_thresh,
            count=self.box_detections_per_img,
            weights=self.bbox_reg_weights,
        )
        box, scores, labels, valid = jax.vmap(best)(logits, deltas, proposals, is_proposal, pyramid.sizes)
        return Detections(box, scores, labels, None, valid)

    @nn.nowrap
    def _propose(self, pyramid: Pyramid, train: bool) -> tuple[Array, Array, tuple[Array, Array, Array]]:
        """Proposals [N, P, 4], which are no padding [N, P], and of all A anchors: logits [N, A], codes, the anchors."""
        anchor_sizes = self.sizes_by_level()
        of_place = len(anchor_sizes[0]) * len(self.aspect_ratios)
        head = rpn.RPNHead(self.context("rpn", train), of_place, self.rpn_depth, name="rpn")
        objectness, deltas = head(pyramid.levels)
        shapes = [(level.shape[1], level.shape[2]) for level in pyramid.levels]
        ratios = [self.aspect_ratios] * len(shapes)
        anchors = boxes.make_anchors(pyramid.canvas, shapes, anchor_sizes, ratios, dtype=deltas[0].dtype)
        propose = partial(
            rpn.propose,
            pre_nms_top_n=self.rpn_pre_nms_top_n_train if train else self.rpn_pre_nms_top_n_test,
            post_nms_top_n=self.rpn_post_nms_top_n_train if train else self.rpn_post_nms_top_n_test,
            nms_thresh=self.rpn_nms_thresh,
            score_thresh=self.rpn_score_thresh,
        )
        constant = lax.stop_gradient((objectness, deltas))
        proposals, is_proposal = jax.vmap(propose, (0, 0, None, 0))(*constant, anchors, pyramid.sizes)
        every = (jnp.concatenate(objectness, 1), jnp.concatenate(deltas, 1), jnp.concatenate(anchors))
        return proposals, is_proposal, every

    @nn.nowrap
    def _classify(self, pyramid: Pyramid, regions: Array, valid: Array, train: bool) -> tuple[Array, Array]:
        """Logits [N, R, K] and coded boxes [N, R, K, 4] of regions [N, R, 4]; `valid` [N, R]: not padding."""
        pooled = self._pool(pyramid, regions, 7)
        head = roi_heads.BoxHead(self.context("box_head", train), self.box_convs, self.box_dense, name="box_head")
        predictor = roi_heads.BoxPredictor(self.context("box_predictor", train), self.num_classes, name="box_predictor")
        results = predictor(head(pooled, valid.reshape(-1)))
        logits, deltas = (x.reshape(*regions.shape[:2], *x.shape[1:]) for x in results)
        return logits, deltas

    @nn.nowrap
    def _pool(self, pyramid: Pyramid, regions: Array, side: int) -> Array:
        """Features of regions [N, R, 4], one after another: [N * R, side, side, C]."""
        levels = pyramid.levels[: pyramid.stages]
        pooled = boxes.multiscale_roi_align(levels, regions, pyramid.canvas, (side, side), sampling_ratio=2)
        return pooled.reshape(-1, *pooled.shape[2:])

    @nn.nowrap
    def _sampled(self, pyramid: Pyramid, targets: Targets, index: Array) -> tuple[dict[str, Loss], roi_heads.Samples]:
        """The losses of boxes, and the samples [N, S, ...] that those of the heads on regions are computed on."""
        proposals, is_proposal, (objectness, deltas, anchors) = self._propose(pyramid, train=True)
        true_boxes, mask = targets.boxes.astype(deltas.dtype), targets.mask.astype(deltas.dtype)
        rpn_order, box_order = self._orders(index, len(anchors), (proposals.shape[1], true_boxes.shape[1]))
        rpn_losses = partial(
            rpn.rpn_losses,
            fg_iou_thresh=self.rpn_fg_iou_thresh,
            bg_iou_thresh=self.rpn_bg_iou_thresh,
            batch_size=self.rpn_batch_size_per_image,
            positive_fraction=self.rpn_positive_fraction,
        )
        of_rpn = jax.vmap(rpn_losses, (0, 0, None, 0, 0, 0))(
            objectness, deltas, anchors, true_boxes, targets.valid, rpn_order
        )
        sample = partial(
            roi_heads.sample_regions,
            fg_iou_thresh=self.box_fg_iou_thresh,
            bg_iou_thresh=self.box_bg_iou_thresh,
            batch_size=self.box_batch_size_per_image,
            positive_fraction=self.box_positive_fraction,
            weights=self.bbox_reg_weights,
        )
        samples = jax.vmap(sample)(proposals, is_proposal, true_boxes, targets.labels, targets.valid, box_order)
        samples = samples._replace(valid=samples.valid & (mask > 0)[:, None])
        of_boxes = jax.vmap(roi_heads.box_losses)(
            *self._classify(pyramid, samples.boxes, samples.valid, train=True), samples
        )
        names = ("loss_objectness", "loss_rpn_box_reg"), ("loss_classifier", "loss_box_reg")
        losses: dict[str, Loss] = {}
        for (first, second), sums in zip(names, (of_rpn, of_boxes), strict=True):
            *totals, count = (jnp.sum(mask * value) for value in sums)
            losses |= {name: Loss(total, count, 1.0) for name, total in zip((first, second), totals, strict=True)}
        return losses, samples

    @nn.nowrap
    def _orders(self, index: Array, anchors: int, regions: tuple[int, int]) -> tuple[Array, Array]:
        """Random orders of the anchors [N, A] and of the proposals and true boxes [N, P + B]."""
        sizes = self.rpn_batch_size_per_image, self.box_batch_size_per_image
        fractions = self.rpn_positive_fraction, self.box_positive_fraction
        orders = []
        for counts, size, fraction in zip(((anchors,), regions), sizes, fractions, strict=True):
            key = None if takes_all(sum(counts), size, fraction) else self.make_rng("sampling")
            orders.append(random_orders(key, index, counts))
        return orders[0], orders[1]


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with a mask for each detection, M = 28 pixels a side."""

    mask_convs: tuple[int, ...] = (256, 256, 256, 256)  # features of the mask head's convolutions
    mask_features: int = 256  # of the mask at M pixels

    parts: ClassVar[tuple[str, ...]] = (*FasterRCNN.parts, "mask_head", "mask_predictor")
    needs_masks: ClassVar[bool] = True

    @nn.nowrap
    def compute_losses(self, pyramid: Pyramid, targets: Targets, index: Array) -> dict[str, Loss]:
        if targets.masks is None:
            raise ValueError(f"{type(self).__name__}: expected targets with masks uint8 [N, B, H, W], got None")
        losses, samples = self._sampled(pyramid, targets, index)
        most = max(1, int(self.box_batch_size_per_image * self.box_positive_fraction))
        places, is_positive = jax.vmap(partial(choose, count=most))(samples.valid & (samples.labels > 0))
        region, labels, matches = (
            jax.vmap(lambda x, i: x[i])(x, places) for x in (samples.boxes, samples.labels, samples.matches)
        )
        logits = self._masks(pyramid, region, is_positive, train=True)
        project = partial(project_masks, side=logits.shape[2])
        truth = jax.vmap(project)(targets.masks, region, matches, pyramid.sizes)
        total, count = jax.vmap(mask_loss)(logits, labels, truth, is_positive)
        mask = targets.mask.astype(total.dtype)
        losses["loss_mask"] = Loss(jnp.sum(mask * total), jnp.sum(mask * count), 1.0)
        return losses

    @nn.nowrap
    def detect(self, pyramid: Pyramid) -> Detections:
        detections = super().detect(pyramid)
        logits = self._masks(pyramid, detections.boxes, detections.valid, train=False)
        masks = jax.nn.sigmoid(jax.vmap(of_class)(logits, detections.labels))
        return detections._replace(masks=jnp.where(detections.valid[..., None, None], masks, 0))

    @nn.nowrap
    def _masks(self, pyramid: Pyramid, regions: Array, valid: Array, train: bool) -> Array:
        """Logits [N, R, M, M, K] of the masks of regions [N, R, 4]."""
        head = MaskHead(self.context("mask_head", train), self.mask_convs, self.has_norms, name="mask_head")
        context = self.context("mask_predictor", train)
        predictor = MaskPredictor(context, self.num_classes, self.mask_features, name="mask_predictor")
        logits = predictor(head(self._pool(pyramid, regions, 14), valid.reshape(-1)))
        return logits.reshape(*regions.shape[:2], *logits.shape[1:])
