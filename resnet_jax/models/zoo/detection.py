"""Detectors: rows of torchvision's names, and detectors on any backbone."""

from __future__ import annotations

from typing import Any

from resnet_jax.models.decoders.fcos import FCOS
from resnet_jax.models.decoders.retinanet import RetinaNet
from resnet_jax.models.partials import Partial
from resnet_jax.models.spec import ModelSpec

IMAGE_SIZE = 800  # the shorter side of torchvision's images, of which the longer has at most 1333 pixels


def on_resnet50(build: Any) -> ModelSpec:
    """Row of a detector that torchvision has on a ResNet-50."""
    return ModelSpec(build, "detection", IMAGE_SIZE, backbone="resnet50")


def generic(build: Any) -> ModelSpec:
    """Row of a detector on any backbone."""
    return ModelSpec(build, "detection", IMAGE_SIZE, backbone="resnet50", takes_backbone=True)


RETINANET_V2 = Partial(RetinaNet, p6_from="c5", head_groups=32, box_loss="giou")

MODELS = {
    "retinanet": generic(RetinaNet),
    "retinanet_resnet50_fpn": on_resnet50(RetinaNet),
    "retinanet_resnet50_fpn_v2": on_resnet50(RETINANET_V2),
    "fcos": generic(FCOS),
    "fcos_resnet50_fpn": on_resnet50(FCOS),
}
