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
