"""Small RetinaNets and FCOS of torchvision with the recipe's weights, in float64: the scene is `rcnn_reference`'s.

With torchvision, `PYTHONPATH=tests/helpers python tests/helpers/one_stage_reference.py` writes
tests/golden/dense/one_stage.npz.
"""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import rcnn_reference as reference

NAMES = ("retinanet", "retinanet_v2", "fcos")
FEATURES = 32
CLASSES = reference.CLASSES
ANCHORS = {
    **dict.fromkeys(("retinanet", "retinanet_v2"), ((12, 16), (24, 30), (40, 50), (64, 80))),
    "fcos": ((8,), (16,), (32,), (64,)),
}
THRESHOLDS = {"score_thresh": 0.3, "detections_per_img": 30, "topk_candidates": 40}
OPTIONS = {"min_size": 64, "max_size": 96, "image_mean": [0.0] * 3, "image_std": [1.0] * 3, **THRESHOLDS}


def net(name: str):
    """torchvision's net called `name`, on a ResNet with three blocks and a narrow pyramid.

    Version 2 has batch statistics, the others frozen norms.
    """
    from torch import nn
    from torchvision.models import detection
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.retinanet import RetinaNetHead
    from torchvision.models.resnet import BasicBlock, ResNet
    from torchvision.ops import FrozenBatchNorm2d
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    is_v2, is_fcos = name.endswith("v2"), name == "fcos"
    body = ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=nn.BatchNorm2d if is_v2 else FrozenBatchNorm2d)
    extra = LastLevelP6P7(256 if is_v2 else FEATURES, FEATURES)
    backbone = BackboneWithFPN(body, {"layer2": "0", "layer3": "1"}, [128, 256], FEATURES, extra)
    anchors = AnchorGenerator(ANCHORS[name], ((1.0,) if is_fcos else (0.5, 1.0, 2.0),) * 4)
    options = {"anchor_generator": anchors, **OPTIONS}
    if is_fcos:
        return reference.prepared(detection.FCOS(backbone, CLASSES, **options))
    head = RetinaNetHead(FEATURES, 6, CLASSES, norm_layer=partial(nn.GroupNorm, 32) if is_v2 else None)
    model = detection.RetinaNet(backbone, CLASSES, head=head, **options)
    model.head.regression_head._loss_type = "giou" if is_v2 else "l1"
    return reference.prepared(model)


def write() -> None:
    arrays, tables = {}, {}
    for name in NAMES:
        model, tables[name] = net(name)
        arrays |= {f"{name}/{key}": x for key, x in reference.numbers(model).items()}
    np.savez_compressed(reference.GOLDEN / "one_stage.npz", **arrays)
    (reference.GOLDEN / "one_stage.keys.json").write_text(json.dumps(tables))


if __name__ == "__main__":
    write()
