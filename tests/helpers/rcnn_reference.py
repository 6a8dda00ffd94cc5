"""Small R-CNNs of torchvision with the recipe's weights, in float64: the scene, the nets, and their numbers.

With torchvision, `PYTHONPATH=tests/helpers python tests/helpers/rcnn_reference.py` writes tests/golden/dense/rcnn.npz.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import recipe

GOLDEN = Path(__file__).parents[1] / "golden" / "dense"
NAMES = ("maskrcnn", "maskrcnn_v2")  # their boxes are those of Faster R-CNN
SIZES = ((72, 64), (64, 96))  # of the images in a canvas of 96 x 96
BOXES = ((4.0, 6.0, 40.0, 52.0), (20.0, 30.0, 64.0, 72.0), (2.0, 50.0, 14.0, 62.0))  # of the first; the second has none
LABELS = (1, 4, 2)
CLASSES, FEATURES = 5, 16
ANCHORS = {"maskrcnn": ((16,), (32,), (64,)), "maskrcnn_v2": ((8,), (16,), (32,), (64,), (96,))}
ALL = 10**6  # anchors and proposals in a sample: more than there are
OPTIONS = {
    **{"min_size": 64, "max_size": 96, "image_mean": [0.0] * 3, "image_std": [1.0] * 3},
    **{f"rpn_{place}_nms_top_n_{phase}": n for place, n in (("pre", 60), ("post", 20)) for phase in ("train", "test")},
    **{f"{part}_batch_size_per_image": ALL for part in ("rpn", "box")},
    **{f"{part}_positive_fraction": 1.0 for part in ("rpn", "box")},
}
# A fifth of the recipe's, as ordinary scores need.
SCALED = ("cls_logits", "bbox_pred", "cls_score", "mask_fcn_logits", "bbox_reg", "bbox_ctrness")


def images() -> list[np.ndarray]:
    """Two images [3, H, W]."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, *size)) for size in SIZES]


def masks() -> np.ndarray:
    """Masks uint8 [3, 72, 64] of the first image's boxes, without their upper left quarters."""
    masks = np.zeros((3, *SIZES[0]), np.uint8)
    for mask, box in zip(masks, np.asarray(BOXES, int), strict=True):
        x0, y0, x1, y1 = box
        mask[y0:y1, x0:x1] = 1
        mask[y0 : (y0 + y1) // 2, x0 : (x0 + x1) // 2] = 0
    return masks


def state(keys: list[tuple[str, list[int]]]) -> dict[str, np.ndarray]:
    """The state dict of a net, by its names and shapes."""
    arrays = {name: np.asarray(recipe.array(name, tuple(shape))) for name, shape in keys}
    return {name: 0.2 * x if any(part in name for part in SCALED) else x for name, x in arrays.items()}


def net(name: str):
    """torchvision's net called `name`, on a ResNet with four blocks and a narrow pyramid. Nothing in it is random.

    Version 1 has frozen norms and three levels, version 2 batch statistics and all five.
    """
    from torch import nn
    from torchvision.models.detection import MaskRCNN, faster_rcnn, mask_rcnn
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.rpn import RPNHead
    from torchvision.models.resnet import BasicBlock, ResNet
    from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    is_v2 = name.endswith("v2")
    norm = nn.BatchNorm2d if is_v2 else None
    body = ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=nn.BatchNorm2d if is_v2 else FrozenBatchNorm2d)
    numbers = range(1, 5) if is_v2 else (2, 3)
    stages = {f"layer{number}": str(place) for place, number in enumerate(numbers)}
    channels = [32 * 2**number for number in numbers]
    backbone = BackboneWithFPN(body, stages, channels, FEATURES, LastLevelMaxPool(), norm)
    mlp, convs = faster_rcnn.TwoMLPHead(FEATURES * 49, 24), faster_rcnn.FastRCNNConvFCHead
    parts = {
        "rpn_anchor_generator": AnchorGenerator(ANCHORS[name], ((0.5, 1.0, 2.0),) * len(ANCHORS[name])),
        "rpn_head": RPNHead(FEATURES, 3, 2 if is_v2 else 1),
        "box_head": convs((FEATURES, 7, 7), [8] * 4, [24], norm_layer=norm) if is_v2 else mlp,
        "box_predictor": faster_rcnn.FastRCNNPredictor(24, CLASSES),
    }
    pool = partial(MultiScaleRoIAlign, list(stages.values()), sampling_ratio=2)
    parts |= {
        "box_roi_pool": pool(output_size=7),
        "mask_roi_pool": pool(output_size=14),
        "mask_head": mask_rcnn.MaskRCNNHeads(FEATURES, [12, 12], 1, norm_layer=norm),
        "mask_predictor": mask_rcnn.MaskRCNNPredictor(12, 10, CLASSES),
    }
    return prepared(MaskRCNN(backbone, box_score_thresh=0.1, box_detections_per_img=30, **OPTIONS, **parts))


