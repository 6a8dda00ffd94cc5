"""Detectors: torchvision's by their names, and the same heads on any backbone."""

from __future__ import annotations

from typing import Any

from resnet_jax.models.decoders.fcos import FCOS
from resnet_jax.models.decoders.rcnn import FasterRCNN, MaskRCNN
from resnet_jax.models.decoders.retinanet import RetinaNet
from resnet_jax.models.partials import Partial
from resnet_jax.models.spec import IMAGENET, ModelSpec, ModuleName, NameTable
from resnet_jax.models.zoo.imagenet import TIMM_MODULES, TORCHVISION_MODULES
from resnet_jax.models.zoo.rcnn_names import RCNN_MODULES, RCNN_RENAMES, RCNN_V2_MODULES
from resnet_jax.models.zoo.segmentation import below
from resnet_jax.types import Preprocess

# torchvision makes the shorter side 800 pixels and the longer one at most 1333, which it pads to 1344.
TRANSFORM = Preprocess(1344, 800, *IMAGENET, crop_mode="pad")
MOST_CONVS = 16  # of a head

# Names of torchvision's feature_pyramid_network.py; until 0.12 there were no ".0" before the arrays' names.
PYRAMID_MODULES = (
    ModuleName("backbone.fpn.inner_blocks.{l}.0", "fpn/inner{k}/conv"),
    ModuleName("backbone.fpn.inner_blocks.{l}.1", "fpn/inner{k}/norm"),
    ModuleName("backbone.fpn.layer_blocks.{l}.0", "fpn/layer{k}/conv"),
    ModuleName("backbone.fpn.layer_blocks.{l}.1", "fpn/layer{k}/norm"),
    ModuleName("backbone.fpn.extra_blocks.p{p}", "fpn/p{p}"),
)
PYRAMID_RENAMES = ((r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)", r"\1.0.\2"),)
# Names of torchvision's retinanet.py; until 0.12 the convolutions were every second module.
RETINANET_MODULES = (
    ModuleName("head.classification_head.conv.{l}.0", "head/classification/conv{k}"),
    ModuleName("head.classification_head.conv.{l}.1", "head/classification/norm{k}"),
    ModuleName("head.classification_head.cls_logits", "head/classification/cls_logits"),
    ModuleName("head.regression_head.conv.{l}.0", "head/regression/conv{k}"),
    ModuleName("head.regression_head.conv.{l}.1", "head/regression/norm{k}"),
    ModuleName("head.regression_head.bbox_reg", "head/regression/bbox_reg"),
)
RETINANET_RENAMES = tuple(
    (rf"(head\.(?:classification|regression)_head\.conv)\.{2 * number}\.(weight|bias)", rf"\1.{number}.0.\2")
    for number in range(MOST_CONVS)
)
# Names of torchvision's fcos.py: a convolution, its norm and an activation are three modules.
FCOS_MODULES = (
    *(
        ModuleName(f"head.{name}_head.conv.{3 * number + place}", f"head/{name}/{kind}{number + 1}")
        for name in ("classification", "regression")
        for number in range(MOST_CONVS)
        for place, kind in enumerate(("conv", "norm"))
    ),
    ModuleName("head.classification_head.cls_logits", "head/classification/cls_logits"),
    ModuleName("head.regression_head.bbox_reg", "head/regression/bbox_reg"),
    ModuleName("head.regression_head.bbox_ctrness", "head/regression/bbox_ctrness"),
)


def detector(
    build: Any,
    modules: tuple[ModuleName, ...],
    *,
    classifiers: tuple[str, ...] = ("head/classification/cls_logits",),
    renames: tuple[tuple[str, str], ...] = (),
    backbone: str | None = None,
) -> ModelSpec:
    """A row of torchvision's detector on this backbone; None: on any, by default on the one of torchvision's."""
    of_backbone = below("backbone.body", TIMM_MODULES if backbone is None else TORCHVISION_MODULES)
    modules, renames = (*of_backbone, *PYRAMID_MODULES, *modules), (*PYRAMID_RENAMES, *renames)
    return ModelSpec(
        build,
        "detection",
        TRANSFORM.resize,
        {"torchvision": NameTable(modules, classifiers=classifiers, renames=renames)},
        TRANSFORM,
        backbone=backbone or "resnet50",
        takes_backbone=backbone is None,
    )


def retinanet(build: Any, backbone: str | None = None) -> ModelSpec:
    return detector(build, RETINANET_MODULES, renames=RETINANET_RENAMES, backbone=backbone)


def rcnn(build: Any, backbone: str | None = None, *, modules: Any = RCNN_MODULES, has_masks: bool = False) -> ModelSpec:
    of_boxes = ("box_predictor/cls_score", "box_predictor/bbox_pred")
    classifiers = (*of_boxes, "mask_predictor/mask_fcn_logits") if has_masks else of_boxes
    return detector(build, modules, renames=RCNN_RENAMES, classifiers=classifiers, backbone=backbone)


RETINANET_V2 = Partial(RetinaNet, p6_from="c5", head_groups=32, box_loss="giou")
# Li et al. 2021, "Benchmarking Detection Transfer Learning with Vision Transformers", section 3.
RCNN_V2: dict[str, Any] = {"has_norms": True, "rpn_depth": 2, "box_convs": (256,) * 4, "box_dense": (1024,)}
FASTER_V2, MASK_V2 = Partial(FasterRCNN, **RCNN_V2), Partial(MaskRCNN, **RCNN_V2)

MODELS = {
    "retinanet": retinanet(RetinaNet),
    "retinanet_resnet50_fpn": retinanet(RetinaNet, "resnet50"),
    "retinanet_resnet50_fpn_v2": retinanet(RETINANET_V2, "resnet50"),
    "fcos": detector(FCOS, FCOS_MODULES),
    "fcos_resnet50_fpn": detector(FCOS, FCOS_MODULES, backbone="resnet50"),
    "fasterrcnn": rcnn(FasterRCNN),
    "fasterrcnn_resnet50_fpn": rcnn(FasterRCNN, "resnet50"),
    "fasterrcnn_resnet50_fpn_v2": rcnn(FASTER_V2, "resnet50", modules=RCNN_V2_MODULES),
    "maskrcnn": rcnn(MaskRCNN, has_masks=True),
    "maskrcnn_resnet50_fpn": rcnn(MaskRCNN, "resnet50", has_masks=True),
    "maskrcnn_resnet50_fpn_v2": rcnn(MASK_V2, "resnet50", modules=RCNN_V2_MODULES, has_masks=True),
}
