"""What every detector takes and returns, and what RetinaNet, FCOS and R-CNN share.

Boxes are x0, y0, x1, y1 in pixels of the canvas, y down; sizes are (height, width). Label 0 is the background, classes
are 1 to K - 1, and K counts the background. B boxes and D detections per image are fixed numbers: padding fills them.
"""

from __future__ import annotations

from typing import NamedTuple

from resnet_jax.types import Array


class Targets(NamedTuple):
    """The true boxes of a batch, for training."""

    boxes: Array  # [N, B, 4]
    labels: Array  # int [N, B], 1 to K - 1; 0: padding
    valid: Array  # bool [N, B]: False is padding, which changes no loss
    mask: Array  # float [N]; 0: the example changes no loss
    masks: Array | None = None  # uint8 [N, B, H, W] of the canvas, 0 or 1; for nets that predict masks


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
    labels: Array  # int32 [N, D], 1 to K - 1
    masks: Array | None  # [N, D, M, M], probabilities in the frame of each box
    valid: Array  # bool [N, D]


class Detector(DenseNet):
    """A backbone, a feature pyramid on it, and what finds boxes on its levels.

    Images [N, H, W, C], normalised floats; `sizes` int [N, 2] are the true parts of their canvas, top left (None: the
    whole canvas), the rest is padding. In training `targets` are needed and the losses are returned, otherwise the
    detections. The canvas should be a multiple of 32 a side, as torchvision pads it.
    """

    num_classes: int = 91  # with the background
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4", "pool")  # stages, then p6, p6 and p7, or pool
    fpn_features: int = 256
    # Stages that are trained, from the last; 4: all stages, 5: the stem, too. The others are frozen parameters.
    trainable_layers: int = 5
    score_threshold: float = 0.05  # detections have higher scores
    nms_threshold: float = 0.5  # of two boxes of a class with a higher IoU, the lower score is dropped
    detections_per_image: int = 100

    parts: ClassVar[tuple[str, ...]] = ("fpn", "head")
    least_classes: ClassVar[int] = 2
    pyramid_options: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        self.levels = (self.levels,) if isinstance(self.levels, str) else tuple(self.levels)
        split_levels(self.levels, stage_names(self.backbone.stages))
        for name, least in (("fpn_features", 1), ("trainable_layers", 0), ("detections_per_image", 1)):
            setattr(self, name, check_integer(name, getattr(self, name), least))
        check_choice("trainable_layers", self.trainable_layers, tuple(range(6)))
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
        self._check(images, sizes, targets if train else None)
        if train and targets is None:
            raise ValueError("targets: expected Targets in training, got None")
        canvas = images.shape[1:3]
        if sizes is None:
            sizes = jnp.broadcast_to(jnp.asarray(canvas, jnp.int32), (len(images), 2))
        features = self.backbone.clone(name="backbone")(images, train, example_index).features
        inside, extra = split_levels(self.levels, stage_names(self.stages))
        pyramid = FeaturePyramid(
            self.context("fpn", train), self.fpn_features, extra, **self.pyramid_options(), name="fpn"
        )
        levels = pyramid({stage: features[stage] for stage in inside})
        if train:
            return self.compute_losses(levels, canvas, sizes, targets, example_index)
        return self.detect(levels, canvas, sizes)
