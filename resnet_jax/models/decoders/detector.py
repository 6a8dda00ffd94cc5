"""What every detector takes and returns, and what RetinaNet, FCOS and R-CNN share.

Boxes are x0, y0, x1, y1 in pixels of the canvas, y down; sizes are (height, width). Label 0 is the background, classes
are 1 to K - 1, and K counts the background. B boxes and D detections per image are fixed numbers: padding fills them.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax.models.decoders.dense import DenseNet
from resnet_jax.models.decoders.fpn import FeaturePyramid, split_levels
from resnet_jax.models.options import check_choice, check_sequence, stage_names
from resnet_jax.types import Array, Batch

KINDS = {jnp.integer: "int", jnp.bool_: "bool", jnp.floating: "float", jnp.uint8: "uint8"}  # in messages


class Targets(NamedTuple):
    """The true boxes of a batch, for training."""

    boxes: Array  # [N, B, 4]
    labels: Array  # int [N, B], 1 to K - 1; 0: padding
    valid: Array  # bool [N, B]: False is padding, which changes no loss
    mask: Array  # float [N]; 0: the example changes no loss
    masks: Array | None = None  # uint8 [N, B, H, W] of the canvas, 0 or 1; for nets that predict masks


def without_junk(targets: Targets) -> Targets:
    """The targets with 0 in their padding and in examples of mask 0: any value may stand there, even NaN.

    A loss that is multiplied by 0 has a gradient of NaN where it is NaN.
    """
    valid = targets.valid & (targets.mask > 0)[:, None]
    boxes, labels = jnp.where(valid[..., None], targets.boxes, 0), jnp.where(valid, targets.labels, 0)
    return targets._replace(boxes=boxes, labels=labels, valid=valid)


class Loss(NamedTuple):
    """A loss of a shard of the batch: the step adds totals and weights over the devices and divides once."""

    total: Array  # []
    weight: Array | None = None  # []; None: the number of examples
    least_weight: float = 0.0  # the sum of the weights counts at least this much


class DetectorLosses(NamedTuple):
    """What a detector returns in training."""

    losses: dict[str, Loss]  # by torchvision's names


class Detections(NamedTuple):
    """Objects of each image, the highest score first; padding is zero."""

    boxes: Array  # [N, D, 4]
    scores: Array  # [N, D], at least float32
    # int32 [N, D], 1 to K - 1. As torchvision's, RetinaNet and FCOS also have a score of the background, label 0.
    labels: Array
    masks: Array | None  # [N, D, M, M], probabilities in the frame of each box
    valid: Array  # bool [N, D]


class Detector(DenseNet):
    """A backbone, a feature pyramid on it, and what finds boxes on the levels of the pyramid.

    Images [N, H, W, C], normalised floats; `sizes` int [N, 2] are the true parts of their canvas, top left (None: the
    whole canvas), the rest is padding. In training `targets` are needed and the losses are returned, otherwise the
    detections. Canvases should be multiples of 32 pixels a side, as torchvision pads them.
    """

    num_classes: int = 91  # with the background
    # Levels of the pyramid, the finest first: stages of the backbone, then p6, p6 and p7, or pool.
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4", "pool")
    fpn_features: int = 256
    # Parts of the backbone that are trained: its last stages; one more than it has stages: the stem, too.
    trainable_layers: int | None = None  # None: all

    parts: ClassVar[tuple[str, ...]] = ("fpn",)
    least_classes: ClassVar[int] = 2
    needs_masks: ClassVar[bool] = False  # whether training needs `Targets.masks`

    def __post_init__(self) -> None:
        levels = (self.levels,) if isinstance(self.levels, str) else self.levels
        self.levels = check_sequence("levels", levels, "levels, as (stage2, stage3, p6)")
        split_levels(self.levels, stage_names(self.backbone.stages)[1:])
        check_choice("trainable_layers", self.trainable_layers, (None, *range(len(self.backbone.stages) + 2)))
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        images: Array,
        sizes: Array | None = None,
        train: bool = False,
        targets: Targets | None = None,
        example_index: Array | None = None,
    ) -> Detections | DetectorLosses:
        self.check_images(images)
        self._check(images.shape, sizes, targets, train)
        features = self.backbone(images, train, example_index).features
        stages, extra = split_levels(self.levels, stage_names(self.stages)[1:])
        pyramid = FeaturePyramid(
            self.context("fpn", train), self.fpn_features, extra, **self.pyramid_options(), name="fpn"
        )
        levels = pyramid({stage: features[stage] for stage in stages})
        canvas = (images.shape[1], images.shape[2])
        if sizes is None:
            sizes = jnp.broadcast_to(jnp.asarray(canvas, jnp.int32), (len(images), 2))
        targets = without_junk(targets) if train and targets is not None else None
        return self.on_levels(list(levels.values()), canvas, sizes, targets, example_index)

    @nn.nowrap
    def on_levels(
        self,
        levels: list[Array],
        canvas: tuple[int, int],
        sizes: Array,
        targets: Targets | None,
        example_index: Array | None,
    ) -> Detections | DetectorLosses:
        """Losses if there are targets, otherwise detections, from the levels [N, h, w, fpn_features] of the pyramid."""
        raise NotImplementedError

    @nn.nowrap
    def pyramid_options(self) -> dict[str, Any]:
        """Fields of `FeaturePyramid` beside its context, channels and extra levels."""
        return {}

    @nn.nowrap
    def level_strides(self) -> dict[str, int]:
        """Input pixels per pixel of each level."""
        by_stage, strides = self.stage_strides(), 1
        by_level: dict[str, int] = {}
        for level in self.levels:
            strides = by_level[level] = by_stage.get(level, 2 * strides)
        return by_level

    @nn.nowrap
    def is_frozen(self, path: str) -> bool:
        """Path predicate of the parameters that are not trained: those of the backbone outside `trainable_layers`.

        Norms of the backbone that use running statistics in training (`frozen_norms`) are constants: their scales and
        biases are frozen, too, as in torchvision's frozen norms.
        """
        part, _, module = path.partition("/")
        if part != "backbone":
            return False
        stage = module.partition("/")[0].partition("_")[0]
        names = stage_names(self.stages)
        trained = names if self.trainable_layers is None else names[len(names) - self.trainable_layers :]
        frozen_norms = names if "all" in self.backbone.frozen_norms else self.backbone.frozen_norms
        is_norm = "norm" in module.split("/")[-2]
        return stage not in trained or (is_norm and stage in frozen_norms)

    @nn.nowrap
    def batch_inputs(self, batch: Batch, train: bool) -> dict[str, Any]:
        """Keywords of the net's call for a batch whose classes are numbered from 0.

        Crowds and boxes without area are no targets.
        """
        inputs: dict[str, Any] = {"sizes": batch["size"]}
        if train:
            boxes, labels = batch["boxes"], batch["label"]
            valid = (labels >= 0) & ~batch["crowd"] & (boxes[..., 2:] > boxes[..., :2]).all(-1)
            labels = jnp.where(valid, labels + 1, 0)
            inputs["targets"] = Targets(boxes, labels, valid, batch["mask"], batch.get("masks"))
        return inputs

    def _check(self, shape: tuple[int, ...], sizes: Array | None, targets: Targets | None, train: bool) -> None:
        count, *canvas = shape[:3]
        if not count:
            raise ValueError(f"expected one image or more, got {list(shape)}")
        if sizes is not None and jnp.shape(sizes) != (count, 2):
            raise ValueError(f"expected sizes int [{count}, 2] (height, width), got {list(jnp.shape(sizes))}")
        if not train:
            return
        if not isinstance(targets, Targets):
            raise TypeError(f"expected targets to be Targets in training, got {type(targets).__name__}")
        check_targets(targets, (count, *canvas))


def check_targets(targets: Targets, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the arrays of targets have the shapes and types of `Targets`.

    Args:
      shape: N, H, W of the images.
    """
    count = shape[0]
    boxes = targets.boxes
    if getattr(boxes, "ndim", 0) != 3 or boxes.shape[::2] != (count, 4) or not _is(boxes, jnp.floating):
        raise ValueError(f"expected targets.boxes float [{count}, B, 4], got {_shown(boxes)}")
    if not boxes.shape[1]:
        raise ValueError(f"expected room for at least one box, valid or not, got boxes {[count, 0, 4]}")
    rows = (count, boxes.shape[1])
    expected: dict[str, tuple[Any, tuple[int, ...]]] = {
        "labels": (jnp.integer, rows),
        "valid": (jnp.bool_, rows),
        "mask": (jnp.floating, (count,)),
    }
    if targets.masks is not None:
        expected["masks"] = (jnp.uint8, (*rows, *shape[1:]))
    for name, (kind, size) in expected.items():
        value = getattr(targets, name)
        if getattr(value, "shape", None) != size or not _is(value, kind):
            raise ValueError(f"expected targets.{name} {KINDS[kind]} {list(size)}, got {_shown(value)}")


def _is(value: Any, kind: Any) -> bool:
    return hasattr(value, "dtype") and bool(jnp.issubdtype(value.dtype, kind))


def _shown(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if hasattr(value, "dtype") else type(value).__name__