def prepared(model):
    """A net of torchvision with the recipe's weights in float64, and the names and shapes of its arrays."""
    import torch

    if hasattr(model, "rpn"):
        # torchvision's labels of anchors are float32, and so is the loss that it computes from them.
        compute_loss = model.rpn.compute_loss
        model.rpn.compute_loss = lambda logits, codes, labels, targets: compute_loss(
            logits, codes, [x.double() for x in labels], targets
        )
    keys = [(key, list(x.shape)) for key, x in model.state_dict().items() if not key.endswith("num_batches_tracked")]
    values = {key: torch.from_numpy(x) for key, x in state(keys).items()}
    model.double().load_state_dict(values, strict=False)
    return model, keys


def numbers(model) -> dict[str, np.ndarray]:
    """Detections, losses, norms of gradients, and running statistics after one step, of the scene."""
    import torch

    inputs = [torch.from_numpy(x) for x in images()]
    truth = {"boxes": torch.tensor(BOXES, dtype=torch.float64), "labels": torch.tensor(LABELS)}
    truth["masks"] = torch.from_numpy(masks())
    nothing = {"boxes": torch.zeros(0, 4, dtype=torch.float64), "labels": torch.zeros(0, dtype=torch.int64)}
    nothing["masks"] = torch.zeros(0, *SIZES[1], dtype=torch.uint8)
    results, proposals, outputs = {}, [], []
    if hasattr(model, "rpn"):
        model.rpn.register_forward_hook(lambda module, args, output: proposals.extend(output[0]))
    else:
        model.head.register_forward_hook(lambda module, args, output: outputs.append(output))
    model.eval()
    with torch.no_grad():
        detections = model([x.clone() for x in inputs])
    results |= {f"head/{key}": x[:, ::29].numpy() for output in outputs for key, x in output.items()}
    for i, detection in enumerate(detections):
        results |= {f"{i}/{key}": detection[key].numpy() for key in ("boxes", "scores", "labels")}
        if proposals:
            results[f"{i}/proposals"] = proposals[i].numpy()
        if "masks" in detection:
            results[f"{i}/mask_sums"] = detection["masks"].sum((1, 2, 3)).numpy()
    model.train()
    losses = model([x.clone() for x in inputs], [truth, nothing])
    sum(losses.values()).backward()
    results |= {f"loss/{key}": x.item() for key, x in losses.items()}
    norms = {key: p.grad.norm().item() for key, p in model.named_parameters() if p.grad is not None}
    results |= {"gradient_names": list(norms), "gradient_norms": list(norms.values())}
    after = {key: x for key, x in model.state_dict().items() if ".running_" in key and "body" not in key}
    return results | {f"after/{key}": x.numpy() for key, x in after.items()}


def write() -> None:
    arrays, tables = {}, {}
    for name in NAMES:
        model, tables[name] = net(name)
        arrays |= {f"{name}/{key}": x for key, x in numbers(model).items()}
    np.savez_compressed(GOLDEN / "rcnn.npz", **arrays)
    (GOLDEN / "rcnn.keys.json").write_text(json.dumps(tables))


if __name__ == "__main__":
    write()
